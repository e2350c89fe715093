"""The reference is whole: each public name, option and key is on a page, each page is listed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

import imagen_nb as im
from imagen_nb import analysis
from imagen_nb.config.settings import environment_name, setting_keys
from imagen_nb.config.yaml_file import YAML_TEMPLATE
from imagen_nb.frames.schema import HISTORY_COLUMNS
from imagen_nb.storage.record import Record
from tests.fixtures.tool_files import loaded_tool
from tests.test_examples import OWNERS, public_members

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def reference_docs() -> ModuleType:
    return loaded_tool("reference_docs")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def directives() -> dict[str, str]:
    """What docs/api.md describes: each name with the options below it."""
    found = re.findall(r"^\.\. auto\w+:: (\S+)\n((?:   :.*\n)*)", page("api.md"), re.MULTILINE)
    return dict(found)


class TestPython:
    def test_every_public_name_is_described(self) -> None:
        wanted = {f"imagen_nb.{name}" for name in im.__all__ if name != "__version__"}
        wanted |= {f"imagen_nb.analysis.{name}" for name in analysis.__all__}
        assert wanted - directives().keys() == set()
        assert "`imagen_nb.__version__`" in page("api.md")

    def test_every_method_is_described(self) -> None:
        """Those of classes that stand there with their members, and have a docstring."""
        for owner in OWNERS:
            home = "imagen_nb.widgets.accessor." if owner.__name__ == "Accessor" else "imagen_nb."
            options = directives()[f"{home}{owner.__name__}"]
            assert "   :members:\n" in options
            inherited = [name for name in public_members(owner) if name not in vars(owner)]
            assert not inherited or "   :inherited-members:\n" in options, inherited
            assert all(getattr(owner, name).__doc__ for name in public_members(owner))


class TestCommand:
    def test_every_option_is_on_the_page(self) -> None:
        text = page("cli.md")
        for path, context in loaded_tool("cli_docs").all_commands():
            part = text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
            for parameter in context.command.params:
                names = [name for name in parameter.opts if name.startswith("-")]
                lacking = [name for name in names if name not in part]
                assert lacking == [], f"docs/cli.md lacks {lacking} of {path}"


class TestPages:
    @pytest.mark.parametrize("name", ["configuration.md", "columns.md"])
    def test_it_is_what_the_code_says(self, name: str, reference_docs: ModuleType) -> None:
        assert page(name) == reference_docs.PAGES[name](), (
            f"docs/{name} is stale: run python tools/reference_docs.py"
        )

    def test_every_key_of_the_configuration_is_explained(self, reference_docs: ModuleType) -> None:
        comments = reference_docs.template_comments()
        for key in setting_keys():
            assert f"| `{key}` | " in page("configuration.md")
            assert f"| `${environment_name(key)}` |" in page("configuration.md")
            if not key.startswith("memory."):  # docs/models.md has those
                assert comments[key], f"the template of imagen.yaml says nothing above {key}"
        assert YAML_TEMPLATE in page("configuration.md")

    def test_every_key_of_a_sidecar_and_every_column_is_explained(self) -> None:
        sidecar, _, history = page("columns.md").partition("## The table")
        for name in [*Record.model_fields, *Record.model_computed_fields]:
            assert re.search(rf"^\| `{name}` \| [\w ,0-9]+ \| .+\. \|$", sidecar, re.MULTILINE), (
                name
            )
        for name in HISTORY_COLUMNS:
            assert f"| `{name}` | " in history


class TestSite:
    """The site itself is built by `make docs`; here is what can be told without it."""

    def listed(self) -> Iterator[str]:
        for block in re.findall(r"```{toctree}\n(.*?)```", page("index.md"), re.DOTALL):
            for line in filter(None, block.splitlines()):
                if not line.startswith(":"):
                    yield line.partition("<")[2].rstrip(">") or line

    def test_every_page_stands_in_a_section_of_the_index(self) -> None:
        entries = [*self.listed()]
        for file in sorted(DOCS.glob("*.md")):
            homes = [entry for entry in entries if fnmatch(file.stem, entry)]
            assert homes or file.stem == "index", f"docs/index.md lists {file.name} in no section"

    def test_each_entry_of_the_index_is_there(self) -> None:
        for entry in self.listed():
            found = [*DOCS.glob(f"{entry}.md"), *DOCS.glob(f"{entry}.ipynb")]
            assert found or "*" in entry, entry

    def test_what_is_fetched_or_leads_nowhere_is_found(self, tmp_path: Path) -> None:
        checker = loaded_tool("check_site")
        (tmp_path / "a.html").write_text(
            '<script src="https://unpkg.example/x.js"></script><link rel="icon" href="no.svg">'
            '<a href="b.html#there">b</a><a href="b.html#gone">b</a><a href="c.html">c</a>'
            '<a href="https://example.org">out</a><img src="data:image/png;base64,AA">'
        )
        (tmp_path / "b.html").write_text('<p id="there">')
        (tmp_path / "search.html").write_text("<p>")
        (tmp_path / "x.css").write_text("@import 'https://fonts.example/a.css'; p {color: red}")
        assert checker.check(tmp_path) == [
            "a.html loads https://unpkg.example/x.js from another host",
            "a.html links to no.svg, which is not there",
            "x.css names @import 'https://fonts.example/a.css",
            "a.html links to b.html#gone, which has no such part",
            "a.html links to c.html, which is not there",
            "search.html does not load its index as a script: it needs a server",
        ]
