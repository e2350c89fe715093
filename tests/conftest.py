"""Every test runs in an empty home, with nothing of the machine's own settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from PIL import Image

from imagen_nb.record import Record

pytest_plugins = ["supabase_fixtures"]  # in tests/cloud

settings.register_profile("imagen", deadline=None)  # machines are busy; speed is bench's to judge
settings.load_profile("imagen")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        if name.startswith(("IMAGEN_", "XDG_", "SUPABASE_", "REPLICATE_", "HF_", "PAPERMILL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A record as a Studio makes it, with whatever fields the test cares about."""

    def make(**fields: Any) -> Record:
        usual = {
            "prompt": "a tiny lighthouse on a stormy cliff, photo",
            "backend": "flux-tiny-local",
            "model": "flux-tiny",
            "seed": 11,
            "steps": 4,
            "width": 32,
            "height": 16,
            "latency_ms": 120,
            "cost_usd_estimate": 0.0,
            "guidance": 0.0,
            "max_sequence_length": 64,
            "scheduler": "FlowMatchEulerDiscreteScheduler",
            "dtype": "float32",
            "device": "cpu",
            "versions": {"imagen_nb": "0.1.0", "torch": "2.13.0"},
        }
        return Record(**(usual | fields))

    return make


@pytest.fixture
def make_image() -> Callable[..., Image.Image]:
    """A small RGB picture, another one for each shade."""

    def make(shade: int = 0, size: tuple[int, int] = (32, 16)) -> Image.Image:
        image = Image.linear_gradient("L").resize(size).convert("RGB")
        image.putpixel((0, 0), (shade % 256, shade // 256 % 256, 0))
        return image

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go; not there yet."""
    return tmp_path / "pictures"
