"""Each kind of FLUX draws what diffusers' own pipeline of that class draws, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from imagen_nb.backends import Drawn, Step, make_backend
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.models import FLUX_FILL, FLUX_KLEIN, FLUX_KONTEXT, FLUX_KREA, Model
from imagen_nb.backends.flux.pipelines import PIPELINE_KINDS
from imagen_nb.errors import BackendError, UsageError
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.lora_files import write_lora

Fetched = Callable[[str, Path], Path]

SIDE, STEPS, SEED = 64, 3, 1  # klein takes no reference below 64 pixels
DOTS = np.kron(np.random.default_rng(0).random((8, 8, 3)), np.ones((8, 8, 1)))
PICTURE = Image.fromarray((DOTS * 255).astype(np.uint8))
OTHER = PICTURE.rotate(90)
HALF = Image.fromarray(np.repeat(np.uint8([0, 255]), SIDE // 2)[None].repeat(SIDE, axis=0))
WHITE = np.asarray(HALF) == 255


@dataclass(frozen=True)
class Case:
    """One way of drawing: the fixture of the weights, what is asked, and diffusers' own call."""

    folder: str
    pipeline: str
    options: dict[str, Any] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)


MASKED = {"image": PICTURE, "mask_image": HALF}
AS_ASKED = {"max_area": SIDE * SIDE, "_auto_resize": False}
# Of 3 steps, a strength of 0.5 leaves one out; above 2/3 none, and all would begin with mere noise.
HALF_DRAWN = {"init_image": PICTURE, "strength": 0.5}
HALF_DRAWN_BY_DIFFUSERS = {"image": PICTURE, "strength": 0.5}
WITH_MASK = {"init_image": PICTURE, "mask": HALF}
CASES = {
    "image": Case(
        "dev_folder",
        "FluxImg2ImgPipeline",
        HALF_DRAWN,
        HALF_DRAWN_BY_DIFFUSERS,
    ),
    "image, schnell": Case(
        "schnell_folder",
        "FluxImg2ImgPipeline",
        HALF_DRAWN,
        HALF_DRAWN_BY_DIFFUSERS,
    ),
    "inpaint": Case(
        "dev_folder",
        "FluxInpaintPipeline",
        HALF_DRAWN | {"mask": HALF},
        MASKED | {"strength": 0.5},
    ),
    "fill": Case(
        "fill_folder",
        "FluxFillPipeline",
        WITH_MASK,
        MASKED | {"strength": 1.0},
    ),
    "kontext": Case(
        "kontext_folder",
        "FluxKontextPipeline",
        {"init_image": PICTURE},
        {"image": PICTURE, **AS_ASKED},
    ),
    "kontext, no image": Case("kontext_folder", "FluxKontextPipeline", {}, AS_ASKED),
    "kontext, inpaint": Case(
        "kontext_folder",
        "FluxKontextInpaintPipeline",
        HALF_DRAWN | {"mask": HALF},
        MASKED | AS_ASKED | {"strength": 0.5},
    ),
    "klein": Case(
        "klein_folder",
        "Flux2KleinPipeline",
        {"init_image": PICTURE},
        {"image": PICTURE},
    ),
    "klein, no image": Case("klein_folder", "Flux2KleinPipeline"),
}
INT8 = {"image": 24, "fill": 24, "kontext": 24, "klein": 24}  # of 255, at any pixel

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture
def weights(request: pytest.FixtureRequest, case: Case) -> Path:
    folder: Path = request.getfixturevalue(case.folder)
    return folder


def drawn(
    backend: FluxBackend, *prompts: str, options: dict[str, Any] | None = None, **fields: Any
) -> list[Drawn]:
    """A picture of each prompt, the seeds counted from `SEED` on."""
    size = {"steps": STEPS, "width": SIDE, "height": SIDE}
    return draw(
        backend,
        *(
            request_for(backend, prompt, seed=SEED + place, options=options, **size | fields)
            for place, prompt in enumerate(prompts or ["a boat"])
        ),
    )


def by_diffusers(case: Case, folder: Path, backend: FluxBackend, **more: Any) -> np.ndarray:
    """What a few lines of diffusers draw with the same weights, as (H, W, 3) of 8 bits."""
    pipeline = getattr(diffusers, case.pipeline).from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    request = request_for(backend, seed=SEED, steps=STEPS, options=case.options)
    pixels = pipeline(
        prompt="a boat",
        generator=torch.Generator("cpu").manual_seed(SEED),
        width=SIDE,
        height=SIDE,
        num_inference_steps=STEPS,
        guidance_scale=request.guidance,
        max_sequence_length=request.max_sequence_length,
        output_type="np",
        **case.plain | more,
    ).images[0]
    return np.asarray((pixels * 255).round().astype("uint8"))


