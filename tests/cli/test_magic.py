"""%imagen: the command's options, a prompt as people write it, and one line for every mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from traitlets.config import Config

import imagen_nb as im
from imagen_nb.backends import backend_names
from imagen_nb.cli import app, magic
from imagen_nb.studio import drawing
from imagen_nb.studio.default import leave

EXTENSION = "%load_ext imagen_nb"


class Session:
    """IPython with the extension loaded. Pictures of one step go to a folder of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = settings
        self.shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
        self.shell.run_cell(EXTENSION)
        self.folder = folder

    def run(self, cell: str) -> Any:
        """What the cell gives. Raises what it raises."""
        return self.shell.run_cell(cell).result

    def error(self, cell: str) -> BaseException | None:
        return self.shell.run_cell(cell).error_in_exec

    @property
    def pictures(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.png"))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    folder = tmp_path / "pictures"
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "steps": 1}
    im.configure(**settings)
    yield Session(folder, **settings)
    leave()


def words(line: str, cell: str = "", **names: Any) -> list[str]:
    """The arguments that a line and a cell stand for."""
    return magic.command_arguments(line, cell, lambda text: text.format(**names) if names else text)


class TestOptions:
    def test_they_are_those_of_the_command(self) -> None:
        def options(command: Any) -> dict[str, tuple[Any, ...]]:
            return {
                one.name: (one.opts, one.is_flag, one.multiple, one.default, one.help)
                for one in command.params
                if one.param_type_name == "option"
            }

        generate = typer.main.get_command(app).commands["generate"]  # type: ignore[attr-defined]
        theirs, ours = options(generate), options(magic.magic_command())
        assert set(theirs) >= magic.OMITTED_OPTIONS
        assert ours.pop("assign")[0] == ["-o", "--assign"]
        assert ours == {
            name: one for name, one in theirs.items() if name not in magic.OMITTED_OPTIONS
        }

    @pytest.mark.parametrize(
        ("line", "cell", "arguments"),
        [
            ("a red boat", "", ["--", "a red boat"]),
            ("a red boat --seed 3", "", ["--seed", "3", "--", "a red boat"]),
            ("--seed 3 --again a red boat", "", ["--seed", "3", "--again", "--", "a red boat"]),
            ('"a red  boat" --seed=3', "", ["--seed=3", "--", "a red  boat"]),
            ("it's a boat, isn't it", "", ["--", "it's a boat, isn't it"]),
            ('a sign that says "open"', "", ["--", 'a sign that says "open"']),
            ("a boat --tag 'at sea' -o b", "", ["--tag", "at sea", "-o", "b", "--", "a boat"]),
            ('a boat --tag="at sea"', "", ["--tag=at sea", "--", "a boat"]),
            ("a boat - at -5 degrees", "", ["--", "a boat - at -5 degrees"]),
            ("--seed -1 x", "", ["--seed", "-1", "--", "x"]),
            ('"--seed 3"', "", ["--", "--seed 3"]),
            ("-- --seed 3", "", ["--", "--seed 3"]),
            (
                "--count 2",
                "a boat\n  at sunset\n\n--seed {x}\n",
                ["--count", "2", "--", "a boat at sunset --seed {x}"],
            ),
            ("a boat", "at sunset", ["--", "a boat at sunset"]),
            ("a {red|blue} boat {", "", ["--", "a {red|blue} boat {"]),
            ("", "\n", []),
            ("--seed", "", ["--seed"]),
        ],
    )
    def test_flags_are_told_from_the_prompt(
        self, line: str, cell: str, arguments: list[str]
    ) -> None:
        assert words(line, cell) == arguments

    def test_what_is_in_a_variable_is_never_a_flag(self) -> None:
        evil = "--output /tmp/evil -o im"
        arguments = ["--tag", evil, f"--tag={evil}", "--", evil]
        assert words("{x} --tag {x} --tag={x}", x=evil) == arguments


