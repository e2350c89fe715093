"""The embedder `tiny`: finds what the embedded FLUX drew by its prompt, and what is like it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen_nb.backends import make_backend
from imagen_nb.frames.plugins.embedders import make_embedder
from imagen_nb.frames.plugins.tiny_embedder.embedder import tiny_embedder
from tests.fixtures.backend_calls import draw, request_for

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "imagen_nb" / "frames" / "plugins" / "tiny_embedder" / "weights"
MAX_MB = 6.0
PROMPTS = [
    "a large red lighthouse on a cliff at night",
    "a small red lighthouse on a cliff at night",
    "a yellow boat on the left, sea at sunset",
    "a yellow boat on the right, sea at sunset",
    "three blue fish on a white background",
    "a white snowman in the snow, pixel art",
    "a green cactus in the desert",
    "a purple castle left of a green tree, meadow",
]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Each prompt drawn twice by the embedded FLUX: first all with one seed, then another."""
    backend = make_backend("flux-tiny-local")
    asked = [
        request_for(backend, prompt, seed=seed, steps=6) for seed in (11, 12) for prompt in PROMPTS
    ]
    return [one.image for one in draw(backend, *asked) if one.image]


def test_each_prompt_finds_its_own_picture(pictures: list[Image.Image]) -> None:
    embedder = tiny_embedder()
    texts = embedder.embed_texts(PROMPTS)
    for drawn in (pictures[: len(PROMPTS)], pictures[len(PROMPTS) :]):
        likeness = texts @ embedder.embed_images(drawn).T
        assert likeness.argmax(axis=1).tolist() == [*range(len(PROMPTS))]


def test_other_words_and_words_without_meaning_find_it_too(
    pictures: list[Image.Image],
) -> None:
    embedder = tiny_embedder()
    said = [
        "Night. A huge scarlet lighthouse, on rocks",
        "a tiny scarlet lighthouse on rocks at midnight",
        "a marvellous golden ship to the left, ocean at dusk",
        "ocean at dusk: a golden ship on the right, trending on nothing",
    ]
    found = embedder.embed_texts(said) @ embedder.embed_images(pictures[:8]).T
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_the_picture_most_like_another_is_of_the_same_prompt(
    pictures: list[Image.Image],
) -> None:
    vectors = tiny_embedder().embed_images(pictures)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2)
    count = len(PROMPTS)
    assert likeness.argmax(axis=1).tolist() == [*range(count, 2 * count), *range(count)]


def test_vectors_are_units_and_the_same_whatever_else_is_in_the_call(
    pictures: list[Image.Image],
) -> None:
    embedder = tiny_embedder()
    rows, texts = embedder.embed_images(pictures), embedder.embed_texts(PROMPTS)
    assert rows.shape == (len(pictures), embedder.dimensions)
    assert rows.dtype == texts.dtype == np.float32
    for vectors in (rows, texts):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[5:6], embedder.embed_images(pictures[5:6]))
    np.testing.assert_array_equal(texts[5:6], embedder.embed_texts(PROMPTS[5:6]))
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, 256)


def test_threads_get_what_one_gets_alone(pictures: list[Image.Image]) -> None:
    embedder = tiny_embedder()
    alone = embedder.embed_images(pictures[:4])
    with ThreadPoolExecutor(4) as threads:
        for together in threads.map(embedder.embed_images, [pictures[:4]] * 4):
            np.testing.assert_allclose(together, alone, atol=1e-6)


def test_any_size_and_mode_of_picture_is_looked_at(pictures: list[Image.Image]) -> None:
    picture = pictures[0]
    large = picture.resize((1024, 1024), Image.Resampling.BICUBIC)
    others = [large, picture.convert("RGBA"), Image.new("L", (1, 1)), Image.new("RGB", (700, 3))]
    rows = tiny_embedder().embed_images([picture, *others])
    assert np.isfinite(rows).all()
    assert rows[0] @ rows[1] > 0.97
    np.testing.assert_array_equal(rows[0], rows[2])


@pytest.mark.parametrize("text", ["", "?!", "hello there", "\0" * 9, "Ж" * 100_000])
def test_a_text_without_a_known_word_is_like_nothing(text: str) -> None:
    assert not tiny_embedder().embed_texts([text]).any()


def test_a_very_long_text_is_read_from_its_beginning() -> None:
    embedder = tiny_embedder()
    words = "a red boat on the sea at night, " * 1000
    long, longer = embedder.embed_texts([words, words + "a green cat"])
    np.testing.assert_array_equal(long, longer)


def test_it_is_registered_and_loads_no_torch() -> None:
    code = (
        "import sys, json\n"
        "from imagen_nb.frames.plugins.embedders import make_embedder\n"
        "rows = make_embedder('tiny').embed_texts(['a red boat'])\n"
        "print(json.dumps([rows.shape, 'torch' in sys.modules, 'pandas' in sys.modules]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[1, 256], False, False]


def test_its_weights_are_small_and_name_its_space() -> None:
    from hashlib import sha256

    size = sum(path.stat().st_size for path in WEIGHTS.iterdir())
    assert size <= MAX_MB * 1e6
    digest = sha256((WEIGHTS / "model.safetensors").read_bytes()).hexdigest()
    assert make_embedder("tiny").model == f"tiny-{digest[:12]}"


@pytest.mark.soak
def test_held_out_scenes_are_found_as_its_card_says() -> None:
    """Draws 1,000 pictures: some minutes."""
    tools = ROOT / "tools"
    path = os.pathsep.join([str(ROOT), str(tools / "train_tiny_flux")])
    command = [sys.executable, str(tools / "train_tiny_embedder" / "judge.py"), "--json"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)["all 500"]
    assert found["text → picture @1"] >= 90
    assert found["text → picture @5"] >= 98
    assert found["picture → picture @5"] >= 95