def pixels_of(one: Drawn) -> np.ndarray:
    return np.asarray(one.image)


def apart(one: Drawn, other: Drawn) -> int:
    """The largest difference of a pixel, of 255."""
    return int(np.abs(pixels_of(one).astype(int) - pixels_of(other)).max())


@pytest.fixture(scope="module", autouse=True)
def plain_models(request: pytest.FixtureRequest) -> Iterator[None]:
    """The models that most tests draw with stay in memory until the last one."""
    names = {case.folder for case in CASES.values()}
    backends = [custom(str(request.getfixturevalue(name))) for name in sorted(names)]
    yield
    del backends


class TestEachKind:
    @each
    def test_it_is_what_diffusers_draws(self, case: Case, weights: Path) -> None:
        backend = custom(str(weights))
        found = pixels_of(drawn(backend, options=case.options)[0])
        expected = by_diffusers(case, weights, backend)
        shown = WHITE if "mask" in case.options else np.ones_like(WHITE)
        np.testing.assert_array_equal(found[shown], expected[shown])

    @each
    def test_of_a_batch_each_is_as_alone(self, case: Case, weights: Path) -> None:
        backend = custom(str(weights), memory={"batch": 2})
        both = drawn(backend, "a boat", "a house at night", options=case.options)
        assert [one.details["batch_index"] for one in both] == [0, 1]
        for one in both:
            assert apart(one, draw(backend, one.request)[0]) <= 2

    @each
    def test_in_two_phases_it_is_the_same_picture(self, case: Case, weights: Path) -> None:
        plain = drawn(custom(str(weights)), options=case.options)[0]
        phased = drawn(
            custom(str(weights), memory={"text_encoders": "freed"}), options=case.options
        )
        assert pixels_of(phased[0]).tobytes() == pixels_of(plain).tobytes()

    @each
    def test_the_weights_serve_other_ways_before_and_after(self, case: Case, weights: Path) -> None:
        backend = custom(str(weights))
        first = drawn(backend, options=case.options)[0]
        fill = "Fill" in case.pipeline
        drawn(backend, options={"init_image": OTHER, **({"mask": HALF} if fill else {})})
        assert pixels_of(drawn(backend, options=case.options)[0]).tobytes() == (
            pixels_of(first).tobytes()
        )

    @pytest.mark.parametrize("name", INT8)
    def test_int8_is_near(self, name: str, request: pytest.FixtureRequest) -> None:
        case = CASES[name]
        folder = str(request.getfixturevalue(case.folder))
        plain = drawn(custom(folder), options=case.options)[0]
        small = drawn(custom(folder, memory={"quantization": "int8"}), options=case.options)[0]
        assert small.details["memory_plan"] == {"quantization": "int8"}
        assert apart(small, plain) <= INT8[name]


