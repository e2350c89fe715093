"""Previews: small, early, like the picture, and made on the listener's thread."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from PIL import Image

from imagen_nb.backends import Step
from imagen_nb.backends.flux.backend import FluxBackend
from imagen_nb.backends.flux.drawing.loading import load_vae
from imagen_nb.backends.flux.drawing.noise import first_latents
from imagen_nb.backends.flux.drawing.preview import LatentPreview, fit_rgb_matrix, unpack_latents
from imagen_nb.backends.flux.drawing.watch import predict_final_latents
from imagen_nb.backends.tiny import FLUX_TINY
from tests.fixtures.backend_calls import draw, request_for


def steps_of(backend: FluxBackend, **fields: object) -> list[Step]:
    steps: list[Step] = []
    draw(backend, request_for(backend, **fields), progress=steps.append)
    return steps


def shown(step: Step, index: int = 0) -> Image.Image:
    assert step.preview is not None
    return step.preview(index)


def likeness(one: Image.Image, other: Image.Image, side: int = 16) -> float:
    """Correlation of two pictures when both are shrunk: 1 for the same."""
    small = [
        np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=float).ravel()
        for image in (one, other)
    ]
    return float(np.corrcoef(*small)[0, 1])


def test_it_has_the_pictures_shape_and_is_small(schnell_like: FluxBackend) -> None:
    preview = shown(steps_of(schnell_like, width=64, height=32)[-1])
    assert (preview.size, preview.mode) == ((128, 64), "RGB")  # four times 32 × 16 latents


def test_nothing_is_computed_unless_the_listener_asks(schnell_like: FluxBackend) -> None:
    steps = steps_of(schnell_like)
    assert schnell_like._loaded.preview._fitted is None
    shown(steps[0])
    assert schnell_like._loaded.preview._fitted is not None


def test_it_can_be_asked_for_on_another_thread_while_drawing(schnell_like: FluxBackend) -> None:
    seen: list[Image.Image] = []

    def listen(step: Step) -> None:
        thread = threading.Thread(target=lambda: seen.append(shown(step)))
        thread.start()
        thread.join(30)  # the drawing thread waits here: a preview that needed it would hang

    draw(schnell_like, request_for(schnell_like, steps=3), progress=listen)
    assert len(seen) == 3


def test_it_changes_nothing_of_what_is_drawn(schnell_like: FluxBackend) -> None:
    request = request_for(schnell_like, steps=4)
    watched = draw(schnell_like, request, progress=lambda step: (shown(step), None)[1])[0]
    unwatched = draw(schnell_like, request)[0]
    assert np.array_equal(watched.image, unwatched.image)


def test_each_picture_of_a_batch_has_its_own(schnell_like: FluxBackend) -> None:
    steps: list[Step] = []
    requests = [request_for(schnell_like, seed=seed, steps=1) for seed in range(10)]
    draw(schnell_like, *requests, progress=steps.append)
    first, second = steps
    alone = shown(steps_of(schnell_like, seed=9, steps=1)[0])
    # Another batch size may round the last bits otherwise: one level of 255 at most.
    assert np.allclose(shown(second, 9), alone, rtol=0, atol=1)
    assert not np.array_equal(shown(first, 0), shown(first, 1))
    with pytest.raises(ValueError, match="not in range"):
        shown(second, 0)


def test_unpacking_is_the_pipelines_own() -> None:
    packed = torch.randn(1, 6 * 4, 8)
    expected: Any = FluxPipeline._unpack_latents(packed, 24, 16, 2)
    ours = unpack_latents(packed[0], 12, 8).view(12, 8, 2).permute(2, 0, 1)
    assert torch.equal(ours, expected[0])


def test_the_noise_is_made_again_as_the_pipeline_made_it(schnell_like: FluxBackend) -> None:
    given: list[torch.Tensor] = []
    pipeline = schnell_like._loaded.pipeline()
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, named: given.append(named["hidden_states"].clone()), with_kwargs=True
    )
    requests = [request_for(schnell_like, seed=seed, width=48, steps=1) for seed in (3, 4)]
    draw(schnell_like, *requests)
    hook.remove()
    assert torch.equal(first_latents(pipeline, requests, given[0]), given[0])


def test_on_a_straight_path_the_picture_is_foreseen_at_once() -> None:
    picture, noise = torch.randn(2, 1, 4, 4)
    sigmas = torch.tensor([1.0, 0.75, 0.5, 0.0])
    path = [(1 - sigma) * picture + sigma * noise for sigma in sigmas]
    for step in range(3):
        before = partial(path.__getitem__, step)
        foreseen = predict_final_latents(path[step + 1], before, sigmas, step)
        assert torch.allclose(foreseen, picture, atol=1e-5)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return load_vae(FLUX_TINY)


class TestOfTheEmbeddedModel:
    def test_it_is_like_the_picture(self, vae: AutoencoderKL) -> None:
        """Latents of a picture that the fit knows nothing of, against what they decode to."""
        pixels = torch.from_numpy(np.asarray(scene()).copy()).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            latents = vae.encode(pixels * 2 - 1).latent_dist.mode()
            decoded = (vae.decode(latents).sample[0] / 2 + 0.5).clamp(0, 1)
        scaled = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        packed = FluxPipeline._pack_latents(scaled, 1, scaled.shape[1], 16, 16)[0]
        preview = LatentPreview(lambda: vae).image(packed, 128, 128)
        picture = Image.fromarray((decoded.permute(1, 2, 0) * 255).byte().numpy())
        assert likeness(preview, picture) > 0.9

    def test_the_first_step_foresees_the_picture(self) -> None:
        steps: list[Step] = []
        backend = FluxBackend(FLUX_TINY)
        request = request_for(backend, "a red house in the snow", steps=FLUX_TINY.defaults.steps)
        picture = draw(backend, request, progress=steps.append)[0].image
        # Latents of the first step are five parts noise of six: shown as they are, about 0.5.
        assert likeness(shown(steps[0]), picture) > 0.85

    def test_it_is_fitted_once(self, vae: AutoencoderKL) -> None:
        loads: list[AutoencoderKL] = []
        preview = LatentPreview(lambda: loads.append(vae) or vae)  # type: ignore[func-returns-value]
        for _ in range(3):
            preview.image(torch.zeros(64, 64), 128, 128)
        assert len(loads) == 1

    def test_the_fit_is_the_same_each_time(self, vae: AutoencoderKL) -> None:
        # LAPACK's last bits vary from call to call: far below a level of 255.
        assert torch.allclose(fit_rgb_matrix(vae)[0], fit_rgb_matrix(vae)[0], atol=1e-5)


def scene() -> Image.Image:
    """Sky, grass and a red disc: soft and hard edges."""
    rows, columns = np.mgrid[0:128, 0:128]
    canvas = np.zeros((128, 128, 3), dtype=np.uint8)
    canvas[..., 2] = 255 - rows
    canvas[rows > 80] = (60, 140, 50)
    canvas[(rows - 60) ** 2 + (columns - 50) ** 2 < 25**2] = (200, 30, 30)
    return Image.fromarray(canvas)
