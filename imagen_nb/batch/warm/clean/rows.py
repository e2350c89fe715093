"""What a table of things to give back is made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from imagen_nb.system.import_hooks import when_imported


def note_nothing() -> None:
    """For rows that are given back without having been taken note of."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that a notebook may change and that the next one finds as it was.

    Attributes:
        name: what it is called when it cannot be given back.
        take: notes how it is.
        give: makes it as it was, given what `take` noted.
        module: the row matters only once this module is imported, and `take` is called right then.
    """

    name: str
    take: Callable[[], Any]
    give: Callable[[Any], object]
    module: str | None = None


class NotedSettings:
    """How the things of a table were when they were fresh."""

    def __init__(self, table: Iterable[Setting]) -> None:
        self._noted: dict[Setting, Any] = {}
        for row in table:
            if row.module is None:
                self._note(row)
            else:
                when_imported(row.module, functools.partial(self._note, row))

    def _note(self, row: Setting) -> None:
        if (
            row not in self._noted
        ):  # a module that is imported again was changed in between
            self._noted[row] = row.take()

    def give_back(self) -> list[str]:
        """Make all as it was; gives what that did not work with, and why."""
        failed = []
        for row, value in list(self._noted.items()):
            try:
                row.give(value)
            except (
                Exception
            ) as error:  # whatever a notebook made of the library that this calls
                failed.append(f"{row.name} cannot be given back ({error!r})")
        return failed
