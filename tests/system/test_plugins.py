"""Plug-ins are found by name, and what is wrong with one is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagen_nb.backends import backend_names
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.system.plugins import PluginKind

WRITERS = PluginKind("writer", "imagen_test.writers", also=("plain",))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package `others` whose entry points are these, with a module of this code."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(code: str = "", **entries: str) -> None:
        info = tmp_path / "others-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[imagen_test.writers]", *lines]))
        (tmp_path / "others_code.py").write_text(code)

    yield install
    sys.modules.pop("others_code", None)


def test_it_is_found_by_its_name_and_imported_when_it_is_used(
    installed: Callable[..., None],
) -> None:
    installed("def fast(): return 7", fast="others_code:fast", gone="not_there:x")
    assert WRITERS.names() == ["fast", "gone"]
    assert WRITERS.load("fast")() == 7
    assert WRITERS.find("slow") is None


def test_an_unknown_one_is_answered_with_the_nearest(installed: Callable[..., None]) -> None:
    installed(fast="others_code:fast")
    message = r"unknown writer 'fats': use one of fast, or plain; did you mean fast\?"
    with pytest.raises(UsageError, match=message):
        WRITERS.load("fats")
    with pytest.raises(UsageError, match="unknown writer"):
        WRITERS.require("fats")
    WRITERS.require("fast")
    WRITERS.require("plain")


def test_where_there_is_none_it_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"no writer is installed: install a package"):
        PluginKind("writer", "imagen_test.nothing").load("fast")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
    ],
)
def test_one_that_cannot_be_imported_is_named_with_its_package_and_the_reason(
    installed: Callable[..., None], code: str, reason: str
) -> None:
    installed(code, fast="others_code:fast")
    expected = rf"the writer fast of the package others cannot be loaded: {reason}"
    with pytest.raises(ImagenError, match=expected):
        WRITERS.load("fast")


def test_one_that_says_itself_what_it_lacks_is_not_talked_over(
    installed: Callable[..., None],
) -> None:
    code = "from imagen_nb.errors import BackendError\nraise BackendError('pip install more')"
    installed(code, fast="others_code:fast")
    with pytest.raises(ImagenError, match=r"^pip install more$"):
        WRITERS.load("fast")


def test_a_broken_backend_of_others_is_a_row_that_says_so_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagen_nb.backends import backend_rows

    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imagen_nb.backends]\nbroken = no_such_module:x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = {row["name"]: row for row in backend_rows()}
    assert set(rows) == set(backend_names())
    assert "of the package broken cannot be loaded" in rows["broken"]["reason"]
    assert rows["flux-tiny-local"]["available"]
