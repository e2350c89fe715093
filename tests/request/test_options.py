"""What a request says besides the usual: checked, completed, and one clear line where it is not."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.backends import Step
from imagen_nb.backends.flux.backend import FluxBackend
from imagen_nb.backends.flux.pipelines import PIPELINE_KINDS
from imagen_nb.backends.tiny import tiny
from imagen_nb.errors import UsageError
from imagen_nb.request.images import InputImage, load_input
from imagen_nb.request.options import OPTION_NAMES, SWEEPABLE_OPTIONS, AcceptedOptions
from imagen_nb.request.request import Defaults, Limits, Request, resolve

DEFAULTS = Defaults(steps=4, guidance=0.0, width=128, height=128, max_sequence_length=16)


def image(width: int = 128, height: int = 128) -> InputImage:
    return load_input("init_image", np.full((height, width, 3), 90, np.uint8))


def mask(width: int = 128, height: int = 128, shade: int = 255) -> InputImage:
    return load_input("mask", np.full((height, width), shade, np.uint8))


def resolved(kind: str = "FluxPipeline", **given: Any) -> Request:
    """As a model of this kind takes it. What is no extra is an argument of `resolve`."""
    plain = {name: given.pop(name) for name in ("width", "height", "steps") if name in given}
    limits = Limits(64, 256, 16, takes=PIPELINE_KINDS[kind].takes)
    return resolve("a boat", defaults=DEFAULTS, limits=limits, options=given, **plain)


IMAGE, MASK = image(), mask()
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("FluxPipeline", {"mask": MASK}, "mask needs init_image: give both"),
    ("FluxPipeline", {"strength": 0.5}, "strength needs init_image: give both"),
    ("FluxPipeline", {"init_image": 3}, "init_image is a file"),
    (
        "FluxPipeline",
        {"init_image": IMAGE, "mask": mask(64, 64)},
        "the mask has 64×64 pixels and the init image 128×128: they must be of one size",
    ),
    ("FluxPipeline", {"init_image": IMAGE, "mask": mask(shade=0)}, "the mask is black everywhere"),
    ("FluxPipeline", {"init_image": IMAGE, "strength": 0}, "strength must be from 0.01 to 1, not"),
    ("FluxPipeline", {"init_image": IMAGE, "strength": 1.1}, "strength must be from 0.01 to 1"),
    ("FluxPipeline", {"init_image": IMAGE, "strength": "x"}, "strength must be a number, not 'x'"),
    ("FluxPipeline", {"scheduler": "x"}, "there is no scheduler 'x' here: use one of euler, eul"),
    (
        "FluxPipeline",
        {"scheduler": "unipc", "init_image": IMAGE},
        "the scheduler unipc does not go with init_image: use one of euler, euler-karras",
    ),
    (
        "FluxPipeline",
        {"negative_prompt": "x", "true_cfg": 1},
        "a negative prompt works with a true_cfg above 1 only: leave one out",
    ),
    ("FluxPipeline", {"negative_prompt": 3}, "the negative prompt must be text, not int"),
    ("FluxPipeline", {"negative_prompt": "\ud800"}, "the negative prompt has half a character"),
    ("FluxPipeline", {"true_cfg": 0.5}, "true_cfg must be from 1 to 30, not 0.5"),
    ("FluxPipeline", {"true_cfg": float("nan")}, "true_cfg must be from 1 to 30, not nan"),
    ("FluxFillPipeline", {}, "this model draws from init_image and mask: give init_image="),
    ("FluxFillPipeline", {"init_image": IMAGE}, "draws from init_image and mask: give mask="),
    (
        "FluxFillPipeline",
        {"init_image": IMAGE, "mask": MASK, "true_cfg": 2},
        "this model takes no true_cfg: it takes init_image, mask, strength, scheduler",
    ),
    ("FluxKontextPipeline", {"init_image": IMAGE, "strength": 0.5}, "strength needs mask"),
    (
        "Flux2KleinPipeline",
        {"negative_prompt": "x"},
        "this model takes no negative_prompt: it takes init_image, scheduler",
    ),
    ("Flux2KleinPipeline", {"init_image": IMAGE, "mask": MASK}, "this model takes no mask"),
]


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "options", "said"), WRONG, ids=[f"{kind}-{said}" for kind, _, said in WRONG]
    )
    def test_what_cannot_be_drawn_is_one_line(
        self, kind: str, options: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(UsageError) as error:
            resolved(kind, **options)
        assert said in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_model_that_takes_nothing_says_so(self) -> None:
        limits = Limits(64, 256, 16, takes=AcceptedOptions())
        with pytest.raises(UsageError, match="takes no scheduler: it takes nothing of the kind"):
            resolve("x", defaults=DEFAULTS, limits=limits, options={"scheduler": "euler"})

    def test_what_is_none_is_not_given(self) -> None:
        assert resolved(**dict.fromkeys(OPTION_NAMES)).init_image is None

    def test_all_of_them_are_fields_of_a_request(self) -> None:
        assert set(OPTION_NAMES) <= set(Request.__dataclass_fields__)
        assert set(SWEEPABLE_OPTIONS) < set(OPTION_NAMES)


class TestCompleted:
    def test_of_an_init_image_a_good_half_is_drawn_anew(self) -> None:
        assert resolved(init_image=IMAGE).strength == 0.6

    def test_fill_draws_all_anew_where_the_mask_is_white(self) -> None:
        assert resolved("FluxFillPipeline", init_image=IMAGE, mask=MASK).strength == 1.0

    def test_kontext_has_a_strength_with_a_mask_only(self) -> None:
        assert resolved("FluxKontextPipeline", init_image=IMAGE).strength is None
        assert resolved("FluxKontextPipeline", init_image=IMAGE, mask=MASK).strength == 1.0

    def test_klein_has_none(self) -> None:
        assert resolved("Flux2KleinPipeline", init_image=IMAGE).strength is None

    def test_without_an_image_there_is_none(self) -> None:
        assert resolved().strength is None

    @pytest.mark.parametrize(
        ("options", "scale", "negative"),
        [
            ({}, 1.0, None),
            ({"negative_prompt": "night"}, 2.0, "night"),
            ({"negative_prompt": "night", "true_cfg": 3}, 3.0, "night"),
            ({"true_cfg": 3}, 3.0, ""),
            ({"true_cfg": 1}, 1.0, None),
            ({"negative_prompt": ""}, 1.0, None),
        ],
    )
    def test_guidance_leads_away_from_the_negative_prompt(
        self, options: dict[str, Any], scale: float, negative: str | None
    ) -> None:
        request = resolved(**options)
        assert (request.true_cfg, request.negative_prompt) == (scale, negative)


class TestSize:
    @pytest.mark.parametrize(
        ("size", "drawn"),
        [
            ((128, 128), (128, 128)),
            ((64, 96), (64, 96)),  # a small one is not blown up
            ((500, 500), (128, 128)),
            ((1600, 400), (256, 64)),
            ((300, 400), (112, 144)),
            ((65, 65), (64, 64)),
            ((8, 8), (64, 64)),
        ],
    )
    def test_it_follows_from_the_init_image(
        self, size: tuple[int, int], drawn: tuple[int, int]
    ) -> None:
        request = resolved(init_image=image(*size))
        assert (request.width, request.height) == drawn

    @given(st.integers(64, 400), st.integers(64, 400))
    def test_it_is_the_models_own_area_at_most_and_of_the_images_shape(
        self, width: int, height: int
    ) -> None:
        request = resolved(init_image=image(width, height))
        assert request.width % 16 == request.height % 16 == 0
        assert request.width * request.height <= (128 + 16) ** 2  # sides are rounded, not cut
        if min(request.width, request.height) > 64 and max(width, height) < 2 * min(width, height):
            shape, drawn = width / height, request.width / request.height
            assert abs(shape - drawn) / shape < 0.25  # 8 pixels of 64, for each side

    @pytest.mark.parametrize(
        ("given_", "drawn"),
        [({"width": 256}, (256, 128)), ({"height": 64}, (128, 64))],
    )
    def test_one_side_decides_the_other(
        self, given_: dict[str, int], drawn: tuple[int, int]
    ) -> None:
        request = resolved(init_image=image(200, 100), **given_)
        assert (request.width, request.height) == drawn

    def test_two_sides_are_taken(self) -> None:
        request = resolved(init_image=image(200, 100), width=64, height=96)
        assert (request.width, request.height) == (64, 96)

    def test_a_side_that_cannot_be_drawn_is_refused_all_the_same(self) -> None:
        with pytest.raises(UsageError, match="width must be a multiple of 16, not 100"):
            resolved(init_image=image(200, 100), width=100)


@pytest.fixture(scope="module")
def backend() -> FluxBackend:
    """The embedded model, loaded once."""
    return tiny()


@pytest.mark.parametrize("strength", [0.01, 0.3, 0.5, 0.6, 0.99, 1.0])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_the_steps_run_are_those_that_diffusers_runs(
    backend: FluxBackend, steps: int, strength: float
) -> None:
    request = resolve(
        "a boat",
        defaults=backend.defaults,
        limits=backend.limits,
        seed=1,
        steps=steps,
        width=64,
        height=64,
        options={"init_image": IMAGE, "strength": strength},
    )
    told: list[Step] = []
    list(backend.draw([request], told.append, Event()))
    assert len(told) == request.steps_run
    assert {step.steps for step in told} <= {request.steps_run}
