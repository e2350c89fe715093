"""Processes that die between two steps: what is on the disk then is what the next one finds.

A step is whatever Python's audit events tell of a machine's folder: a file opened for writing, a
rename, a link, a removal; and every request. At the step of death the folder is copied as it is,
the SQLite files with it. Whatever the dying code still does on its way out (`finally`, rollbacks)
it does to the old folder, which nobody looks at again: as if it had been killed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR


class SimulatedDeath(BaseException):
    """The process is no more."""


class Mortality:
    """The steps of the processes of one machine, and the one at which the current one dies.

    `folder` changes at each death.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_dead = False
        self._steps_left: int | None = None
        self._deaths = 0

    @contextmanager
    def dying_after(self, steps: int | None) -> Iterator[None]:
        """Die after so many steps within the block; None or too many: live on."""
        self._steps_left = steps
        _watched.append(self)
        try:
            yield
        finally:
            _watched.remove(self)
            self._steps_left = None

    def revive(self) -> None:
        """Be a new process, which finds what was on the disk."""
        self.is_dead = False

    def step(self) -> None:
        """Raise SimulatedDeath if this is the step of death, or the process is dead."""
        if self.is_dead:
            raise SimulatedDeath
        if self._steps_left is None:
            return
        self._steps_left -= 1
        if self._steps_left < 0:
            self.die()

    def die(self) -> None:
        self.is_dead = True
        self._deaths += 1
        old = self.folder
        self.folder = old.with_name(f"{old.name.partition('+')[0]}+{self._deaths}")
        if old.exists():
            shutil.copytree(old, self.folder, copy_function=_copy_if_there)
        raise SimulatedDeath


def _copy_if_there(source: str, target: str) -> None:
    """What SQLite keeps for its own processes is not copied: they are gone."""
    if not source.endswith("-shm"):
        shutil.copy2(source, target)


_watched: list[Mortality] = []


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in ("open", "os.rename", "os.link", "os.remove"):
        return
    paths, flags = arguments[:1], arguments[2] if event == "open" else _WRITING
    if event in ("os.rename", "os.link"):
        paths = arguments[:2]  # a file of another folder may get a name in this one
    if not isinstance(flags, int) or not flags & _WRITING:
        return
    for one in _watched:
        # A dead process may do what it likes to its old folder.
        if not one.is_dead and any(_is_below(path, one.folder) for path in paths):
            one.step()


def _is_below(path: object, folder: Path) -> bool:
    return isinstance(path, str | Path) and Path(path).is_relative_to(folder)


sys.addaudithook(_notice)
