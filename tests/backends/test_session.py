"""A session's backends: each name with its options is one backend, however often it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagen_nb.backends.session import Backends
from imagen_nb.errors import UsageError


def test_the_same_name_and_options_are_one_backend(schnell_folder: Path) -> None:
    backends = Backends("flux-tiny-local", {})
    usual = backends.get()
    assert backends.get("flux-tiny-local") is usual
    assert backends.get("flux-tiny-local", {"loras": None}) is usual
    other = backends.get("flux", {"model": str(schnell_folder)})
    assert backends.get("flux", {"model": str(schnell_folder)}) is other
    assert other.name == "flux"


def test_configured_options_are_those_of_the_configured_backend_alone(schnell_folder: Path) -> None:
    backends = Backends("flux", {"model": str(schnell_folder)})
    assert backends.get().model == "schnell-like"
    assert backends.get("flux-tiny-local").name == "flux-tiny-local"
    with pytest.raises(UsageError, match="needs model"):
        backends.get(None, {"model": None})


def test_why_auto_chose_it_is_told_once() -> None:
    backends = Backends("auto", {})
    assert backends.why(backends.get()).startswith("drawing with flux-tiny-local")
    assert backends.why(backends.get()) == ""
    assert backends.why(backends.get("flux-tiny-local")) == ""


def test_what_has_drawn_is_known() -> None:
    backends = Backends("flux-tiny-local", {})
    assert not backends.has_drawn(backends.get())
    backends.note_drawn(backends.get())
    assert backends.has_drawn(backends.get())
