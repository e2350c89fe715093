"""The embedded FLUX is in the package, whole, and draws."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from diffusers import FluxPipeline

from imagen_nb.backends import Backend, make_backend
from imagen_nb.backends.tiny import FLUX_TINY, WEIGHTS
from tests.fixtures.backend_calls import draw, request_for


@pytest.fixture(scope="module")
def tiny() -> Backend:
    return make_backend("flux-tiny-local")


def test_its_weights_are_a_flux_pipelines_and_small() -> None:
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    assert index["_class_name"] == FluxPipeline.__name__
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*")) <= 16e6


def test_its_row_says_what_its_configuration_says(tiny: Backend) -> None:
    vae = json.loads((WEIGHTS / "vae" / "config.json").read_text())
    tokenizer = json.loads((WEIGHTS / "tokenizer_2" / "tokenizer_config.json").read_text())
    assert tiny.limits.multiple == 2 ** len(vae["block_out_channels"])
    assert tiny.defaults.max_sequence_length == tokenizer["model_max_length"]
    assert tiny.limits.max_sequence_length == tokenizer["model_max_length"]


def test_it_is_available_and_free(tiny: Backend) -> None:
    assert tiny.availability().available
    assert tiny.cost_usd(request_for(tiny)) == 0


def test_records_name_it_and_not_its_folder(tiny: Backend) -> None:
    assert tiny.model == "flux-tiny-local"


def test_it_draws_its_native_size_the_same_each_time(tiny: Backend) -> None:
    request = request_for(tiny, "a red boat on the sea", seed=11, steps=None)
    first, second = draw(tiny, request)[0], draw(make_backend("flux-tiny-local"), request)[0]
    assert first.image.size == (128, 128)
    assert first.request.steps == FLUX_TINY.defaults.steps <= 8
    assert np.array_equal(first.image, second.image)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (256, 256), (64, 256), (144, 80)])
def test_it_draws_every_size_it_promises(tiny: Backend, width: int, height: int) -> None:
    request = request_for(tiny, width=width, height=height, steps=1)
    assert draw(tiny, request)[0].image.size == (width, height)


def test_thirty_two_seeds_are_four_batches(tiny: Backend) -> None:
    requests = [request_for(tiny, seed=seed, steps=1) for seed in range(32)]
    batches: list[range] = []
    drawn = list(tiny.draw(requests, lambda step: batches.append(step.indices), Event()))
    assert [one.request.seed for one in drawn] == list(range(32))
    assert batches == [range(8), range(8, 16), range(16, 24), range(24, 32)]


def test_no_file_in_it_names_a_machine() -> None:
    for file in Path(WEIGHTS).rglob("*.json"):
        assert "_name_or_path" not in file.read_text(), file
