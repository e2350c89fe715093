"""Pipelines of somebody's own, and a default session that records what they draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from diffusers import FluxPipeline, StableDiffusionPipeline

import imagen_nb as im
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.tiny import WEIGHTS
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures import sd_layout
from tests.fixtures.own_pipelines import bare


@pytest.fixture
def studio(folder: Any) -> Iterator[Studio]:
    """The default session, which autolog uses."""
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}}
    with Studio(settings, background=False) as made, using(made):
        yield made


@pytest.fixture
def logging(studio: Studio) -> Iterator[Studio]:
    """The same, with autolog on."""
    im.autolog()
    yield studio
    im.autolog(disable=True)


@pytest.fixture
def records(studio: Studio) -> Callable[[], list[im.Record]]:
    """The records of what is kept, in the order in which it was drawn."""

    def read() -> list[im.Record]:
        frame = studio.history(source="local", sidecar=True)
        return [im.Record.model_validate(one) for one in frame["sidecar"][::-1]]

    return read


@pytest.fixture(scope="session")
def loaded() -> FluxPipeline:
    with quietly():
        return FluxPipeline.from_pretrained(WEIGHTS)


@pytest.fixture
def flux(loaded: FluxPipeline) -> FluxPipeline:
    """The embedded FLUX as people load it, fresh: nothing that a test does to it stays."""
    return bare(FluxPipeline(**loaded.components), loaded.name_or_path)


@pytest.fixture(scope="session")
def sd() -> StableDiffusionPipeline:
    return bare(sd_layout.new_pipeline())
