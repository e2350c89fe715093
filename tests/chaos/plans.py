"""What the laptops ask for: a fixed number of pictures, whatever happens to who asks."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

_PART = 10  # jobs of one request, at most


@dataclass(frozen=True, slots=True)
class Item:
    """Pictures that are asked for in one go, each of `seeds` so many `times`.

    `tag` says in a job's row whose item it is. `fails`: no worker has what it asks for. `waits`:
    the laptop waits for them as `generate` does. `cancels`: it thinks better of it.
    """

    tag: str
    prompt: str
    seeds: tuple[int, ...]
    times: int = 1
    fails: bool = False
    waits: bool = False
    cancels: bool = False

    @property
    def jobs(self) -> int:
        return self.times * len(self.seeds)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def make_plan(laptop: str, jobs: int, dice: random.Random) -> list[Item]:
    """Items of so many jobs together, in any order."""
    items: list[Item] = []
    left = jobs
    while left:
        number = len(items)
        count = min(left, dice.randint(1, _PART))
        seeds = tuple(range(100 * number, 100 * number + count))
        more: dict[str, Any] = {}
        if number % 8 == 1:
            more = {"cancels": True}
        elif number % 8 == 3:
            more = {"fails": True}
            seeds = seeds[:2]
        elif number % 8 == 5 and left >= 2:
            more = {"times": 2}
            seeds = seeds[: min(len(seeds), left // 2)]
        elif number % 8 == 6:
            more = {"waits": True}
        item = Item(f"{laptop}-{number}", f"a boat of the {laptop}", seeds, **more)
        items.append(item)
        left -= item.jobs
    dice.shuffle(items)
    return items
