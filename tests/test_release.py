"""`make release`: a version is tagged only if everything says so, and nothing is pushed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.tool_files import TOOLS, loaded_tool

tool = loaded_tool("release")
CHANGELOG = (
    "# Changelog\n\n## 1.2.0 - 2026-11-27\n\n### Added\n\n- A boat.\n\n## 1.1.0 - 2026-01-02\n"
)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is ready for 1.2.0."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "nobody")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "nobody@localhost")
    files = {
        "CHANGELOG.md": CHANGELOG,
        "CITATION.cff": 'version: 1.2.0\ndate-released: "2026-11-27"\n',
        "conda/recipe/recipe.yaml": 'context:\n  version: "1.2.0"\n',
        "imagen_nb/_version.py": '__version__ = "1.2.0"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(tree: Path) -> None:
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "ready")


def built() -> tuple[list[Path], Callable[[Path], None]]:
    calls: list[Path] = []
    return calls, calls.append


def test_it_builds_then_tags_with_the_changes_and_says_what_to_push(tree: Path) -> None:
    calls, build = built()
    said = tool.release(tree, "1.2.0", build)
    assert calls == [tree]
    assert git(tree, "tag", "--list", "--format=%(contents)") == (
        "imagen_nb 1.2.0\n\n### Added\n\n- A boat."
    )
    assert git(tree, "rev-parse", "v1.2.0^{commit}") == git(tree, "rev-parse", "HEAD")
    assert "git push origin HEAD v1.2.0" in said


def dirty(tree: Path) -> None:
    (tree / "new.txt").touch()


def without_a_date(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace(" - 2026-11-27", ""))
    commit(tree)


def without_changes(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("### Added\n\n- A boat.\n", ""))
    commit(tree)


def without_its_section(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text(CHANGELOG.replace("1.2.0", "1.3.0"))
    commit(tree)


def of_another_version(tree: Path) -> None:
    (tree / "imagen_nb/_version.py").write_text('__version__ = "1.1.0"\n')
    commit(tree)


def cited_on_another_day(tree: Path) -> None:
    (tree / "CITATION.cff").write_text('version: 1.2.0\ndate-released: "2026-11-26"\n')
    commit(tree)


def tagged(tree: Path) -> None:
    git(tree, "tag", "v1.2.0")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (dirty, "new.txt"),
        (without_a_date, "needs a date"),
        (without_changes, "needs a date and entries"),
        (without_its_section, "no section '## 1.2.0"),
        (of_another_version, "_version.py does not say"),
        (cited_on_another_day, "CITATION.cff does not say"),
        (tagged, "there already"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_refuses_a_tree_before_it_builds(
    tree: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(tree)
    before = git(tree, "tag", "--list")
    calls, build = built()
    with pytest.raises(tool.NotReadyError, match=reason):
        tool.release(tree, "1.2.0", build)
    assert calls == []
    assert git(tree, "tag", "--list") == before


def test_what_does_not_build_is_not_tagged(tree: Path) -> None:
    (tree / "Makefile").write_text("dist:\n\t@exit 1\n")
    commit(tree)
    with pytest.raises(tool.NotReadyError, match="make dist failed"):
        tool.release(tree, "1.2.0")
    assert git(tree, "tag", "--list") == ""


@pytest.mark.parametrize("version", ["v1.2.0", "1.2", "1.2.0rc1", "1.2.0; true", ""])
def test_a_version_is_three_numbers(tree: Path, version: str) -> None:
    with pytest.raises(tool.NotReadyError, match="is no version like"):
        tool.check(tree, version)


def test_this_project_agrees_on_its_version() -> None:
    import imagen_nb

    assert tool.check(TOOLS.parent, imagen_nb.__version__)
