"""From a pipeline's pixels to pictures, on a card and on a CPU."""

from __future__ import annotations

from threading import Event, current_thread

import numpy as np
import pytest
import torch
from PIL import Image

from imagen_nb.backends import make_backend
from imagen_nb.backends.flux.drawing.pixels import fetch_pixels, make_image, round_on_device
from imagen_nb.errors import BackendError
from imagen_nb.request.request import Request
from tests.fixtures.backend_calls import request_for


@pytest.fixture(scope="module")
def request_() -> Request:
    return request_for(make_backend("flux-tiny-local"))


def images(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Two pictures (2, 3, 64, 48), with values halfway between two bytes among them."""
    pixels = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    pixels[0, 0] = (torch.arange(64 * 48).reshape(64, 48) % 255 + 0.5) / 255
    return pixels.to(dtype)


def by_diffusers(pixels: torch.Tensor) -> np.ndarray:
    from diffusers.image_processor import VaeImageProcessor

    arrays = VaeImageProcessor.pt_to_numpy(pixels.clone())
    return np.stack([np.asarray(one) for one in VaeImageProcessor.numpy_to_pil(arrays)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fetch", [fetch_pixels, round_on_device], ids=["cpu", "card"])
def test_every_bit_is_what_diffusers_makes_of_it(
    fetch: object, dtype: torch.dtype, request_: Request
) -> None:
    expected = by_diffusers(images(dtype))
    fetched = fetch(images(dtype))  # type: ignore[operator]
    made = np.stack([np.asarray(make_image(pixels, request_)) for pixels in fetched])
    assert np.array_equal(made, expected)


@pytest.mark.parametrize("fetch", [fetch_pixels, round_on_device], ids=["cpu", "card"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.0])
def test_only_the_broken_picture_of_a_batch_is_refused(
    fetch: object, value: float, request_: Request
) -> None:
    pixels = images()
    pixels[1] = 0.0
    pixels[1, 2, 5, 7] = value
    good, bad = fetch(pixels)  # type: ignore[operator]
    assert make_image(good, request_).size == (48, 64)
    with pytest.raises(BackendError, match="came out broken"):
        make_image(bad, request_)


def test_a_card_gives_bytes() -> None:
    (first, _second) = round_on_device(images())
    assert first is not None
    assert first.dtype == np.uint8


def test_the_thread_that_draws_makes_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture's image is made by whoever asks for it: the writer."""
    made: list[str] = []
    merge = Image.merge

    def noted(mode: str, bands: list[Image.Image]) -> Image.Image:
        made.append(current_thread().name)
        return merge(mode, bands)

    monkeypatch.setattr(Image, "merge", noted)
    backend = make_backend("flux-tiny-local")
    (drawn,) = backend.draw([request_for(backend)], None, Event())
    assert made == []
    assert drawn.image is drawn.image
    assert made == [current_thread().name]
