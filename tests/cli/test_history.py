"""`imagen history`: the same filters as in Python, formats for people and for programs."""

from __future__ import annotations

import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from imagen_nb.cli import run
from imagen_nb.cli.history import print_history
from imagen_nb.cli.options import HistoryFilters
from imagen_nb.studio.studio import Studio
from tests.fixtures.terminals import without_controls, written_to_terminal

IMAGEN = str(Path(sys.executable).with_name("imagen"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-five small pictures, one of which has an evil prompt and two tags."""
    folder = tmp_path_factory.mktemp("drawn")
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "steps": 1}
    with Studio(settings) as studio:
        studio.sweep("a moon", seeds=range(24), progress=False)
        prompt = 'evil \x1b[31mred\x1b[0m ",\n\u202eprompt'
        studio.generate(prompt, seed=99, tags=["keeper", 'a,"b"'], progress=False)
    return folder


@pytest.fixture
def asked(drawn: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command and gives what it printed on stdout."""

    def ask(*arguments: str) -> str:
        assert run(["history", "--output", str(drawn), *arguments]) == 0
        return capsys.readouterr().out

    return ask


def test_the_filters_are_those_of_python_in_the_same_words() -> None:
    known = set(inspect.signature(Studio.history).parameters) - {"self", "sidecar"}
    plural = {"tag": "tags", "any_tag": "any_tags", "id": "ids"}  # repeated on the command line
    assert {plural.get(f.name, f.name) for f in fields(HistoryFilters)} == known


def test_a_table_shows_the_newest_and_says_that_there_are_more(drawn: Path, capsys) -> None:
    assert run(["history", "--output", str(drawn)]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 + 20
    assert "the newest 20 are shown: --limit N shows more" in said.err
    assert run(["history", "--output", str(drawn), "--limit", "25"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 + 25
    assert "are shown" not in said.err


def test_a_row_of_another_program_without_numbers_has_empty_cells(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Studio({"output": {"dir": str(drawn)}}) as studio:
        frame = studio.history(source="local", limit=2)
    frame.loc[1, ["width", "height", "seed", "steps"]] = pd.NA
    print_history(frame, pictures=False)
    full, empty = capsys.readouterr().out.splitlines()[1:]
    assert "128×128" in full
    assert not {"<NA>", "×"} & {*empty, *empty.split()}


def test_a_prompt_cannot_write_on_the_terminal(asked) -> None:
    table = asked("--prompt", "evil")
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "keeper" in table


def test_json_and_lines_hold_the_rows(asked) -> None:
    rows = json.loads(asked("--json"))
    assert [row["seed"] for row in rows] == [99, *reversed(range(24))]
    lines = [json.loads(line) for line in asked("--format", "jsonl").splitlines()]
    assert lines == rows
    assert rows[0]["tags"] == ["keeper", 'a,"b"']
    assert rows[0]["owner_user_id"] is None
    assert json.loads(asked("--json", "--prompt", "nothing like that")) == []
    (whole,) = json.loads(asked("--json", "--seed", "99", "--sidecar"))
    assert whole["sidecar"]["versions"]["torch"]


def test_csv_and_parquet_can_be_read_back(drawn: Path, asked) -> None:
    table = pd.read_csv(io.StringIO(asked("--format", "csv")))
    assert len(table) == 25
    assert json.loads(table["tags"][0]) == ["keeper", 'a,"b"']
    command = [IMAGEN, "history", "--format", "parquet"]
    done = subprocess.run([*command, "--output", str(drawn)], capture_output=True, check=True)
    frame = pd.read_parquet(io.BytesIO(done.stdout))
    with Studio({"output": {"dir": str(drawn)}}) as studio:
        wanted = studio.history(source="local")
    pd.testing.assert_frame_equal(
        frame.drop(columns=["tags", "sidecar"]), wanted.drop(columns=["tags", "sidecar"])
    )


def test_a_prompt_that_a_spreadsheet_takes_for_a_formula_is_text_unless_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = ['=HYPERLINK("http://evil")', "+1 boat", "-boat", "@boat", "\tboat", "a boat"]
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path)}, "steps": 1}
    with Studio(settings) as studio:
        for seed, prompt in enumerate(prompts):
            studio.generate(prompt, seed=seed, progress=False, width=64, height=64)
    command = ["history", "--output", str(tmp_path), "--format", "csv"]
    capsys.readouterr()
    assert run(command) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).sort_values("seed")
    assert table["prompt"].tolist() == [*(f"'{prompt}" for prompt in prompts[:-1]), "a boat"]
    assert table["seed"].tolist() == [*range(6)]
    assert run([*command, "--raw-csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out)).sort_values("seed")
    assert table["prompt"].tolist() == prompts


def test_ids_are_one_a_line(asked) -> None:
    ids = asked("--format", "ids", "--limit", "3").split()
    assert asked("--json", *(part for id in ids for part in ("--id", id))).count('"id"') == 3


def test_filters_narrow(asked) -> None:
    def seeds(*arguments: str) -> list[int]:
        return [row["seed"] for row in json.loads(asked("--json", *arguments))]

    assert seeds("--seed", "3..5,99") == [99, 5, 4, 3]
    assert seeds("--tag", "keeper", "--tag", 'a,"b"') == [99]
    assert seeds("--any-tag", "nothing", "--any-tag", "keeper") == [99]
    assert seeds("--since", "1h", "--until", "today", "--limit", "2") == [99, 23]
    assert seeds("--until", "yesterday") == []
    assert seeds("--size", "128x128", "--prompt", "moon", "--limit", "1") == [23]
    assert seeds("--backend", "nobody") == []


MISTAKES = {
    "since": ["--since", "whenever"],
    "numbers like": ["--seed", "x"],
    "UUID": ["--id", "x"],
    "limit": ["--limit", "-3"],
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_is_one_line(drawn: Path, capsys, said: str) -> None:
    assert run(["history", "--output", str(drawn), *MISTAKES[said]]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What `imagen history` prints on a terminal of this width, without colours."""
    written = written_to_terminal([IMAGEN, "history", *arguments], columns=columns)
    return without_controls(written.decode())


def test_a_terminal_that_shows_pictures_gets_a_thumbnail_in_each_row(drawn: Path) -> None:
    text = on_a_terminal(160, "--preview", "on", "--limit", "2", "--output", str(drawn))
    assert "a moon" in text
    assert text.count("▀") + text.count("▄") > 40  # half cells, as this terminal knows no pixels


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (120, ["id", "made", "prompt", "backend", "size", "seed", "steps", "tags", "cloud"]),
        (80, ["id", "made", "prompt", "size", "seed", "tags"]),
        (60, ["id", "made", "prompt", "seed"]),
        (24, ["id"]),
    ],
)
def test_ids_are_whole_at_any_width_and_other_columns_give_way(
    drawn: Path, columns: int, headings: list[str]
) -> None:
    with Studio({"output": {"dir": str(drawn)}}) as studio:
        ids = [id[:8] for id in studio.history(source="local")["id"]]
    text = on_a_terminal(columns, "--no-preview", "--limit", "25", "--output", str(drawn))
    heading, *lines = [line for line in text.splitlines() if not line.startswith("imagen: ")]
    assert heading.split() == headings
    assert [line.split()[0] for line in lines] == ids
    assert max(len(line) for line in lines) <= columns


@pytest.mark.parametrize("columns", [120, 80, 60])
def test_thumbnails_stand_beside_the_ids_a_row_each(drawn: Path, columns: int) -> None:
    text = on_a_terminal(columns, "--preview", "on", "--limit", "3", "--output", str(drawn))
    lines = [line for line in text.splitlines() if not line.startswith("imagen: ")]
    rows = [line for line in lines if re.match("[0-9a-f]{8} ", line)]
    assert len(rows) == 3
    assert all("▀" in row or "▄" in row for row in rows)
    assert max(len(line) for line in lines) <= columns


def test_what_is_piped_is_neither_cut_nor_left_out(asked) -> None:
    heading, row = asked("--seed", "99").splitlines()
    assert heading.split()[-1] == "cloud"
    assert 'keeper, a,"b"' in row
    assert row.split()[-1] in ("off", "pending")
