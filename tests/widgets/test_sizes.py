"""The sizes that a panel offers can be drawn, and are as large as the model's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.backends.flux.models import FLUX_SCHNELL, Model
from imagen_nb.backends.replicate.models import FLUX_DEV_HOSTED, HOSTED_SIZES
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.request.request import Defaults, Limits, resolve
from imagen_nb.widgets.sizes import describe_size, size_presets


@given(st.sampled_from([8, 16, 32]), st.integers(4, 40), st.integers(40, 128), st.data())
def test_every_size_can_be_drawn_and_the_models_own_is_the_first(
    multiple: int, low: int, high: int, data: st.DataObject
) -> None:
    limits = Limits(multiple * low, multiple * high, multiple)
    side = st.integers(low, high).map(lambda n: n * multiple)
    usual = Defaults(4, 0.0, data.draw(side), data.draw(side), 16)
    offered = size_presets(usual, limits)
    assert offered[0] == (usual.width, usual.height)
    assert len(set(offered)) == len(offered)
    for width, height in offered:
        resolve("x", defaults=usual, limits=limits, width=width, height=height)


def test_a_model_of_few_sizes_offers_those() -> None:
    offered = size_presets(FLUX_DEV_HOSTED.defaults, FLUX_DEV_HOSTED.limits)
    assert offered[0] == (1024, 1024)
    assert sorted(offered) == sorted(HOSTED_SIZES)


@pytest.mark.parametrize("row", [FLUX_TINY, FLUX_SCHNELL])
def test_all_have_about_as_many_pixels(row: Model) -> None:
    own, *others = [width * height for width, height in size_presets(row.defaults, row.limits)]
    assert all(0.9 < area / own < 1.1 for area in others)


@pytest.mark.parametrize(
    ("size", "label"),
    [
        ((128, 128), "128 × 128 square"),
        ((144, 112), "144 × 112 wide"),
        ((96, 176), "96 × 176 tall"),
    ],
)
def test_a_size_is_named_by_its_shape(size: tuple[int, int], label: str) -> None:
    assert describe_size(*size) == label
