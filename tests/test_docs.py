"""What the documents say is so: examples run, commands exist, generated pages are fresh."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import imagen_nb as im
from imagen_nb import analysis
from imagen_nb.cli import app
from imagen_nb.studio.checkup import run as checkup
from tests.fixtures.tool_files import loaded_tool

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "docs/install.md", "docs/supabase.md")  # whose commands are looked at


@pytest.fixture(scope="module")
def cli_docs() -> ModuleType:
    return loaded_tool("cli_docs")


def typed(page: str) -> list[list[str]]:
    """The commands of a page, as words: those in blocks and those within sentences."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [line.removeprefix("$ ") for line in lines]
    found += re.findall(r"`((?:imagen|make) [^`]+)`", text)
    split = [shlex.split(line, comments=True) for line in found if "…" not in line]
    return [words for words in split if words and words[0] in ("imagen", "make")]


class TestCommandPage:
    def test_it_is_what_the_command_says(self, cli_docs: ModuleType) -> None:
        said = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
        assert said == cli_docs.page(), "docs/cli.md is stale: run python tools/cli_docs.py"

    def test_every_command_and_every_option_says_what_it_is_for(self, cli_docs: ModuleType) -> None:
        silent = []
        for path, context in cli_docs.all_commands():
            silent += [] if context.command.help else [path]
            parameters = context.command.params
            silent += [f"{path} {it.name}" for it in parameters if not getattr(it, "help", None)]
        assert silent == []


@pytest.mark.parametrize("words", [*chain.from_iterable(map(typed, PAGES))], ids=" ".join)
def test_commands_exist_with_their_options(words: list[str]) -> None:
    program, *rest = words
    if program == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text()
        return
    assert program == "imagen"
    command = typer.main.get_command(app)
    while rest and rest[0] in getattr(command, "commands", {}):
        name = rest.pop(0)
        command = command.commands[name]  # type: ignore[attr-defined]
    if getattr(command, "commands", None):  # then it is an option of `imagen` itself
        assert set(rest) <= {name for one in command.params for name in one.opts}, words
        return
    command.make_context("imagen", rest).close()  # raises for what it does not know