MISTAKES = {
    "an unknown flag": ("%imagen a boat --widht 3", "No such option: --widht"),
    "no number": ("%imagen a boat --steps many", "--steps"),
    "no value": ("%imagen a boat --seed", "--seed"),
    "a flag of the shell alone": ("%imagen a boat --json", "--json"),
    "no prompt": ("%imagen --seed 3", "prompt"),
    "no name": ("%imagen a boat -o 1x", "not '1x'"),
    "a keyword": ("%imagen a boat -o class", "not 'class'"),
    "no such width": ("%%imagen --width 130\na boat", "try 128 or 144"),
    "no such backend": ("%imagen a boat --backend dall-e", "flux-tiny-local"),
    "a count of nothing": ("%imagen a boat --count 0", "--count must be from 1"),
    "control characters": ("%imagen a boat --backend \x9b2Jx", "unknown backend"),
}


@pytest.mark.slow
class TestDrawing:
    def test_a_line_gives_the_picture_and_shows_it(self, session: Session, capsys: Any) -> None:
        picture = session.run("%imagen a red boat at sunset --seed 3 --tag sea")
        assert isinstance(picture, im.Picture)
        record = picture.record
        assert (record.prompt, record.seed, record.tags) == ("a red boat at sunset", 3, ("sea",))
        assert repr(picture) in capsys.readouterr().out

    def test_a_name_is_given_what_was_drawn(self, session: Session) -> None:
        one = session.run("%imagen a boat -o one")
        assert session.run("one") is one
        session.run("%%imagen --count 2 --seed 5 -o two\na boat\nat {sunset}")
        two = session.run("two")
        assert isinstance(two, im.Pictures)
        assert [picture.record.seed for picture in two] == [5, 6]
        assert {picture.record.prompt for picture in two} == {"a boat at {sunset}"}

    def test_it_can_be_assigned_as_any_magic(self, session: Session) -> None:
        session.run("x = %imagen a boat")
        assert session.run("x.record.prompt") == "a boat"

    def test_variables_stand_on_the_line_and_a_cells_text_is_as_it_is(
        self, session: Session
    ) -> None:
        session.run("what, number = 'boat', 7")
        record = session.run(
            "%imagen a {what} for $5 and {number + 1} {nothing} --seed $number"
        ).record
        assert (record.prompt, record.seed) == ("a boat for $5 and 8 {nothing}", 7)
        record = session.run("%%imagen --seed {number}\na {what} for $number").record
        assert (record.prompt, record.seed) == ("a {what} for $number", 7)

    def test_what_was_drawn_today_is_given_unless_it_shall_be_again(
        self, session: Session, capsys: Any
    ) -> None:
        cell = "%imagen a boat --seed 3"
        first, second = session.run(cell), session.run(cell)
        assert first.path == second.path
        assert capsys.readouterr().err.count("(--again draws anew)") == 1
        session.run(f"{cell} --again")
        assert "(--again" not in capsys.readouterr().err
        assert session.pictures == [first.path.name]  # the same pixels: the same file

    def test_a_picture_can_stay_out_of_the_cloud_and_go_elsewhere(
        self, session: Session, tmp_path: Path
    ) -> None:
        picture = session.run(f"%imagen a boat --no-cloud --output '{tmp_path / 'a b' / 'c.png'}'")
        assert picture.cloud == "off"
        assert picture.path == tmp_path / "a b" / "c.png"

    def test_no_preview_shows_no_growing_picture(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = []

        def listener(*arguments: Any, previews: bool, **options: Any) -> Any:
            told.append(previews)
            return nullcontext()

        monkeypatch.setattr(drawing, "progress_listener", listener)
        session.run("%imagen a boat --seed 1 --no-preview")
        session.run("%imagen a boat --seed 2")
        im.configure(**session.settings, preview="off")
        session.run("%imagen a boat --seed 3")
        assert told == [False, True, False]

    @pytest.mark.parametrize(("cell", "says"), MISTAKES.values(), ids=MISTAKES)
    def test_a_mistake_is_one_line_and_nothing_is_drawn(
        self, cell: str, says: str, session: Session, capsys: Any
    ) -> None:
        error = session.error(cell)
        assert isinstance(error, im.UsageError)
        (line,) = error._render_traceback_()
        assert says.casefold() in line.casefold()
        shown = capsys.readouterr()
        assert shown.out.strip() == line
        assert "\x9b" not in line
        assert session.pictures == []


@pytest.mark.slow
def test_the_cells_of_the_guide_run(session: Session) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "notebook.md").read_text("utf-8")
    cells = re.findall(r"^```ipython\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(cells) == 4
    assert [session.error(cell) for cell in cells] == [None] * 4
    assert session.run("lighthouse.record.tags, len(boats)") == (("sea",), 4)
    assert len(session.pictures) == 6
    flags = {
        one for option in magic.magic_command().params for one in option.opts if one[:2] == "--"
    }
    assert {one for one in flags if one not in guide} <= {"--help", "--assign"}


class TestHelp:
    def test_nothing_is_a_short_help_and_help_a_long_one(
        self, session: Session, capsys: Any
    ) -> None:
        assert session.run("%imagen") is None
        assert capsys.readouterr().out.count("\n") == 3
        assert session.run("%imagen --help") is None
        told = capsys.readouterr().out
        assert told.startswith("Usage: %imagen [OPTIONS]")
        assert all(
            name in told for one in magic.magic_command().params for name in one.opts if "-" in name
        )
        session.run("%imagen?")
        assert "Draw a picture" in capsys.readouterr().out

    def test_it_is_unloaded_and_reloaded(self, session: Session, capsys: Any) -> None:
        matchers = session.shell.Completer.custom_matchers
        for line, loaded in (("%reload_ext", True), ("%unload_ext", False), ("%load_ext", True)):
            session.run(f"{line} imagen_nb")
            kinds = session.shell.magics_manager.magics.values()
            assert [magic.MAGIC_NAME in kind for kind in kinds] == [loaded, loaded]
            assert len(matchers) == loaded
        assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[str]]]:
    """What a real kernel offers at the end of a text, as JupyterLab asks for it."""
    folder = tmp_path_factory.mktemp("kernel")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    setup = (
        f"{EXTENSION}\nimport imagen_nb as im\nim.configure(backend='flux-tiny-local',"
        " output={'dir': 'pictures'}, steps=1)\nim.generate('x', tags=['sea', 'sea side', 'night'])"
    )
    assert client.execute_interactive(setup, timeout=300)["content"]["status"] == "ok"

    def complete(text: str) -> list[str]:
        answer = client.complete(text, len(text), reply=True, timeout=60)["content"]
        before = text[: answer["cursor_start"]]
        return sorted(before + match for match in answer["matches"])

    yield complete
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.slow
class TestCompletion:
    @pytest.mark.parametrize(
        ("text", "offered"),
        [
            ("%imagen --se", ["--seed"]),
            ("%%imagen a red boat --ste", ["--steps"]),
            ("x = 1\n%imagen a boat --w", ["--width"]),
            ("p = %imagen --no", ["--no-cloud", "--no-preview"]),
            ("%imagen --tag s", ["sea"]),
            ("%imagen a boat --tag ", ["night", "sea"]),
            ("%imagen --tag=n", ["--tag=night"]),
            ("%imagen --backend=flux-ti", ["--backend=flux-tiny-local"]),
            ("%imagen --scheduler=un", ["--scheduler=unipc"]),
        ],
    )
    def test_flags_and_their_values_are_offered(
        self, text: str, offered: list[str], completed: Callable[[str], list[str]]
    ) -> None:
        before = text[: len(text) - len(text.split(" ")[-1])]
        assert completed(text) == [before + one for one in offered]

    def test_every_backend_is_offered(self, completed: Callable[[str], list[str]]) -> None:
        line = "%imagen --backend "
        assert completed(line) == sorted(
            line + name for name in ["auto", "remote", *backend_names()]
        )

    def test_elsewhere_it_offers_nothing(self, completed: Callable[[str], list[str]]) -> None:
        assert completed("%imagen\nzip.__cl") == ["%imagen\nzip.__class__"]
        assert not [one for one in completed("imagen = 3\nx = --se") if "seed" in one]
