"""df.imagen: there whenever pandas and imagen_nb are, and what it shows and compares."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.frames.pictures.contact_sheet import captions_of_rows
from imagen_nb.studio.studio import Studio


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import imagen_nb, pandas",
        "import pandas, imagen_nb",
        "import imagen_nb; from importlib.util import find_spec; find_spec('pandas');"
        " import pandas",
        "import imagen_nb, importlib; importlib.reload(imagen_nb); import pandas",
        "import pandas, imagen_nb, importlib; importlib.reload(imagen_nb)",
        "import sys, imagen_nb; sys.modules['pandas'] = None; del sys.modules['pandas'];"
        " import pandas",
    ],
)
def test_it_is_there_in_whatever_order_they_are_imported(imports: str) -> None:
    code = (
        f"{imports}\nimport sys\n"
        "print(type(pandas.DataFrame().imagen).__name__, pandas.DataFrame.imagen.__name__)\n"
        "loader = type(pandas.__spec__.loader).__name__\n"
        "print(loader, pandas.__loader__.get_data(pandas.__file__)[:3])\n"
        "print([m for m in ('torch', 'PIL', 'pydantic') if m in sys.modules])\n"
        "print([f for f in sys.meta_path if type(f).__module__.startswith('imagen')])"
    )
    lines = run(code).splitlines()
    assert lines[0] == "Accessor Accessor"
    assert lines[1].startswith("SourceFileLoader b'")
    assert lines[2:] == ["[]", "[]"]


def test_a_pandas_that_fails_or_is_not_there_fails_as_it_would_without(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise ImportError('no numpy')")
    code = (
        "import sys, imagen_nb\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "for _ in range(2):\n"
        "    try:\n        import pandas\n"
        "    except ImportError as error:\n        print(error)\n"
        f"sys.path.remove({str(tmp_path)!r})\n"
        "import pandas\n"
        "print(pandas.DataFrame.imagen.__name__)"
    )
    assert run(code).splitlines() == ["no numpy", "no numpy", "Accessor"]
    code = (
        "import sys, imagen_nb\nsys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "try:\n    import pandas\nexcept ImportError as error:\n    print(error)"
    )
    assert run(code) == "No module named 'pandas'"


def test_a_contact_sheet_has_every_picture_and_its_caption(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    frame = made(*"abcdef", size=(128, 128))
    plain = frame.imagen.contact_sheet(columns=3, size=128)
    assert plain.mode == "RGB"
    assert plain.size == (6 + 3 * 134, 6 + 2 * 134)
    assert [plain.getpixel((6 + x * 134, 6 + y * 134))[0] for y in (0, 1) for x in (0, 1, 2)] == [
        *range(6)
    ]
    told = frame.imagen.contact_sheet(columns=3, size=128, caption="{seed} · {steps} steps")
    assert told.height == plain.height + 2 * 14
    for kind in ("png", "pdf", "jpg", "webp"):
        told.save(tmp_path / f"x.{kind}")
    with Image.open(tmp_path / "x.png") as saved:
        assert saved.tobytes() == told.tobytes()
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


def test_captions_are_columns_texts_or_functions(made: Callable[..., pd.DataFrame]) -> None:
    frame = made("a boat", "a house", tags=("keeper", "try"))
    frame.loc[1, "latency_ms"] = pd.NA
    assert captions_of_rows(frame, "prompt") == ["a boat", "a house"]
    assert captions_of_rows(frame, "tags") == ["keeper, try"] * 2
    assert captions_of_rows(frame, "latency_ms") == ["120", ""]
    assert captions_of_rows(frame, "{seed:03} {created_at:%Y}-{latency_ms:.1f} {tags}") == [
        f"000 {frame['created_at'][0].year}-120.0 keeper, try",
        f"001 {frame['created_at'][1].year}- keeper, try",
    ]
    assert captions_of_rows(frame, lambda row: row["seed"] + 1) == ["1", "2"]
    assert captions_of_rows(frame, None) == []


def test_a_frame_with_columns_that_are_no_text_says_which_there_are(
    made: Callable[..., pd.DataFrame],
) -> None:
    frame = made("a boat").assign(note="x").rename(columns={"note": 0})
    with pytest.raises(UsageError, match=r"no column sede for the caption: there are .*, 0"):
        frame.imagen.contact_sheet(caption="{sede}")


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("sede", "names a column"),
        ("{sede}", "no column sede"),
        ("{}", "no column"),
        ("{seed", "no format string"),
        ("{prompt:.1f}", "does not fit"),
        ("{seed.nothing}", "does not fit"),
    ],
)
def test_a_caption_that_cannot_be_says_why(
    made: Callable[..., pd.DataFrame], caption: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        made("a boat").imagen.contact_sheet(caption=caption)


@pytest.mark.parametrize("wrong", [{"size": 5}, {"size": 5000}, {"columns": 0}, {"columns": "3"}])
def test_sizes_and_columns_have_limits(
    made: Callable[..., pd.DataFrame], wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"must be|in pixels"):
        made("a boat").imagen.contact_sheet(**wrong)


def test_a_page_that_would_be_too_large_is_refused_before_a_picture_is_read(
    made: Callable[..., pd.DataFrame],
) -> None:
    frame = made("a boat")
    with pytest.raises(UsageError, match="no pictures"):
        frame.iloc[:0].imagen.contact_sheet()
    frame["local_path"] = "/no/such.png"
    with pytest.raises(UsageError, match=r"a page of 5000 pictures in 71 columns .*df.head"):
        pd.concat([frame] * 5000).imagen.contact_sheet()
    with pytest.raises(UsageError, match="in 1 columns"):
        pd.concat([frame] * 100).imagen.contact_sheet(columns=1)


def test_a_picture_that_cannot_be_had_is_grey_with_the_reason(
    made: Callable[..., pd.DataFrame],
) -> None:
    frame = made("a", "b", size=(128, 128))
    Path(frame["local_path"][0]).unlink()
    page = frame.imagen.contact_sheet(size=160)
    assert page.size == (6 + 2 * 134, 6 + 134)  # no larger than with both
    colours = {colour for _, colour in page.crop((6, 6, 134, 134)).getcolors(100_000)}
    assert {(208, 208, 208), (0, 0, 0)} <= colours
    assert page.getpixel((6 + 134, 6)) == (1, 0, 0)


def test_a_gallery_is_the_widget_with_the_frame(made: Callable[..., pd.DataFrame]) -> None:
    frame = made("a boat", "<script>alert('1')</script> \"x\" & y\n" + "long " * 500)
    shown = frame.imagen.gallery(columns=1, size=64)
    page = shown._repr_html_()
    shown.close()
    assert repr(shown) == "<Gallery: 2 pictures>"
    assert page.count("data:image/webp;base64,") == 2
    assert "<script" not in page
    alts = [html.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', page)]
    assert alts[0] == "a boat"
    assert alts[1].startswith("<script>alert('1')</script> \"x\" & y")
    assert len(alts[1]) == 300
    assert "2 pictures" in page
    assert "repeat(1,64px)" in page


def test_an_empty_gallery_is_one(made: Callable[..., pd.DataFrame]) -> None:
    shown = made("a").iloc[:0].imagen.gallery()
    assert "0 pictures" in shown._repr_html_()
    shown.close()


def test_diff_has_the_fields_that_differ_from_columns_and_records(
    made: Callable[..., pd.DataFrame],
) -> None:
    one = made("a boat", guidance=3.5)
    other = made(
        "a house",
        steps=8,
        guidance=0.0,
        tags=("keeper",),
        versions={"imagen_nb": "0.1.0", "torch": "2.9.0"},
    )
    frame = pd.concat([one, other], ignore_index=True)
    found = frame.imagen.diff(0, -1)
    assert found.index.name == "field"
    assert [*found.columns] == [id[:8] for id in frame["id"]]
    assert found.T.to_dict("list") == {
        "prompt": ["a boat", "a house"],
        "steps": [4, 8],
        "tags": [[], ["keeper"]],
        "guidance": [3.5, 0.0],
        "versions.torch": ["2.13.0", "2.9.0"],
    }
    everything = frame.imagen.diff(frame["id"][0], frame["id"][1], all=True)
    assert {"id", "created_at", "storage_path", "local_path", "sha256"} <= {*everything.index}


def test_diff_reads_records_from_parquet_and_from_the_files_themselves(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    frame = pd.concat([made("a", guidance=3.5), made("a", guidance=0.0)], ignore_index=True)
    for written in (json.dumps, lambda sidecar: {**sidecar, "options": {"one": 1}}):
        copy = frame.assign(sidecar=frame["sidecar"].map(written))
        copy.to_parquet(tmp_path / "x.parquet")  # which takes no empty dicts
        again = pd.read_parquet(tmp_path / "x.parquet")
        assert [*again.imagen.diff(0, 1).index] == ["guidance"]
    assert [*frame.drop(columns="sidecar").imagen.diff(0, 1).index] == ["guidance"]
    bare = frame.drop(columns=["sidecar", "local_path"])
    assert bare.imagen.diff(0, 1).empty
    assert [*frame.imagen.diff(0, 0).columns] == [0, 0]
    alike = [f"00000000-0000-4000-8000-00000000000{digit}" for digit in range(2)]
    assert [*bare.assign(id=alike).imagen.diff(0, 1).columns] == alike
    with pytest.raises(UsageError, match="lacks id"):
        frame[["seed"]].imagen.diff(0, 1)


def test_the_pictures_of_some_rows_are_tagged_and_rated(
    made: Callable[..., pd.DataFrame],
) -> None:
    frame = made("a boat", "a house", "a cat", tags=("old",))
    frame.iloc[[0, 2]].imagen.tag("try", "sea")
    frame.iloc[[2]].imagen.untag("old")
    frame.iloc[[1]].imagen.rate(4)
    frame.iloc[[1]].imagen.keep()
    frame.iloc[[1]].imagen.reject()
    tags = im.history(source="local").set_index("prompt")["tags"].map(set)
    assert tags.to_dict() == {
        "a boat": {"old", "try", "sea"},
        "a house": {"old", "rating:4", "reject"},
        "a cat": {"try", "sea"},
    }


def test_a_picture_is_drawn_again_by_its_position(
    folder: Path, session: Callable[[Studio], Studio]
) -> None:
    studio = session(Studio({"backend": "flux-tiny-local", "output": {"dir": str(folder)}}))
    studio.sweep("a red boat", seeds=[1, 2], steps=1, progress=False)
    frame = studio.history(source="local")
    again = frame.imagen.reproduce(1, output=folder / "again", progress=False)
    assert again.identical
    assert again.record.seed == frame["seed"].iloc[1]
