"""Galleries and a panel that are closed afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.panel import Panel
from tests.fixtures.panels import Seen
from tests.fixtures.views import View


@pytest.fixture
def view() -> Iterator[Callable[..., View]]:
    galleries = []

    def open_(frame: pd.DataFrame | None, **options: Any) -> View:
        galleries.append(im.Gallery(frame, **options))
        return View(galleries[-1])

    yield open_
    for gallery in galleries:
        gallery.close()


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    with Studio({"backend": "flux-tiny-local", "output": {"dir": str(folder)}}) as studio:
        yield studio


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int]]:
    """All that strips tell, with the bytes that come along."""
    messages: list[tuple[dict[str, Any], int]] = []

    def send(self: Panel, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append((json.loads(json.dumps(content)), sum(map(len, buffers or []))))

    monkeypatch.setattr(Panel, "send", send)
    return messages


@pytest.fixture
def panel(studio: Studio, told: list[tuple[dict[str, Any], int]]) -> Iterator[Seen]:
    panel = Panel(studio)
    yield Seen(panel, told)
    panel.close()
