"""The tiny pipelines of flux_layout are drawn with as diffusers itself calls the large ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def loaded(kind: str, folder: Path) -> Any:
    pipeline = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(pipeline: Any, prompt: str | list[str], *seeds: int, **options: Any) -> np.ndarray:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    size = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "np"}
    found: np.ndarray = pipeline(prompt=prompt, generator=generators, **size, **options).images
    return found


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


def test_fill_draws_each_of_a_batch_as_alone(fill: Any) -> None:
    both = drawn(fill, PROMPTS, 1, 2, image=[PICTURE] * 2, mask_image=[HALF] * 2)
    alone = drawn(fill, PROMPTS[1], 2, image=PICTURE, mask_image=HALF)
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)
    assert differ(alone, drawn(fill, PROMPTS[1], 2, image=OTHER, mask_image=HALF))
    assert differ(alone, drawn(fill, PROMPTS[1], 2, image=PICTURE, mask_image=HALF.rotate(90)))
    assert differ(alone, drawn(fill, PROMPTS[0], 2, image=PICTURE, mask_image=HALF))


def test_kontext_draws_each_of_a_batch_as_alone(kontext: Any) -> None:
    size = {"_auto_resize": False, "max_area": 32 * 32}
    both = drawn(kontext, PROMPTS, 1, 2, image=[PICTURE] * 2, **size)
    alone = drawn(kontext, PROMPTS[1], 2, image=PICTURE, **size)
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)
    assert differ(alone, drawn(kontext, PROMPTS[1], 2, image=OTHER, **size))
    assert differ(alone, drawn(kontext, PROMPTS[1], 2, **size))
    assert differ(alone, drawn(kontext, PROMPTS[0], 2, image=PICTURE, **size))


def test_klein_draws_each_of_a_batch_as_alone(klein: Any) -> None:
    both = drawn(klein, PROMPTS, 1, 2, image=PICTURE)
    alone = drawn(klein, PROMPTS[1], 2, image=PICTURE)
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)
    assert differ(alone, drawn(klein, PROMPTS[1], 2, image=OTHER))
    assert differ(alone, drawn(klein, PROMPTS[1], 2, image=[PICTURE, OTHER]))
    assert differ(alone, drawn(klein, PROMPTS[1], 2))
    assert differ(alone, drawn(klein, PROMPTS[0], 2, image=PICTURE))


def test_klein_reads_the_prompt_as_a_chat_without_thinking(klein: Any) -> None:
    message = [{"role": "user", "content": "a fox"}]
    options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    text = klein.tokenizer.apply_chat_template(message, **options)
    assert text == (
        "<|im_start|>user\na fox<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert klein.tokenizer.decode(klein.tokenizer(text)["input_ids"]) == text