class TestReadme:
    """Its sections are followed, step by step, in tests/test_packaging.py."""

    def test_it_is_short_and_begins_with_the_install(self) -> None:
        assert len(README.splitlines()) <= 150
        first, second = re.findall(r"^```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:2]
        assert first == "$ pip install imagen_nb\n"
        assert len([line for line in second.splitlines() if line]) == 2

    def test_each_page_of_the_documentation_is_one_or_two_links_away(self) -> None:
        there = {page.name for page in (ROOT / "docs").glob("*.md")}
        linked = {Path(link).name for link in re.findall(r"\]\((docs/[^)#]+)", README)}
        pages = [(ROOT / "docs" / name) for name in linked if name.endswith(".md")]
        texts = [page.read_text(encoding="utf-8") for page in pages]
        further = {name for text in texts for name in re.findall(r"\]\(([\w-]+\.md)", text)}
        assert there <= linked | further

    def test_its_links_lead_somewhere(self) -> None:
        links = re.findall(r"\]\(([^)#]+)", README)
        assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_each_test_that_the_install_page_names_is_there() -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_install_page_tells_of_each_check_of_the_doctor() -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([a-z, ]+) \|", text.partition("doctor")[2], re.MULTILINE)
    names = set(", ".join(told).split(", "))
    checks = (*checkup._OF_SOFTWARE, checkup._CONFIGURATION, *checkup._OF_SETTINGS)
    assert {check.name for check in checks} <= names


class TestExtras:
    @pytest.fixture
    def tool(self) -> ModuleType:
        return loaded_tool("install_docs")

    @pytest.fixture
    def pyproject(self) -> dict[str, Any]:
        return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def test_the_readme_has_what_pyproject_says(
        self, tool: ModuleType, pyproject: dict[str, Any]
    ) -> None:
        fresh = tool.page(README, pyproject)
        assert fresh == README, "README.md is stale: run python tools/install_docs.py"

    def test_an_extra_that_nobody_described_is_named(
        self, tool: ModuleType, pyproject: dict[str, Any]
    ) -> None:
        pyproject["project"]["optional-dependencies"]["new"] = ["tqdm>=4"]
        with pytest.raises(ValueError, match=r"\[tool.imagen_nb.extras\].*what is for: new"):
            tool.page(README, pyproject)

    def test_a_description_of_what_is_gone_is_named(
        self, tool: ModuleType, pyproject: dict[str, Any]
    ) -> None:
        del pyproject["project"]["optional-dependencies"]["lora"]
        with pytest.raises(ValueError, match="no extra: lora"):
            tool.page(README, pyproject)


class TestPublicNames:
    """`__all__`, the lazy names and the typed imports are one list, and the typed file uses it."""

    def test_all_is_every_name_that_loads_and_the_version(self) -> None:
        assert sorted(im.__all__) == sorted([*im._HOMES, "__version__"])
        assert dir(im) == sorted(im.__all__)

    def test_what_a_type_checker_sees_is_what_loads(self) -> None:
        tree = ast.parse(Path(im.__file__).read_text(encoding="utf-8"))
        typed_names = {
            alias.name: str(node.module).removeprefix("imagen_nb.")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("imagen_nb.")
            for alias in node.names
            if alias.name != "__version__"
        }
        assert typed_names == im._HOMES

    def test_nothing_public_lives_beside_them(self) -> None:
        modules = {path.stem for path in Path(im.__file__).parent.iterdir()}
        names = {name for name in vars(im) if not name.startswith("_")} - modules
        python = {"annotations", "import_module", "TYPE_CHECKING", "Any"}
        ipython = {"load_ipython_extension", "unload_ipython_extension"}
        assert names - set(im.__all__) == python | ipython

    def test_the_typed_file_uses_every_public_name(self) -> None:
        assert set(used_names()) >= set(im.__all__)

    def test_every_public_name_is_documented(self) -> None:
        documented = [getattr(im, name).__doc__ for name in im.__all__ if name != "__version__"]
        assert all(documented)


def used_names() -> Iterator[str]:
    tree = ast.parse((ROOT / "tests" / "typing" / "api.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "im":
            yield node.attr


class TestGuides:
    """The guides' Python runs from top to bottom, on pictures drawn for it."""

    @pytest.fixture
    def ran(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
        """Runs a guide, and gives the names that it has in the end."""
        monkeypatch.chdir(tmp_path)
        studio = im.configure(backend="flux-tiny-local", output={"dir": str(tmp_path)}, steps=1)
        studio.sweep("a boat at sunset", seeds=range(3), tags=["keeper"], progress=False)

        def run(name: str) -> dict[str, Any]:
            text = (ROOT / "docs" / name).read_text(encoding="utf-8")
            names: dict[str, Any] = {}
            for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
                exec(compile(code, name, "exec"), names)
            return names

        yield run
        studio.close()

    @pytest.mark.slow
    def test_the_history_guide_runs(self, ran: Callable[..., Any]) -> None:
        names = ran("history.md")
        assert len(names["df"]) == 3
        sidecars = [*map(json.loads, names["back"]["sidecar"])]
        assert sidecars == names["whole"]["sidecar"].tolist()
        assert names["again"].identical is True
        assert len(names["best"]) == 3
        assert names["first"].size == (128, 128)

    @pytest.mark.slow
    def test_the_analysis_guide_runs(self, ran: Callable[..., Any], tmp_path: Path) -> None:
        names = ran("analysis.md")
        assert len(names["df"]) == 3
        assert len(names["ax"].images) == 3
        assert (tmp_path / "days.svg").read_text().startswith("<?xml")
        assert (tmp_path / "report.html").stat().st_size > 50_000
        assert (tmp_path / "keepers.html").exists()

    @pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        there = [link for link in links if "://" not in link]
        assert [link for link in there if not (page.parent / link).exists()] == []

    def test_every_figure_is_in_the_analysis_guide_with_a_small_picture(self) -> None:
        text = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
        figures = [name for name in analysis.__all__ if name.islower() and name != "label"]
        assert len(figures) == 6
        for name in figures:
            assert f"analysis.{name}(" in text
            assert (ROOT / "docs" / "analysis" / f"{name}.png").stat().st_size <= 60_000
            assert f"](analysis/{name}.png)" in text

    @pytest.mark.slow
    def test_the_guide_to_editing_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        text = (ROOT / "docs" / "editing.md").read_text(encoding="utf-8")
        names: dict[str, Any] = {}
        with im.configure(output={"dir": str(tmp_path)}, backend="flux-tiny-local") as studio:
            for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
                exec(compile(code, "docs/editing.md", "exec"), names)
            assert len(studio.history()) == 1 + 1 + 6 + 1 + 1 + 4
        for line in re.findall(r"^\$ imagen (.*)$", text, re.MULTILINE):
            name, *rest = shlex.split(line)
            command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
            command.make_context(name, rest).close()  # raises for what it does not know

    @pytest.mark.slow
    def test_the_notebook_guides_part_on_autolog_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        studio = im.configure(output={"dir": str(tmp_path)})
        text = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
        part = text.partition("## autolog")[2].partition("\n## ")[0]
        names: dict[str, Any] = {}
        try:
            for code in re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
                exec(compile(code, "docs/notebook.md", "exec"), names)
        finally:
            im.autolog(disable=True)
            studio.close()
        assert names["df"]["seed"].tolist() == [11]
        assert names["again"].identical is True
