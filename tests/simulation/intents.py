"""What users wanted of each tag, and which of it may be in a row at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

from imagen_nb.storage.record import UnsentTag
from imagen_nb.storage.tags import TagChange

Picture = tuple[str, str]  # the account, and the sha256 of the file


@dataclass(frozen=True, slots=True)
class Intent:
    """One change of one tag. `made` and `arrived` are moments of the history.

    `certain`: whether its user was told that it is kept. `arrived`: when its machine had nothing
    left to tell the server.
    """

    machine: str
    present: bool
    made: int
    certain: bool = True
    arrived: int | None = None


class Intents:
    """Invariant: of each picture and tag, the changes of each machine in their order."""

    def __init__(self) -> None:
        self._moments = count()
        self._base: dict[Picture, frozenset[str]] = {}
        self._made: dict[tuple[Picture, str], list[Intent]] = defaultdict(list)
        self._anything_goes: set[Picture] = set()

    def begin(self, picture: Picture, tags: Iterable[str]) -> None:
        """Note the tags that a picture was kept with."""
        self._base.setdefault(picture, frozenset(tags))

    def note(self, machine: str, picture: Picture, change: TagChange, certain: bool = True) -> None:
        moment = next(self._moments)
        for tags, present in ((change.added, True), (change.removed, False)):
            for tag in tags:
                self._made[picture, tag].append(Intent(machine, present, moment, certain))

    def inherit(self, machine: str, picture: Picture, marks: Iterable[UnsentTag]) -> None:
        """Note what a copied sidecar has a machine tell the server."""
        for mark in marks:
            tags = (mark.tag,)
            change = TagChange(added=tags) if mark.present else TagChange(removed=tags)
            self.note(machine, picture, change)

    def arrive(self, machine: str) -> None:
        """Note that this machine has nothing left to tell the server."""
        moment = next(self._moments)
        for intents in self._made.values():
            intents[:] = [
                replace(one, arrived=moment) if _is_on_its_way(one, machine) else one
                for one in intents
            ]

    def doubt(self, machine: str, own: Iterable[Picture]) -> None:
        """Note that a machine lost its queue: only its own pictures' sidecars tell it again."""
        kept = set(own)
        for (picture, _), intents in self._made.items():
            if picture not in kept:
                intents[:] = [
                    replace(one, certain=False) if _is_on_its_way(one, machine) else one
                    for one in intents
                ]

    def give_up(self, picture: Picture) -> None:
        """Say nothing of this picture's tags: somebody changed its row by hand, or late."""
        self._anything_goes.add(picture)

    def violation(self, picture: Picture, tags: Iterable[str]) -> str | None:
        """Return what is wrong with the tags of a picture's row at the end, or None."""
        there = set(tags)
        labels = there | self._base.get(picture, frozenset())
        labels |= {tag for one, tag in self._made if one == picture}
        for label in sorted(labels):
            allowed = self._allowed(picture, label)
            if (label in there) not in allowed:
                is_there = "is there" if label in there else "is not there"
                return f"{label} {is_there}, of {self._made[picture, label]}"
        return None

    def _allowed(self, picture: Picture, label: str) -> set[bool]:
        """The last change of each machine, unless another's was made after it had arrived."""
        base = label in self._base.get(picture, frozenset())
        intents = self._made[picture, label]
        if picture in self._anything_goes:
            return {base, *(one.present for one in intents)}
        last: list[Intent] = []
        for machine in {one.machine for one in intents}:
            last += _last_of([one for one in intents if one.machine == machine])
        certain = [one for one in last if one.certain]
        allowed = {one.present for one in last if not _is_overruled(one, certain)}
        return allowed if certain else allowed | {base}


def _is_on_its_way(intent: Intent, machine: str) -> bool:
    return intent.machine == machine and intent.arrived is None


def _last_of(intents: list[Intent]) -> list[Intent]:
    """The last certain one, and those after it of which nobody knows."""
    found: list[Intent] = []
    for one in reversed(intents):
        found.append(one)
        if one.certain:
            break
    return found


def _is_overruled(intent: Intent, others: Iterable[Intent]) -> bool:
    return intent.arrived is not None and any(other.made > intent.arrived for other in others)
