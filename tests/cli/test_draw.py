"""The command: real runs of the embedded FLUX, exit codes, and one line for every mistake."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from imagen_nb.cli import app, run
from imagen_nb.request.options import EXTRAS
from imagen_nb.storage.catalog import Catalog
from imagen_nb.studio.studio import Studio
from imagen_nb.system.terminal import show_picture

DRAW = ["generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1"]


def test_generate_prints_the_picture_and_its_sidecar(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--output", str(tmp_path)]) == 0
    picture, sidecar = capsys.readouterr().out.splitlines()
    assert Path(picture).exists()
    assert sidecar == f"sidecar: {picture}.json"


def test_json_is_one_whole_record(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--json", "--no-cloud", "--output", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["seed"], record["steps"], record["cloud"]) == (7, 1, "off")
    assert Path(record["path"]).exists()


def test_count_draws_consecutive_seeds(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--seed", "7", "--count", "3", "--json", "--output", str(tmp_path)]) == 0
    assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [7, 8, 9]


def test_the_prompt_may_come_from_standard_input(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a {blue} house\n"))
    assert run(["generate", "-", *DRAW[2:], "--json", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "a {blue} house"


def test_sweep_writes_the_pictures_and_a_contact_sheet(tmp_path: Path, capsys) -> None:
    arguments = ["sweep", "a {red|blue} star", "--seeds", "1..2", "--steps", "1,2"]
    assert run([*arguments, "--backend", "flux-tiny-local", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 8 + 1
    assert Path(lines[-1].removeprefix("contact sheet: ")).exists()


BAD = {
    "negative seed": (["generate", "x", "--seed", "-1"], 2, "seed"),
    "seed too large": (["generate", "x", "--seed", str(2**60)], 2, "seed"),
    "width no multiple": (["generate", "x", "--width", "130"], 2, "128 or 144"),
    "width of nothing": (["generate", "x", "--width", "0"], 2, "width"),
    "width too large": (["generate", "x", "--width", "1000000"], 2, "width"),
    "no steps": (["generate", "x", "--steps", "0"], 2, "steps"),
    "no number": (["generate", "x", "--steps", "many"], 2, "--steps"),
    "unknown backend": (["generate", "x", "--backend", "dall-e"], 2, "flux-tiny-local"),
    "empty prompt": (["generate", " "], 2, "prompt"),
    "no prompt": (["generate"], 2, "prompt"),
    "unknown option": (["generate", "x", "--widht", "8"], 2, "--widht"),
    "unknown command": (["generat"], 2, "generat"),
    "count of nothing": (["generate", "x", "--count", "0"], 2, "count"),
    "backwards range": (["sweep", "x", "--seeds", "8..1"], 2, "8..1"),
    "no sizes": (["sweep", "x", "--size", "big"], 2, "big"),
    "open brace": (["sweep", "a {red|blue boat"], 2, "{"),
    "bad preview": (["generate", "x", "--preview", "maybe"], 2, "auto"),
    "home of nobody": (["generate", "x", "--output", "~nouser/x"], 2, "no such home folder"),
    "home of nobody to index": (["reindex", "~nouser/x"], 2, "no such home folder"),
    "config in nobody's home": (["status", "--config", "~nouser/x"], 2, "no such home folder"),
    "a JPEG": (["generate", "x", "--output", "x.jpg"], 2, "name it x.png"),
    "one file for a sweep": (["sweep", "x", "--seeds", "1,2", "--output", "x.png"], 2, "a folder"),
    "one file for three": (["generate", "x", "--count", "3", "--output", "x.png"], 2, "a folder"),
    "missing config": (["status", "--config", "/nowhere.yaml"], 2, "imagen config init"),
    "no text": (["generate", "a \udcff boat"], 2, "lone surrogate"),
    "guidance of nothing": (["generate", "x", "--guidance", "nan"], 2, "guidance"),
    "empty tag": (["generate", "x", "--tag", " "], 2, "tag"),
    "unwritable folder": (["generate", "x", "--output", "/dev/null/folder"], 1, "choose a folder"),
    "missing weights": (["generate", "x", "--backend", "flux-schnell-local"], 1, "hf download"),
    "no folder to reindex": (["reindex", "/nowhere/at/all"], 1, "/nowhere/at/all"),
}


@pytest.mark.parametrize(("arguments", "code", "says"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_one_clear_line_and_leaves_nothing(
    arguments: list[str], code: int, says: str, capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("IMAGEN_OUTPUT_DIR", str(tmp_path / "out"))
    if "--backend" not in arguments:
        monkeypatch.setenv("IMAGEN_BACKEND", "flux-tiny-local")
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err
    left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not left if code == 2 else left <= {".imagen"}


def test_broken_yaml_names_file_and_line(tmp_path: Path, capsys) -> None:
    (tmp_path / "imagen.yaml").write_text("backend: auto\nsteps: [1\n")
    assert run(["status", "--config", str(tmp_path / "imagen.yaml")]) == 2
    assert "imagen.yaml:3" in capsys.readouterr().err


def test_control_characters_never_reach_the_terminal(capsys) -> None:
    assert run(["generate", "x", "--backend", "\x1b[2Jbad"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_the_version_is_said(capsys) -> None:
    from imagen_nb._version import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"imagen_nb {__version__}\n"


def test_models_lists_each_backend_with_the_reason(capsys) -> None:
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flux-tiny-local"]["available"]
    assert "hf download" in rows["flux-dev-local"]["reason"]


def test_models_says_what_is_lacking_below_the_table(capsys) -> None:
    assert run(["models"]) == 0
    table, *notes = capsys.readouterr().out.split("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert rows["backend"] == ["here", "size", "steps", "price"]
    assert rows["flux-tiny-local"] == ["yes", "128×128", "6", "$0"]
    assert any(note.startswith("flux-dev-local: the weights of") for note in notes)


def test_models_says_what_is_configured_of_the_price(monkeypatch, capsys) -> None:
    monkeypatch.setenv("IMAGEN_COST_PRICES", "{flux-tiny-local: 0.125}")
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flux-tiny-local"]["cost_usd"] == 0.125
    assert rows["flux-dev-local"]["cost_usd"] == 0
    assert rows["flux"]["cost_usd"] is None


def test_reindex_rebuilds_the_catalog(tmp_path: Path, capsys) -> None:
    assert run([*DRAW, "--output", str(tmp_path)]) == 0
    (tmp_path / ".imagen" / "catalog.sqlite3").unlink()
    assert run(["reindex", str(tmp_path)]) == 0
    assert "1 pictures: 1 entered" in capsys.readouterr().out


def test_config_init_validate_show(tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    assert run(["config", "init", "--config", file]) == 2
    assert run(["config", "init", "--force", "--config", file]) == 0
    assert run(["config", "validate", "--config", file]) == 0
    assert run(["config", "show", "--json", "--config", file]) == 0
    assert Path(file).stat().st_mode & 0o777 == 0o600


def test_status_names_the_last_picture_and_makes_no_catalog(tmp_path: Path, capsys) -> None:
    assert run(["status", "--json", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == {"total": 0}
    assert not list(tmp_path.iterdir())
    assert run([*DRAW, "--output", str(tmp_path)]) == 0
    picture = capsys.readouterr().out.splitlines()[0]
    assert run(["status", "--json", "--output", str(tmp_path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"]["total"], facts["latest"]) == (1, [picture])


def test_a_picture_begins_with_another_one(tmp_path: Path, capsys) -> None:
    place = ["--output", str(tmp_path), "--seed", "3", "--steps", "4", "--json"]
    assert run(["generate", "a red boat", *place]) == 0
    first = json.loads(capsys.readouterr().out)
    begun = ["--init-image", first["path"], "--strength", "0.5"]
    assert run(["generate", "a blue boat", *place, *begun, "--scheduler", "euler-karras"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["sha256"] for one in record["inputs"]] == [first["sha256"]]
    assert (record["strength"], record["scheduler_name"]) == (0.5, "euler-karras")
    assert run(["generate", "a boat", *place, "--mask", first["path"]]) == 2
    assert "mask needs init_image" in capsys.readouterr().err


def test_too_much_strength_for_few_steps_is_told(tmp_path: Path, capsys) -> None:
    place = ["--output", str(tmp_path), "--seed", "3", "--steps", "4"]
    assert run(["generate", "a red boat", *place]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert run(["generate", "a blue boat", *place, "--init-image", first, "--strength", "0.7"]) == 0
    assert "nothing of the init image" not in capsys.readouterr().err
    assert run(["generate", "a blue boat", *place, "--init-image", first, "--strength", "0.8"]) == 0
    assert "nothing of the init image is left with 4 steps" in capsys.readouterr().err


def test_a_sweep_takes_lists_of_strengths_and_schedulers(tmp_path: Path, capsys) -> None:
    image = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), "grey").save(image)
    lists = ["--strength", "0.4,0.7", "--scheduler", "euler,euler-karras", "--seeds", "1"]
    place = ["--init-image", str(image), "--output", str(tmp_path), "--steps", "4", "--json"]
    assert run(["sweep", "a boat", *lists, *place]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [(one["strength"], one["scheduler_name"]) for one in records] == [
        (0.4, "euler"), (0.4, "euler-karras"), (0.7, "euler"), (0.7, "euler-karras"),
    ]  # fmt: skip


@pytest.mark.parametrize(("command", "method"), [("generate", "generate"), ("sweep", "sweep")])
def test_options_are_named_as_the_arguments_are(command: str, method: str) -> None:
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in known.params}
    arguments = set(inspect.signature(getattr(Studio, method)).parameters)
    own = {"tag", "lora", *EXTRAS, "no_cloud", "cloud_sync", "config", "preview", "as_json"}
    own |= {"count"} if command == "generate" else set()
    assert arguments - options - {"like"} == {
        "self",
        "tags",
        "cloud",
        "progress",
        "backend_options",
    }
    assert options - arguments == own


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process empties the catalog as soon as a call has drawn."""

    def emptied(draw: Any) -> Any:
        def drawing(*arguments: Any, **options: Any) -> Any:
            pictures = draw(*arguments, **options)
            with pictures[0].catalog.connection() as connection:
                connection.execute("DELETE FROM images")
            return pictures

        return drawing

    for method in ("repeat", "sweep"):
        monkeypatch.setattr(Studio, method, emptied(getattr(Studio, method)))


