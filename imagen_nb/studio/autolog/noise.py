"""Which seed a picture's noise follows from, if that can be said at all."""

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
    """A call's generators as they were before it.

    `seeds`: for each generator its seed and "", or "on cuda"; or None and why it has
    none. `reason`: why there are no generators.
    """

    seeds: tuple[tuple[int | None, str], ...] = ()
    reason: str = "none was given"

    def noise(self, index: int, count: int) -> Noise:
        """Return the noise of the picture at this place among the call's `count`."""
        if not self.seeds:
            return Noise(None, self.reason)
        if len(self.seeds) not in (1, count):
            return Noise(None, f"{len(self.seeds)} for {count} pictures")
        each = len(self.seeds) == count
        seed, note = self.seeds[index if each else 0]
        if not note:
            note = OWN_GENERATOR if each else SHARED_GENERATOR
        return Noise(seed, note)


def generators_of(generator: Any, latents: Any) -> Generators:
    """Read a call's arguments `generator` and `latents`, before the call is made."""
    if latents is not None:
        return Generators(reason="the latents were given")
    if generator is None:
        return Generators()
    several = [*generator] if isinstance(generator, Sequence) else [generator]
    if len({id(one) for one in several}) < len(several):
        return Generators(((None, "used twice"),) * len(several))
    return Generators(tuple(_seed_of_generator(one) for one in several))


def _seed_of_generator(generator: Any) -> tuple[int | None, str]:
    """Return its seed, if it has drawn nothing since it was seeded, and a note."""
    import torch

    if not isinstance(generator, torch.Generator):
        return None, f"a {type(generator).__name__}"
    seed = generator.initial_seed()
    fresh = torch.Generator(generator.device).manual_seed(seed)
    if not torch.equal(fresh.get_state(), generator.get_state()):
        return None, "used before the call"
    if seed > MAX_SEED:
        return None, f"of seed {seed}, too large for a record"
    device = generator.device.type
    return seed, "" if device == "cpu" else f"on {device}"
