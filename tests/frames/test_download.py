"""The files behind a frame: opened, downloaded and signed, wherever they are."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.cloud.errors import BUCKET, ObjectMissingError, RejectedError
from imagen_nb.errors import CloudError, StorageError, UsageError
from imagen_nb.frames.pictures import signed_urls as links
from imagen_nb.frames.pictures.download import file_name
from imagen_nb.frames.pictures.locate import at, places
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.pictures import render
from tests.fixtures.server_state import ServerState

Session = Callable[[Studio], Studio]


@pytest.fixture
def frame(away: Studio) -> pd.DataFrame:
    """Of six pictures that are in the cloud only."""
    return away.history(source="cloud")


@pytest.fixture
def here(folder: Path, session: Session) -> pd.DataFrame:
    """Of four pictures on this machine, with no cloud at all."""
    render(folder, 4)
    return session(Studio({"output": {"dir": str(folder)}})).history(source="local")


def objects_read(proxy: FaultProxy) -> int:
    return sum(method == "GET" and "/object/sign/" in path for method, path in proxy.requests)


def same(folder: Path, paths: pd.Series) -> bool:
    """Whether they are byte for byte the files of a folder."""
    return sorted(Path(path).read_bytes() for path in paths) == sorted(
        path.read_bytes() for path in folder.glob("*.png")
    )


def test_a_picture_of_this_machine_is_opened_from_its_file(here: pd.DataFrame) -> None:
    image = here.imagen.open(0)
    assert image.size == (24, 16)
    assert "imagen_nb" in image.info
    assert image.getpixel((0, 0)) == (here["seed"].iloc[0], 0, 6)


def test_a_picture_of_the_cloud_is_downloaded_once_and_then_at_hand_offline(
    frame: pd.DataFrame, elsewhere: Path, proxy: FaultProxy
) -> None:
    assert frame["local_path"].isna().all()
    seed = frame["seed"].iloc[2]
    assert frame.imagen.open(2).getpixel((0, 0)) == (seed, 0, 6)
    assert objects_read(proxy) == 1
    frame.imagen.open(frame["id"].iloc[2])
    assert objects_read(proxy) == 1
    proxy.down = True
    assert frame.imagen.open(-4).getpixel((0, 0)) == (seed, 0, 6)


@pytest.mark.parametrize("form", ["parquet", "csv", "slice", "columns", "merged"])
def test_a_frame_may_have_been_anywhere(away: Studio, tmp_path: Path, form: str) -> None:
    frame = away.history(source="cloud", sidecar=form == "parquet")
    if form == "parquet":
        frame["sidecar"] = frame["sidecar"].map(json.dumps)  # Parquet takes no empty dicts
        frame.to_parquet(tmp_path / "x.parquet")
        frame = pd.read_parquet(tmp_path / "x.parquet")
        assert places(frame)[0].wanted.sha256
    elif form == "csv":
        frame.to_csv(tmp_path / "x.csv", index=False)
        frame = pd.read_csv(tmp_path / "x.csv")
    elif form == "slice":
        frame = frame[frame["seed"] > 1]
    elif form == "columns":
        frame = frame[["local_path", "seed", "storage_path", "id"]]
    else:
        frame = frame.merge(pd.DataFrame({"seed": range(6), "stars": 3}), on="seed")
    assert frame.imagen.open(1).getpixel((0, 0)) == (frame["seed"].iloc[1], 0, 6)


@pytest.mark.parametrize("which", [4, -5, "no-such-id", 1.5, None])
def test_what_is_no_picture_of_the_frame_is_said(here: pd.DataFrame, which: Any) -> None:
    with pytest.raises(UsageError, match=r"4 pictures|has the id|position or its id"):
        here.imagen.open(which)


def test_positions_are_those_of_iloc_whatever_the_index(here: pd.DataFrame) -> None:
    turned = here.iloc[::-1].set_axis([7, 7, 8, 9])
    assert at(turned, 0) == 0
    assert turned.imagen.open(0).getpixel((0, 0)) == (turned["seed"].iloc[0], 0, 6)
    assert at(turned, here["id"].iloc[0]) == at(turned, -1) == 3


def test_the_columns_that_lack_are_named(here: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lacks id, local_path"):
        here[["seed", "storage_path"]].imagen.open(0)
    with pytest.raises(UsageError, match="lacks storage_path"):
        here[["id", "local_path"]].imagen.download(tmp_path)
    assert not any(path.suffix == ".png" for path in tmp_path.iterdir())


def test_other_bytes_than_the_record_tells_of_are_an_error_and_not_kept(
    frame: pd.DataFrame, server: ServerState
) -> None:
    path = frame["storage_path"].iloc[0]
    server.client.storage.from_(BUCKET).update(
        path, b"\x89PNG other", {"content-type": "image/png"}
    )
    with pytest.raises(CloudError, match=r"another sha256|larger"):
        frame.imagen.open(0)
    assert not [*Path.home().glob(".cache/imagen/pictures/*")]


def test_more_bytes_than_the_record_tells_of_are_not_read(
    frame: pd.DataFrame, proxy: FaultProxy
) -> None:
    large = Fault("large", 200, b"\0" * 5_000_000)
    proxy.choose = lambda method, path: large if "token=" in path else None
    with pytest.raises(RejectedError, match=r"larger than it should be \(\d{3,4} bytes\)"):
        frame.imagen.open(0)


def test_a_picture_that_is_nowhere_is_said(
    here: pd.DataFrame, frame: pd.DataFrame, server: ServerState, folder: Path
) -> None:
    (folder / Path(here["local_path"].iloc[0])).unlink()
    with pytest.raises(
        ObjectMissingError, match=r"not in the cloud when this frame was read \(pending\)"
    ):
        here.imagen.open(0)
    server.client.schema("imagen").from_("images").delete().eq("id", frame["id"].iloc[0]).execute()
    with pytest.raises(ObjectMissingError, match="the cloud has no row of it"):
        frame.imagen.open(0)
    server.client.storage.from_(BUCKET).remove([frame["storage_path"].iloc[1]])
    with pytest.raises(ObjectMissingError, match="no object"):
        frame.imagen.open(1)


def test_a_torn_file_is_said(here: pd.DataFrame) -> None:
    path = Path(here["local_path"].iloc[1])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StorageError, match="is torn, or no picture"):
        here.imagen.open(1)


def test_without_a_cloud_only_what_is_here_is_opened(
    frame: pd.DataFrame, session: Session, tmp_path: Path
) -> None:
    session(Studio({"output": {"dir": str(tmp_path / "none")}}))
    with pytest.raises(CloudError, match="no Supabase is configured"):
        frame.imagen.open(0)


def test_a_row_without_a_hash_is_taken_unchecked_and_that_is_said(
    frame: pd.DataFrame, server: ServerState, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = server.client.schema("imagen").from_("images")
    rows.update({"sidecar": {"by": "another program"}}).eq("id", frame["id"].iloc[0]).execute()
    assert frame.imagen.open(0).size == (24, 16)
    assert "taken unchecked: 1" in capsys.readouterr().err


def test_downloads_are_the_very_files_under_their_own_names(
    frame: pd.DataFrame, elsewhere: Path, tmp_path: Path
) -> None:
    labelled = frame.set_axis(list("aabbcc"))
    done = labelled.imagen.download(tmp_path / "new" / "folder")
    assert [*done.columns] == ["id", "path", "reason"]
    assert [*done.index] == list("aabbcc")
    assert done["id"].tolist() == frame["id"].tolist()
    assert done["reason"].isna().all()
    assert {Path(path).name for path in done["path"]} == {p.name for p in elsewhere.glob("*.png")}
    assert same(elsewhere, done["path"])


def test_a_download_goes_on_where_it_was_broken_off(
    frame: pd.DataFrame, elsewhere: Path, tmp_path: Path, proxy: FaultProxy,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    target, broken = tmp_path / "copies", frame["storage_path"].iloc[3]
    proxy.choose = lambda method, path: (
        FAULTS["403"] if "token=" in path and broken in path else None
    )
    done = frame.imagen.download(target)
    assert done["path"].isna().tolist() == [False, False, False, True, False, False]
    assert "HTTP 400" in done["reason"].iloc[3]
    assert "1 of 6 pictures could not be downloaded" in capsys.readouterr().err
    proxy.choose = lambda method, path: None
    torn = Path(done["path"].iloc[0])
    torn.write_bytes(b"torn")
    before = objects_read(proxy)
    again = frame.imagen.download(target)
    assert objects_read(proxy) - before == 2
    assert again["reason"].isna().all()
    assert Path(again["path"].iloc[0]).name == f"{torn.stem}-2.png"
    assert torn.read_bytes() == b"torn"
    assert same(elsewhere, again["path"])
    assert not [*target.glob(".imagen-*")]


def test_pictures_of_this_machine_are_copied(here: pd.DataFrame, folder: Path) -> None:
    done = here.imagen.download(folder.parent / "copies")
    assert same(folder, done["path"])
    again = here.imagen.download(folder.parent / "copies")
    assert again["path"].tolist() == done["path"].tolist()
    assert len([*(folder.parent / "copies").iterdir()]) == 4


def test_two_pictures_of_one_name_and_one_picture_twice(here: pd.DataFrame, tmp_path: Path) -> None:
    here["storage_path"] = "2026-05-11/same.png"
    twice = pd.concat([here, here])
    done = twice.imagen.download(tmp_path / "copies")
    names = {Path(path).name for path in done["path"]}
    assert names == {"2026-05-11-same.png", *(f"2026-05-11-same-{n}.png" for n in (2, 3, 4))}
    assert done["path"].tolist()[:4] == done["path"].tolist()[4:]


def test_several_downloads_into_one_folder_at_once(
    frame: pd.DataFrame, elsewhere: Path, tmp_path: Path
) -> None:
    found: list[pd.DataFrame] = []
    threads = [
        threading.Thread(target=lambda: found.append(frame.imagen.download(tmp_path / "copies")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(done["reason"].isna().all() for done in found)
    assert len([*(tmp_path / "copies").iterdir()]) == 6
    assert same(elsewhere, found[0]["path"])


def test_a_folder_that_cannot_be_is_said_before_anything_is_fetched(
    frame: pd.DataFrame, tmp_path: Path, proxy: FaultProxy
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot keep pictures"):
        frame.imagen.download(tmp_path / "file" / "folder")
    assert objects_read(proxy) == 0


@pytest.mark.parametrize(
    ("storage_path", "name"),
    [
        ("2026-05-11/a-boat-11.png", "2026-05-11-a-boat-11.png"),
        ("5c2f/2026-05-11/a-boat-11-2.png", "2026-05-11-a-boat-11-2.png"),
        ("2026-05-11/My_Boat.v2.png", "2026-05-11-My_Boat.v2.png"),
        ("2026-05-11/a-boat.webp", "2026-05-11-a-boat.webp"),
    ],
)
def test_downloads_are_named_as_the_files_were(storage_path: str, name: str) -> None:
    assert "".join(file_name(storage_path, "id")) == name


@given(st.text() | st.sampled_from(["../../x.png", "2026-05-11/..png", "/etc/passwd", "a/CON.png"]))
def test_no_row_names_a_file_outside_the_folder(storage_path: str) -> None:
    name = "".join(file_name(storage_path, "id"))
    assert os.path.basename(name) == name
    assert re.fullmatch(r"[\w-][\w.-]*\.(png|jpe?g|webp)", name, re.ASCII)


def test_signed_urls_are_aligned_and_read_the_very_pictures(
    frame: pd.DataFrame, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = pd.concat([frame, frame.iloc[:2]]).set_axis(list("abcabcde"))
    urls = twice.imagen.signed_urls(expires_in=60)
    assert [*urls.index] == list("abcabcde")
    assert urls.iloc[6] == urls.iloc[0]
    assert urls.attrs["reasons"] == {}
    assert capsys.readouterr().err == ""
    data = [httpx.get(url).content for url in urls.iloc[:6]]
    assert sorted(data) == sorted(path.read_bytes() for path in elsewhere.glob("*.png"))


def test_a_path_that_cannot_be_signed_is_nan_with_its_reason(
    frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = frame.set_axis(list("abcdef"))
    frame.loc["a", "storage_path"] = "nobody/2026-05-11/x.png"
    frame.loc["b", "storage_path"] = None
    frame.loc["c", "cloud"] = "pending"
    urls = frame.imagen.signed_urls()
    assert urls.isna().tolist() == [True, True, True, False, False, False]
    reasons = urls.attrs["reasons"]
    assert set(reasons) == set("abc")
    assert "no such object" in reasons["a"]
    assert "no storage_path" in reasons["b"]
    assert "pending" in reasons["c"]
    assert "3 of 6 pictures have no signed URL" in capsys.readouterr().err


def test_signing_goes_in_batches_and_a_refused_path_takes_no_other_with_it(
    frame: pd.DataFrame, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may refuse a whole batch for one path in it."""
    many = pd.concat([frame] * 400, ignore_index=True)
    many["storage_path"] = [f"{path}{n}" for n, path in enumerate(many["storage_path"])]
    many.loc[5, "storage_path"] = frame["storage_path"].iloc[5]
    urls = many.imagen.signed_urls()
    posts = [path for method, path in proxy.requests if "/object/sign/" in path]
    assert len(posts) == 3
    assert urls.notna().sum() == 1

    def refuse(cloud: Any, paths: list[str], expires_in: int) -> dict[str, str | None]:
        if any("\\" in path for path in paths):
            raise RejectedError("storage says 400 invalid")
        return {path: f"https://{path}" for path in paths}

    monkeypatch.setattr(links.Cloud, "signed_urls", refuse)
    frame.loc[3, "storage_path"] = "a\\b.png"
    urls = frame.imagen.signed_urls()
    assert urls.isna().tolist() == [False, False, False, True, False, False]
    assert urls.attrs["reasons"] == {3: "storage says 400 invalid"}


def test_when_the_cloud_is_away_every_url_is_nan_with_that_reason(
    frame: pd.DataFrame, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.down = True
    urls = frame.imagen.signed_urls()
    assert urls.isna().all()
    assert all("cannot be reached" in reason for reason in urls.attrs["reasons"].values())
    assert capsys.readouterr().err.count("\n") == 1


def test_signing_needs_a_cloud_and_a_time(here: pd.DataFrame, frame: pd.DataFrame) -> None:
    for wrong in (0, -1, 1.5, "60"):
        with pytest.raises(UsageError, match="expires_in"):
            frame.imagen.signed_urls(expires_in=wrong)


def test_an_empty_frame_has_no_urls_and_no_files(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert frame.iloc[:0].imagen.signed_urls().empty
    assert frame.iloc[:0].imagen.download(tmp_path).empty
