"""The tiny pipelines of flux_layout draw as the large ones do: each of a batch as alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

PROMPTS = ["a fox", "an old lighthouse"]
DOTS = np.kron(np.random.default_rng(0).random((8, 8, 3)), np.ones((8, 8, 1)))
PICTURE = Image.fromarray((DOTS * 255).astype(np.uint8))  # klein takes none below 64 pixels
OTHER = PICTURE.rotate(90)
HALF = Image.fromarray(np.repeat(np.uint8([0, 255]), 32)[None].repeat(64, axis=0))
TURNED = HALF.rotate(90)


def loaded(kind: str, folder: Path) -> Any:
    pipeline = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(pipeline: Any, prompt: str | list[str], *seeds: int, **options: Any) -> np.ndarray:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    size = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "np"}
    images: np.ndarray = pipeline(prompt=prompt, generator=generators, **size, **options).images
    return images


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether one sees it in a file, whose pixels have eight bits."""
    return bool(np.abs(one - other).max() > 2 / 255)


@pytest.fixture
def fill(fill_folder: Path) -> Any:
    return loaded("FluxFillPipeline", fill_folder)


@pytest.fixture
def kontext(kontext_folder: Path) -> Any:
    return loaded("FluxKontextPipeline", kontext_folder)


@pytest.fixture
def klein(klein_folder: Path) -> Any:
    return loaded("Flux2KleinPipeline", klein_folder)


class TestFill:
    def test_each_of_a_batch_is_drawn_as_alone(self, fill: Any) -> None:
        both = drawn(fill, PROMPTS, 1, 2, image=[PICTURE] * 2, mask_image=[HALF] * 2)
        alone = drawn(fill, PROMPTS[1], 2, image=PICTURE, mask_image=HALF)
        np.testing.assert_allclose(both[1:], alone, atol=1e-5)

    @pytest.mark.parametrize(
        ("prompt", "image", "mask"),
        [(PROMPTS[0], PICTURE, HALF), (PROMPTS[1], OTHER, HALF), (PROMPTS[1], PICTURE, TURNED)],
        ids=["prompt", "image", "mask"],
    )
    def test_each_argument_changes_the_picture(
        self, fill: Any, prompt: str, image: Image.Image, mask: Image.Image
    ) -> None:
        first = drawn(fill, PROMPTS[1], 2, image=PICTURE, mask_image=HALF)
        assert differ(first, drawn(fill, prompt, 2, image=image, mask_image=mask))


class TestKontext:
    SIZE: ClassVar[dict[str, Any]] = {"_auto_resize": False, "max_area": 32 * 32}

    def test_each_of_a_batch_is_drawn_as_alone(self, kontext: Any) -> None:
        both = drawn(kontext, PROMPTS, 1, 2, image=[PICTURE] * 2, **self.SIZE)
        alone = drawn(kontext, PROMPTS[1], 2, image=PICTURE, **self.SIZE)
        np.testing.assert_allclose(both[1:], alone, atol=1e-5)

    @pytest.mark.parametrize(
        ("prompt", "image"),
        [(PROMPTS[0], PICTURE), (PROMPTS[1], OTHER), (PROMPTS[1], None)],
        ids=["prompt", "image", "no image"],
    )
    def test_each_argument_changes_the_picture(
        self, kontext: Any, prompt: str, image: Image.Image | None
    ) -> None:
        first = drawn(kontext, PROMPTS[1], 2, image=PICTURE, **self.SIZE)
        assert differ(first, drawn(kontext, prompt, 2, image=image, **self.SIZE))


class TestKlein:
    def test_each_of_a_batch_is_drawn_as_alone(self, klein: Any) -> None:
        both = drawn(klein, PROMPTS, 1, 2, image=PICTURE)
        alone = drawn(klein, PROMPTS[1], 2, image=PICTURE)
        np.testing.assert_allclose(both[1:], alone, atol=1e-5)

    @pytest.mark.parametrize(
        ("prompt", "image"),
        [
            (PROMPTS[0], PICTURE),
            (PROMPTS[1], OTHER),
            (PROMPTS[1], [PICTURE, OTHER]),
            (PROMPTS[1], None),
        ],
        ids=["prompt", "image", "two images", "no image"],
    )
    def test_each_argument_changes_the_picture(self, klein: Any, prompt: str, image: Any) -> None:
        first = drawn(klein, PROMPTS[1], 2, image=PICTURE)
        assert differ(first, drawn(klein, prompt, 2, image=image))

    def test_it_reads_the_prompt_as_a_chat_without_thinking(self, klein: Any) -> None:
        message = [{"role": "user", "content": "a fox"}]
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        text = klein.tokenizer.apply_chat_template(message, **options)
        assert text == (
            "<|im_start|>user\na fox<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )
        assert klein.tokenizer.decode(klein.tokenizer(text)["input_ids"]) == text
