"""Makes objects usable in forked children, where threads end and locks stay locked."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class StartsAnewInFork(Protocol):
    """An object with locks, threads or connections of its own."""

    def start_anew(self) -> None:
        """Replace what the parent's threads hold; take no lock and wait for nothing."""


_OBJECTS: WeakSet[StartsAnewInFork] = WeakSet()


def start_anew_in_forks(obj: StartsAnewInFork) -> None:
    """Have `obj.start_anew()` called first of all in every forked child."""
    _OBJECTS.add(obj)


def _start_all_anew() -> None:
    for obj in list(_OBJECTS):
        obj.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_anew)
