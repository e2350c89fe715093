"""What a user decides of a training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import validated_int

_MAX_RATE = 1.0


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a LoRA is trained.

    `rank`: of its matrices. `learning_rate`: the highest one, after the first steps.
    `batch`: pictures in a step. `size`: pixels of a square with the area that pictures
    are brought to, at most; 0 is the model's own. `checkpoint_every`, `preview_every`:
    steps; 0 for no previews.
    """

    steps: int = 1000
    rank: int = 16
    learning_rate: float = 1e-4
    batch: int = 1
    size: int = 0
    seed: int = 0
    checkpoint_every: int = 250
    preview_every: int = 0

    def validated(self) -> TrainingSettings:
        """Return these settings. Raise `UsageError` for those that cannot be used."""
        validated_int("steps", self.steps, 1, 1_000_000)
        validated_int("rank", self.rank, 1, 1024)
        validated_int("batch", self.batch, 1, 1024)
        if self.size:
            validated_int("size", self.size, 64, 4096)
        validated_int("seed", self.seed, 0, 2**32 - 1)
        validated_int("checkpoint_every", self.checkpoint_every, 1, 1_000_000)
        validated_int("preview_every", self.preview_every, 0, 1_000_000)
        rate = self.learning_rate
        if not isinstance(rate, int | float) or not 0 < rate <= _MAX_RATE:
            raise UsageError(
                f"learning_rate is above 0, at most {_MAX_RATE:g}, not {rate!r}"
            )
        return self

    def deciding(self) -> dict[str, int | float]:
        """Return those that the LoRA follows from, by name."""
        told = {"checkpoint_every", "preview_every"}
        return {name: one for name, one in asdict(self).items() if name not in told}

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, 0 for the first.

        It grows for a twentieth of the steps, 50 at most, and falls to 0 as a cosine
        (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983).
        """
        warm_up = max(1, min(50, self.steps // 20))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        share = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2
