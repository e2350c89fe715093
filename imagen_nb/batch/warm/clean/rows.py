"""Settings that a notebook may change, noted when fresh and restored after it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from imagen_nb.system.import_hooks import when_imported


def note_nothing() -> None:
    """Stand for `note` in settings that are restored without having been noted."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that a notebook may change, and that the next one finds as it was.

    Attributes:
        name: for the message that it cannot be restored.
        note: returns its present state.
        restore: makes it as it was, given what `note` returned.
        module: the setting matters only when this module is imported, and is noted
            right then.
    """

    name: str
    note: Callable[[], Any]
    restore: Callable[[Any], object]
    module: str | None = None


class NotedSettings:
    """The settings of a table, as they were in the fresh kernel."""

    def __init__(self, table: Iterable[Setting]) -> None:
        self._noted: dict[Setting, Any] = {}
        for setting in table:
            if setting.module is None:
                self._note(setting)
            else:
                when_imported(setting.module, functools.partial(self._note, setting))

    def _note(self, setting: Setting) -> None:
        # A module that is imported a second time was changed in between.
        if setting not in self._noted:
            self._noted[setting] = setting.note()

    def restore(self) -> list[str]:
        """Restore all of them; return for which that failed, and why."""
        failures = []
        for setting, value in list(self._noted.items()):
            try:
                setting.restore(value)
            except Exception as error:  # a notebook may have broken what this calls
                failures.append(f"{setting.name} cannot be given back ({error!r})")
        return failures
