"""The package's shape is checked: who imports whom, names, rooms, sizes, what documents name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.tool_files import loaded_tool

ROOT = Path(__file__).parent.parent
house = loaded_tool("lint_house")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's Python files and its configuration, in a folder of their own."""
    ignore = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(ROOT / "imagen_nb", tmp_path / "imagen_nb", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def imports_of(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([command, "--no-cache"], cwd=folder, capture_output=True, text=True)


def append(file: Path, code: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + code, encoding="utf-8")


class TestImports:
    def test_they_go_down_only(self) -> None:
        done = imports_of(ROOT)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        "climbing",
        [
            "\nfrom imagen_nb.studio import studio\n",
            "\ndef late():\n    from imagen_nb.studio import studio\n    return studio\n",
        ],
    )
    def test_one_that_climbs_fails_even_in_a_function(self, copy: Path, climbing: str) -> None:
        append(copy / "imagen_nb/system/paths.py", climbing)
        done = imports_of(copy)
        assert done.returncode == 1
        assert "imagen_nb.system.paths -> imagen_nb.studio.studio" in done.stdout

    def test_a_circle_within_a_room_fails(self, copy: Path) -> None:
        append(copy / "imagen_nb/storage/record.py", "\nimport imagen_nb.storage.output\n")
        done = imports_of(copy)
        assert done.returncode == 1
        assert "circle BROKEN" in done.stdout

    def test_a_new_room_must_have_its_place(self, copy: Path) -> None:
        (copy / "imagen_nb/attic").mkdir()
        (copy / "imagen_nb/attic/__init__.py").write_text('"""Where things are put."""\n')
        done = imports_of(copy)
        assert done.returncode == 1
        assert "attic" in done.stdout


class TestHouse:
    def test_it_is_in_order(self) -> None:
        assert house.check(ROOT) == []

    @pytest.mark.parametrize(
        ("file", "code", "problem"),
        [
            ("system/paths.py", "\ndef slug(): ...\n", "slug is defined in storage.names, system"),
            ("cli/tag.py", "\nfrom imagen_nb.cloud.local import node\n", "not list local.node"),
            ("cli/tag.py", "\nx = 1  # fmt: skip\n", "cli/tag.py skips the formatter"),
            ("cli/tag.py", "#\n" * 350, "lines, more than 350"),
        ],
    )
    def test_what_is_not_is_told(self, copy: Path, file: str, code: str, problem: str) -> None:
        append(copy / "imagen_nb" / file, code)
        (line,) = house.check(copy)
        assert problem in line

    def test_a_crowded_root_is_told(self, copy: Path) -> None:
        (copy / "imagen_nb/attic.txt").touch()
        assert house.check(copy) == ["imagen_nb/ has 17 entries, more than 16"]


def named_files(document: Path) -> set[str]:
    """What stands between backticks and looks like a file or folder of this project."""
    path = r"\w[\w.-]*(?:/[\w.*-]+)+/?"
    name = r"\w+/|\w[\w-]*\.(?:py|toml|md|yml)"
    return set(re.findall(f"`({path}|{name})`", document.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "name",
    ["docs/architecture.md", "docs/safety.md", "docs/seed.md", "CONTRIBUTING.md", "SECURITY.md"],
)
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    names = named_files(ROOT / name)
    assert len(names) > 15
    roots: tuple[Callable[[str], list[Path]], ...] = (
        lambda name: [*ROOT.glob(name)],
        lambda name: [*(ROOT / "imagen_nb").glob(name)],
    )
    missing = {name for name in names if not any(find(name.rstrip("/")) for find in roots)}
    assert not missing
