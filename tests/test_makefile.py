"""`make demo` installs what users get; what developers need comes with the other targets."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Makefile looks at, and an environment that is there and empty."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    return tmp_path


def would_run(target: str, checkout: Path) -> str:
    command = ["make", "--dry-run", target]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout


def stamp(checkout: Path, *names: str) -> None:
    """As after a target that ended well: newer than what it was made from."""
    for name in names:
        (checkout / ".venv" / name).touch()


def test_the_demo_installs_no_tools_of_developers_and_says_what_it_does(checkout: Path) -> None:
    told = would_run("demo", checkout)
    assert " -e .\n" in told
    assert "[dev]" not in told
    assert [f"{number}/5" in told for number in range(1, 6)] == [True] * 5


def test_tests_after_a_demo_install_what_they_need(checkout: Path) -> None:
    stamp(checkout, ".plain")
    assert '-e ".[dev]"' in would_run("test", checkout)


def test_a_demo_after_tests_installs_nothing(checkout: Path) -> None:
    recipe = would_run("test", checkout)
    assert "touch .venv/.plain .venv/.installed\n" in recipe
    stamp(checkout, ".plain", ".installed")
    assert "pip" not in would_run("demo", checkout)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_another_version_in_constraints_is_installed(target: str, checkout: Path) -> None:
    stamp(checkout, ".plain", ".installed")
    time.sleep(0.01)
    (checkout / "constraints.txt").touch()
    assert "pip" in would_run(target, checkout)
