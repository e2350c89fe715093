"""The command as a process: streams that fail, signals, and terminals that show pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagen_nb.storage.catalog import Catalog
from imagen_nb.system.terminal import print_picture
from tests.fixtures.terminals import KNOWS_COLOURS, written_to_terminal

DRAW = ["generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1"]


@pytest.mark.slow
def test_help_loads_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, contextlib\nfrom imagen_nb.cli import run\nrun(['--help'])\n"
        "print([m for m in ('torch', 'diffusers', 'pandas', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


MAIN = "from imagen_nb.cli import main; main()"


def ran(
    *arguments: str, before: str = "", python: str | Path = sys.executable, **settings: Any
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, after the statements `before`."""
    code = f"{before}\n{MAIN}"
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run([python, "-c", code, *arguments], check=False, **settings)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_results_that_cannot_be_written_are_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = ran("config", "show", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"imagen: the result cannot be written: No space left on device\n"


def test_a_reader_that_went_away_is_no_error_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = ran("config", "show", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_any_text_can_be_printed_where_the_terminal_knows_ascii_only(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3\xa9")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "IMAGEN_OUTPUT_DIR": folder}
    assert ran("models", env=ascii_only).returncode == 0
    done = ran("status", "--json", env=ascii_only | {"PYTHONIOENCODING": "utf-8"})
    assert json.loads(done.stdout)["output"] == folder
    done = ran("config", "init", "--config", f"{folder}/a.yaml", env={**os.environ, "LC_ALL": "C"})
    assert done.stdout == os.fsencode(f"{folder}/a.yaml\n")


def test_a_prompt_that_is_no_text_is_refused() -> None:
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = ran("generate", "-", input=b"a \xff boat", env=strict)
    assert (done.returncode, done.stderr) == (2, b"imagen: standard input is not text in utf-8\n")


def test_a_full_disk_is_one_line_and_leaves_no_picture(tmp_path: Path, quick_python: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    done = ran(*DRAW, "--output", str(tmp_path / "out"), before=limit, python=quick_python)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"imagen: cannot keep pictures in ")
    assert done.stderr.count(b"\n") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {".imagen"}


def test_an_interrupt_is_one_line_and_keeps_whole_pictures_only(
    tmp_path: Path, quick_python: Path
) -> None:
    # What was started in the background ignores Ctrl-C, and its children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = [quick_python, "-c", f"{heard}; {MAIN}"]
    arguments += [*DRAW, "--count", "5000", "--output", str(tmp_path)]
    drawing = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(tmp_path.glob("*.json")) and drawing.poll() is None:
        time.sleep(0.05)
    drawing.send_signal(signal.SIGINT)
    out, err = drawing.communicate(timeout=300)
    assert (drawing.returncode, out) == (130, b"")
    assert err == b"imagen: interrupted; pictures finished before are kept\n"
    names = {path.name for path in tmp_path.iterdir()} - {".imagen"}
    pictures = {name for name in names if name.endswith(".png")}
    assert names == pictures | {f"{name}.json" for name in pictures}
    assert Catalog(tmp_path).counts()["total"] == len(pictures) > 0


@pytest.mark.parametrize("as_json", [False, True], ids=["for people", "as JSON"])
def test_the_first_picture_is_waited_for_with_a_spinner_unless_a_program_waits(
    as_json: bool, tmp_path: Path, quick_python: Path
) -> None:
    said = [*DRAW, "--no-preview", "--output", str(tmp_path), *(["--json"] if as_json else [])]
    command = [str(quick_python), "-c", MAIN, *said]
    written = written_to_terminal(command, output_too=False).decode()
    assert ("loading the model …" in written, "drawing: " in written) == (not as_json,) * 2


SHOW = (
    "from PIL import Image\n"
    "from imagen_nb.system.terminal import print_picture, can_show_pictures\n"
    "if can_show_pictures('auto'): print_picture(Image.new('RGB', (8, 8), (200, 30, 90)))"
)


@pytest.mark.parametrize(
    ("columns", "environment", "input_too", "seen"),
    [
        (80, KNOWS_COLOURS, True, b"200;30;90"),
        (80, {"TERM": "dumb"}, True, b""),
        (80, {"TERM": "xterm-256color", "NO_COLOR": "1"}, True, b""),
        (80, {"TERM": "xterm-256color"}, False, b""),
        (0, {"TERM": "xterm-256color"}, True, b""),
    ],
    ids=["a terminal", "a dumb one", "without colours", "with input from a pipe", "with no size"],
)
def test_a_preview_is_shown_where_it_can_be(
    columns: int, environment: dict[str, str], input_too: bool, seen: bytes
) -> None:
    shown = written_to_terminal(
        [sys.executable, "-c", SHOW],
        columns=columns,
        environment=environment,
        input_too=input_too,
    )
    assert seen in shown if seen else shown == b""


def test_a_terminal_that_gives_no_answer_is_a_notice(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    print_picture(Image.new("RGB", (8, 8)))
    assert capsys.readouterr().err.startswith("imagen: no preview: ")
