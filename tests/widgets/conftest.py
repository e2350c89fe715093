"""Galleries that are closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import imagen_nb as im
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
