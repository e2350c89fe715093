"""Runs tests on a copy of the tree, again and again, in forks of a process that has the libraries.

So that a run takes what the tests take: starting pytest anew imports for six seconds before.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

COPIED = ("imagen_nb", "tests", "sql", "notebooks", "pyproject.toml")
OUTPUT_CHARS = 2000  # that are kept of what pytest prints
# Without nbval, which imports for seconds, and without what rewrites tests, each time anew.
OPTIONS = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:nbval"]
OPTIONS += ["--hypothesis-seed=17", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


def move_into_copy(root: Path, parent: Path) -> None:
    """Copy the tree into a folder of this process, and go there for good."""
    folder = parent / str(os.getpid())
    folder.mkdir()
    for name in COPIED:
        if (root / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / name, folder / name, ignore=ignored)
        else:
            shutil.copy2(root / name, folder / name)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # two changes within a second are one to Python
    (folder / "tmp").mkdir()
    os.environ.update(
        PYTHONPATH=str(folder),
        PYTHONDONTWRITEBYTECODE="1",
        PYTEST_DEBUG_TEMPROOT=str(folder / "tmp"),
        OMP_WAIT_POLICY="PASSIVE",
    )


@cache
def usual_seconds(tests: tuple[str, ...]) -> float:
    """Return how long they take unchanged; load here the libraries that they need.

    Exit if they fail.
    """
    began = time.monotonic()
    passed, output = run_tests(tests, 600, "libraries.json")
    if not passed:
        raise SystemExit(f"{' '.join(tests)} fail without any change:\n{output}")
    for name in json.loads(Path("libraries.json").read_text(encoding="utf-8")):
        with suppress(Exception):  # some are no modules that can be imported by name
            importlib.import_module(name)
    return time.monotonic() - began


def run_tests(
    tests: Sequence[str], limit_s: float, libraries: str = ""
) -> tuple[bool, str]:
    """Run them until one fails; return whether all pass, and the end of what they print.

    `libraries`: the file to write the names of imported modules to, but ours.
    """
    pid = os.fork()
    if pid == 0:
        _run_in_child(tests, libraries)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _end_all_of(pid)
            text = Path("output.txt").read_text(encoding="utf-8", errors="replace")
            return status == 0, text[-OUTPUT_CHARS:]
        time.sleep(0.01)
    _end_all_of(pid)
    os.waitpid(pid, 0)
    return False, "out of time"


def _run_in_child(tests: Sequence[str], libraries: str) -> None:
    code = 1
    try:
        os.setsid()
        with open("output.txt", "wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = pytest.main(["-x", *OPTIONS, *tests])
        if libraries:
            ours = ("imagen_nb", "tests")
            names = [name for name in sys.modules if not name.startswith(ours)]
            Path(libraries).write_text(json.dumps(names), encoding="utf-8")
        sys.stdout.flush()
    finally:
        os._exit(code)


def _end_all_of(leader: int) -> None:
    """End what the tests started and left."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
