"""A session that draws small pictures with the embedded FLUX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.studio.optimizing.study import Study
from imagen_nb.studio.studio import Studio

SPACE = {"prompt": "a {red|blue|green} {boat|house}", "steps": (1, 4)}
SMALL: dict[str, Any] = {"size": (64, 64), "progress": False}


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    settings = {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}
    with Studio(settings, background=False) as session:
        yield session


@pytest.fixture
def optimize(studio: Studio) -> Callable[..., Study]:
    """`optimize` of small pictures of two seeds, in the study `boats` unless said otherwise."""

    def call(space: Any = None, **arguments: Any) -> Study:
        usual = {"name": "boats", "seeds": [1, 2], **SMALL}
        return studio.optimize(SPACE if space is None else space, **{**usual, **arguments})

    return call


def step_count(picture: Any) -> float:
    """A score that is known without looking: what is best has most steps."""
    return float(picture.record.steps)