@pytest.mark.usefixtures("vanishing")
class TestWhatVanishedFromTheCatalog:
    """A picture that was drawn is reported, whatever has become of its entry."""

    def test_has_its_paths_printed(self, tmp_path: Path, capsys) -> None:
        assert run([*DRAW, "--output", str(tmp_path)]) == 0
        picture, sidecar = capsys.readouterr().out.splitlines()
        assert sidecar == f"sidecar: {picture}.json"
        assert Path(picture).exists()

    def test_is_a_whole_record_as_json(self, tmp_path: Path, capsys) -> None:
        assert run([*DRAW, "--seed", "7", "--json", "--output", str(tmp_path)]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["seed"], record["prompt"]) == (7, "a red boat")
        assert Path(record["path"]).exists()
        assert record["cloud"].startswith("unknown: it is not in the catalog")

    def test_is_in_the_array_of_several(self, tmp_path: Path, capsys) -> None:
        several = ["--seed", "7", "--count", "2", "--json", "--output", str(tmp_path)]
        assert run([*DRAW, *several]) == 0
        assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [7, 8]

    def test_is_in_the_array_of_a_sweep(self, tmp_path: Path, capsys) -> None:
        options = ["--seeds", "1,2", "--steps", "1", "--backend", "flux-tiny-local", "--json"]
        assert run(["sweep", "a star", *options, "--output", str(tmp_path)]) == 0
        assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [1, 2]