class TestInputs:
    @pytest.mark.parametrize("name", ["image", "fill", "kontext", "klein"])
    def test_another_image_is_another_picture(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        case = CASES[name]
        backend = custom(str(request.getfixturevalue(case.folder)))
        first = drawn(backend, options=case.options)[0]
        assert apart(first, drawn(backend, options=case.options | {"init_image": OTHER})[0]) > 2

    @pytest.mark.parametrize("name", ["inpaint", "fill", "kontext, inpaint"])
    def test_where_the_mask_is_black_the_image_is_kept_to_the_pixel(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        case = CASES[name]
        backend = custom(str(request.getfixturevalue(case.folder)))
        found = pixels_of(drawn(backend, options=case.options)[0])
        np.testing.assert_array_equal(found[~WHITE], np.asarray(PICTURE)[~WHITE])
        assert (found[WHITE] != np.asarray(PICTURE)[WHITE]).any()

    def test_less_strength_is_nearer_to_the_image(self, dev_like: FluxBackend) -> None:
        weak, strong = (
            drawn(dev_like, steps=10, options={"init_image": PICTURE, "strength": strength})[0]
            for strength in (0.2, 1.0)
        )
        code = drawn(dev_like, steps=10, options={"init_image": PICTURE, "strength": 0.1})[0]
        assert np.abs(pixels_of(weak).astype(int) - pixels_of(code)).mean() < (
            np.abs(pixels_of(strong).astype(int) - pixels_of(code)).mean()
        )

    @pytest.mark.parametrize(
        ("fixture", "refused", "taken"),
        [
            ("fill_folder", {"negative_prompt": "x"}, "init_image, mask, strength, scheduler"),
            ("klein_folder", {"strength": 0.5}, "init_image, scheduler"),
            ("klein_folder", {"true_cfg": 2}, "init_image, scheduler"),
        ],
    )
    def test_what_a_kind_does_not_take_is_refused(
        self, fixture: str, refused: dict[str, Any], taken: str, request: pytest.FixtureRequest
    ) -> None:
        backend = custom(str(request.getfixturevalue(fixture)))
        given = {"init_image": PICTURE, "mask": HALF} if "fill" in fixture else {}
        with pytest.raises(UsageError) as error:
            drawn(backend, options=given | refused)
        name = next(iter(refused))
        assert str(error.value) == f"this model takes no {name}: it takes {taken}"


class TestNegativePrompt:
    NEGATIVE: ClassVar[dict[str, Any]] = {"negative_prompt": "night", "true_cfg": 2.5}
    GUIDED: ClassVar[dict[str, Any]] = {"negative_prompt": "night", "true_cfg_scale": 2.5}

    @pytest.mark.parametrize("name", ["image", "inpaint", "kontext", "kontext, inpaint"])
    def test_it_is_what_diffusers_draws(self, name: str, request: pytest.FixtureRequest) -> None:
        case, backend = CASES[name], custom(str(request.getfixturevalue(CASES[name].folder)))
        found = pixels_of(drawn(backend, options=case.options | self.NEGATIVE)[0])
        folder = request.getfixturevalue(case.folder)
        expected = by_diffusers(case, folder, backend, **self.GUIDED)
        shown = WHITE if "mask" in case.options else np.ones_like(WHITE)
        np.testing.assert_array_equal(found[shown], expected[shown])

    def test_without_an_image_too(self, dev_folder: Path) -> None:
        case, backend = Case("dev_folder", "FluxPipeline"), custom(str(dev_folder))
        found = pixels_of(drawn(backend, options=self.NEGATIVE)[0])
        expected = by_diffusers(case, dev_folder, backend, **self.GUIDED)
        np.testing.assert_array_equal(found, expected)

    def test_it_changes_the_picture(self, kontext_folder: Path) -> None:
        backend = custom(str(kontext_folder))
        plain, guided, other = (
            pixels_of(drawn(backend, options=options)[0]).tobytes()
            for options in ({}, self.NEGATIVE, self.NEGATIVE | {"negative_prompt": "a red fox"})
        )
        assert len({plain, guided, other}) == 3

    def test_in_two_phases_it_is_the_same_picture(self, dev_folder: Path) -> None:
        plain = drawn(custom(str(dev_folder)), options=self.NEGATIVE)[0]
        phased = custom(str(dev_folder), memory={"text_encoders": "freed"})
        assert apart(plain, drawn(phased, options=self.NEGATIVE)[0]) == 0


class TestPreviews:
    def steps_of(self, folder: Path, options: dict[str, Any]) -> Iterator[Step]:
        backend, steps = custom(str(folder)), list[Step]()
        size = {"steps": 4, "width": SIDE, "height": SIDE}
        draw(backend, request_for(backend, options=options, **size), progress=steps.append)
        assert steps
        return iter(steps)

    @pytest.mark.parametrize("name", ["image", "inpaint", "fill", "kontext"])
    def test_there_is_one_after_each_step(self, name: str, request: pytest.FixtureRequest) -> None:
        case = CASES[name]
        for step in self.steps_of(request.getfixturevalue(case.folder), case.options):
            assert step.preview is not None
            assert step.preview(0).mode == "RGB"

    def test_from_an_image_the_steps_are_those_that_are_run(self, dev_folder: Path) -> None:
        steps = self.steps_of(dev_folder, HALF_DRAWN)
        assert [(step.step, step.steps) for step in steps] == [(1, 2), (2, 2)]

    @pytest.mark.parametrize("name", ["klein", "klein, no image"])
    def test_klein_has_none(self, name: str, klein_folder: Path) -> None:
        steps = self.steps_of(klein_folder, CASES[name].options)
        assert {step.preview for step in steps} == {None}


class TestFirstBlockCache:
    @pytest.mark.parametrize("name", ["image", "inpaint", "fill", "kontext"])
    def test_with_a_tiny_threshold_it_is_near(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        case = CASES[name]
        folder = str(request.getfixturevalue(case.folder))
        plain = drawn(custom(folder), options=case.options)[0]
        cached = drawn(custom(folder, memory={"first_block_cache": 1e-9}), options=case.options)[0]
        assert apart(plain, cached) <= 2

    def test_with_klein_it_is_one_clear_line(self, klein_folder: Path) -> None:
        backend = custom(str(klein_folder), memory={"first_block_cache": 0.1})
        with pytest.raises(
            BackendError, match="cache of steps does not go with Flux2Klein"
        ) as error:
            drawn(backend)
        assert "\n" not in str(error.value)

    def test_with_a_negative_prompt_and_an_image_too(self, dev_folder: Path) -> None:
        backend = custom(str(dev_folder), memory={"first_block_cache": 0.1})
        with pytest.raises(BackendError, match=r"cache of steps does not go with Flux.*true_cfg"):
            drawn(backend, options={"init_image": PICTURE, "negative_prompt": "x"})


PRESETS: dict[str, tuple[Model, str, dict[str, Any]]] = {
    "flux-krea-dev-local": (FLUX_KREA, "dev_folder", {}),
    "flux-fill-dev-local": (FLUX_FILL, "fill_folder", {"init_image": PICTURE, "mask": HALF}),
    "flux-kontext-dev-local": (FLUX_KONTEXT, "kontext_folder", {"init_image": PICTURE}),
    "flux2-klein-local": (FLUX_KLEIN, "klein_folder", {"init_image": PICTURE}),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", PRESETS)
class TestPresets:
    def test_it_draws_with_what_was_fetched(
        self, name: str, fetched: Fetched, request: pytest.FixtureRequest
    ) -> None:
        row, weights, options = PRESETS[name]
        fetched(row.source, request.getfixturevalue(weights))
        backend = make_backend(name)
        assert backend.availability().available
        found = drawn(backend, options=options)[0]  # type: ignore[arg-type]
        assert found.image.size == (SIDE, SIDE)
        assert backend.model == row.source

    def test_without_weights_the_line_says_how_to_fetch_them(
        self, name: str, hub_cache: Path
    ) -> None:
        row, state = PRESETS[name][0], make_backend(name).availability()
        assert not state.available
        without = "flux-2-klein-*" if "klein" in name else "flux1-*"
        assert f'`hf download {row.source} --exclude "{without}"`' in state.reason
        assert f"{row.download_gb:g} GB, licence {row.licence}" in state.reason
        assert ("hf auth login" in state.reason) is row.gated
        assert "\n" not in state.reason

    def test_drawing_without_weights_raises_that_line(self, name: str, hub_cache: Path) -> None:
        backend = make_backend(name)
        with pytest.raises(BackendError) as error:
            drawn(backend, options=PRESETS[name][2])  # type: ignore[arg-type]
        assert str(error.value) == backend.availability().reason

    def test_it_takes_what_its_kind_takes(self, name: str) -> None:
        assert make_backend(name).limits.takes == PIPELINE_KINDS[PRESETS[name][0].pipeline].takes


class TestLoras:
    @each
    def test_they_change_each_kind_and_leave_no_trace(
        self, case: Case, weights: Path, tmp_path: Path
    ) -> None:
        plain = custom(str(weights))
        (before,) = drawn(plain, "boat", options=case.options)
        lora = write_lora(tmp_path / "strong.safetensors", strength=2.0, config=weights)
        (inked,) = drawn(custom(str(weights), loras=[(lora, 2.0)]), "boat", options=case.options)
        assert apart(inked, before) > 0
        assert [one["weight"] for one in inked.details["loras"]] == [2.0]
        (after,) = drawn(plain, "boat", options=case.options)
        assert apart(after, before) == 0

    def test_one_that_does_not_fit_is_one_clear_line(
        self, klein_folder: Path, tmp_path: Path
    ) -> None:
        lora = write_lora(tmp_path / "of-tiny.safetensors")
        with pytest.raises(BackendError, match=r"of-tiny\.safetensors does not fit this model: "):
            drawn(custom(str(klein_folder), loras=lora), "boat")
