"""The embedded FLUX learns a colour that it does not know, from twenty pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from imagen_nb.backends import make_backend
from imagen_nb.backends.flux.training.pictures import load_training_pictures
from imagen_nb.backends.flux.training.settings import TrainingSettings
from imagen_nb.backends.flux.training.trainer import train
from imagen_nb.backends.flux.training.watch import TrainingWatch
from imagen_nb.backends.tiny import FLUX_TINY
from tests.fixtures.backend_calls import draw, request_for

TOOLS = Path(__file__).parents[2] / "tools" / "train_tiny_flux"
OLIVE = np.array([112, 120, 36])
NEAR = 45  # levels of 0 to 255, in each of the three


@pytest.fixture
def scene_tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tools that drew what the FLUX was trained on, which know olive here."""
    monkeypatch.syspath_prepend(TOOLS)
    before = {*sys.modules}
    import vocabulary

    monkeypatch.setitem(vocabulary.COLOURS, "olive", tuple(OLIVE))
    import drawing
    import scenes

    yield scenes, drawing
    for name in {"vocabulary", "drawing", "scenes"} - before:
        del sys.modules[name]


def olive_share(backend: Any) -> list[float]:
    """Of each picture, the share of pixels that are olive."""
    prompt = "a olive boat on the sea"  # where nothing else is of such a colour
    requests = [request_for(backend, prompt, seed=seed, steps=6) for seed in range(12)]
    pictures = [np.asarray(one.image, int) for one in draw(backend, *requests)]
    return [float((np.abs(one - OLIVE).max(axis=2) < NEAR).mean()) for one in pictures]


@pytest.mark.soak
def test_a_boat_of_a_new_colour(scene_tools: Any, tmp_path: Path) -> None:
    scenes, drawing = scene_tools
    rng, skies = Random(1), ("day", "night", "sunset", "storm")
    (tmp_path / "set").mkdir()
    for number in range(20):
        scene = scenes.Scene(
            (scenes.Thing("boat", "olive"),), place="sea", sky=skies[number % len(skies)]
        )
        drawing.picture(scene, rng).save(tmp_path / "set" / f"{number}.png")
        caption = scenes.caption(scene, rng)
        (tmp_path / "set" / f"{number}.txt").write_text(caption)
    settings = TrainingSettings(steps=80, batch=8, learning_rate=2e-3, size=128)
    losses: list[float] = []
    watch = TrainingWatch(lambda done, total: None, lambda now: losses.append(now.loss))
    lora = tmp_path / "olive.safetensors"
    train(FLUX_TINY, load_training_pictures(tmp_path / "set"), lora, settings, watch)
    assert losses[-1] < losses[10]
    before = olive_share(make_backend("flux-tiny-local"))
    after = olive_share(make_backend("flux-tiny-local", loras=lora))
    gained = [more - less for more, less in zip(after, before, strict=True)]
    assert sum(share > 0.02 for share in gained) >= 10, gained