@pytest.mark.slow
def test_help_loads_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, contextlib\nfrom imagen_nb.cli import run\nrun(['--help'])\n"
        "print([m for m in ('torch', 'diffusers', 'pandas', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


MAIN = [sys.executable, "-c", "from imagen_nb.cli import main; main()"]


def ran(*arguments: str, before: str = "", **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, after the statements `before`."""
    code = f"{before}\nfrom imagen_nb.cli import main; main()"
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False, **settings)


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


def test_a_full_disk_is_one_line_and_leaves_no_picture(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    done = ran(*DRAW, "--output", str(tmp_path / "out"), before=limit)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"imagen: cannot keep pictures in ")
    assert done.stderr.count(b"\n") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {".imagen"}


def test_an_interrupt_is_one_line_and_keeps_whole_pictures_only(tmp_path: Path) -> None:
    # What was started in the background ignores Ctrl-C, and its children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = [*MAIN[:-1], f"{heard}; {MAIN[-1]}"]
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


SHOW = (
    "from PIL import Image\nfrom imagen_nb.system.terminal import show_picture, shows_pictures\n"
    "if shows_pictures('auto'): show_picture(Image.new('RGB', (8, 8), (200, 30, 90)))"
)


@pytest.mark.parametrize(
    ("columns", "environment", "input_too", "seen"),
    [
        (80, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}, True, b"200;30;90"),
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
    termios = pytest.importorskip("termios")
    terminal, side = os.openpty()
    termios.tcsetwinsize(side, (24, columns))
    started = subprocess.Popen(
        [sys.executable, "-c", SHOW], stdin=side if input_too else subprocess.DEVNULL,
        stdout=side, stderr=side, env={**os.environ, **environment}, start_new_session=True,
    )  # fmt: skip
    os.close(side)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody holds the other side
        while some := os.read(terminal, 65536):
            shown += some
    os.close(terminal)
    assert started.wait() == 0
    assert seen in shown if seen else shown == b""


def test_a_terminal_that_gives_no_answer_is_a_notice(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    show_picture(Image.new("RGB", (8, 8)))
    assert capsys.readouterr().err.startswith("imagen: no preview: ")
