"""Which seed a picture's noise follows from, and whether that can be said at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.request.request import MAX_SEED
from imagen_nb.studio.redraw import OWN_GENERATOR, SHARED_GENERATOR


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one picture. `seed` is None unless that seed draws it again.

    `generator`: how it was seeded, or why it has no seed.
    """

    seed: int | None
    generator: str


@dataclass(frozen=True, slots=True)
class Generators:
    """A call's generators as they were before it. `seeds`: one each, None with the reason."""

    seeds: tuple[tuple[int | None, str], ...] = ()
    without: str = "none was given"

    def noise(self, index: int, pictures: int) -> Noise:
        """That of one of the call's pictures."""
        if not self.seeds:
            return Noise(None, self.without)
        if len(self.seeds) not in (1, pictures):
            return Noise(None, f"{len(self.seeds)} for {pictures} pictures")
        each = len(self.seeds) == pictures
        seed, why_not = self.seeds[index if each else 0]
        return Noise(seed, why_not or (OWN_GENERATOR if each else SHARED_GENERATOR))


def generators_of(given: Any, latents: Any) -> Generators:
    """What a call's arguments `generator` and `latents` say; to be asked before the call."""
    if latents is not None:
        return Generators(without="the latents were given")
    if given is None:
        return Generators()
    several = [*given] if isinstance(given, Sequence) else [given]
    twice = len({id(one) for one in several}) < len(several)
    return Generators(
        tuple(
            (None, "used twice") if twice else _seed_of_generator(one)
            for one in several
        )
    )


def _seed_of_generator(generator: Any) -> tuple[int | None, str]:
    """Its seed, if it has drawn nothing since it was seeded; else why it has none."""
    import torch

    if not isinstance(generator, torch.Generator):
        return None, f"a {type(generator).__name__}"
    seed = generator.initial_seed()
    fresh = torch.Generator(generator.device).manual_seed(seed)
    if not torch.equal(fresh.get_state(), generator.get_state()):
        return None, "used before the call"
    if seed > MAX_SEED:
        return None, f"of seed {seed}, too large for a record"
    return seed, "" if generator.device.type == "cpu" else f"on {generator.device.type}"
