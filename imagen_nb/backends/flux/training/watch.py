"""What is told of a training while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is. `loss`: the mean of the last 50 steps."""

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingWatch:
    """What is told of a training while it goes on.

    `encoding`: called with (done, total) while pictures and captions are encoded.
    `progress`: called after each step. `preview`: called now and then with the step
    and a file of the LoRA as it is, with all of the card's memory free.
    """

    encoding: Callable[[int, int], None]
    progress: Callable[[TrainingProgress], None]
    preview: Callable[[int, Path], None] | None = None
