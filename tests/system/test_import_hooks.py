"""Waiting until somebody imports a module."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from imagen_nb.system.import_hooks import when_imported


def test_two_can_wait_for_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "awaited.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    told: list[str] = []
    when_imported("awaited", lambda: told.append("first"))
    when_imported("awaited", lambda: told.append("second"))
    assert importlib.import_module("awaited").x == 1
    assert sorted(told) == ["first", "second"]
    del sys.modules["awaited"]
