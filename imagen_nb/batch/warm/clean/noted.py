"""Things that are compared after each notebook with what they were."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

# What stands for the value of a name that is not there.
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "not there"})()


@dataclass(frozen=True, slots=True)
class Change:
    """A name whose value is another than it was.

    Attributes:
        name: of the mapping.
        key: the name in the mapping.
        old: what it was; ABSENT if the notebook added it.
        new: what it is; ABSENT if the notebook took it out.
    """

    name: str
    key: Hashable
    old: Any
    new: Any


class NotedMappings:
    """Mappings of names to values, each as it was when it was added.

    What an import changes is accepted, because the import stays for the kernel's life:
    tell when one begins and when it has ended. All else is the notebook's doing.
    """

    def __init__(self) -> None:
        self._noted: dict[
            str, tuple[Callable[[], Mapping[Any, Any]], dict[Any, Any]]
        ] = {}
        self._changed: set[tuple[str, Hashable]] = set()  # so far, by the notebook

    def __contains__(self, name: str) -> bool:
        return name in self._noted

    def __iter__(self) -> Iterator[str]:
        return iter(self._noted)

    def add(self, name: str, read: Callable[[], Mapping[Any, Any]]) -> None:
        """Take note of what `read` gives now; that is compared from now on."""
        self._noted[name] = read, dict(read())

    def before_import(self) -> None:
        """Take note of what the notebook has changed by now."""
        self._changed = {(change.name, change.key) for change in self.changes()}

    def after_import(self) -> None:
        """Accept what changed since `before_import`."""
        for change in self.changes():
            if (change.name, change.key) not in self._changed:
                self.accept(change)
        self._changed = set()  # its keys may be the notebook's own classes

    def changes(self) -> list[Change]:
        """Return what differs."""
        return [
            Change(name, key, noted.get(key, ABSENT), now.get(key, ABSENT))
            for name, now, noted in self._differing()
            for key in [*noted, *(key for key in [*now] if key not in noted)]
            if not _are_same(now.get(key, ABSENT), noted.get(key, ABSENT))
        ]

    def accept(self, change: Change) -> None:
        """Take the new value for what it was."""
        set_or_delete(self._noted[change.name][1], change.key, change.new)

    def noted(self, name: str) -> dict[Any, Any]:
        """Return what the mapping of that name was."""
        return self._noted[name][1]

    def _differing(self) -> list[tuple[str, Mapping[Any, Any], dict[Any, Any]]]:
        return [
            (name, now, noted)
            for name, (read, noted) in [*self._noted.items()]
            if not _are_equal(now := read(), noted)
        ]


def _are_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and _are_equal(one, other))


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)  # at the speed of C where values are the very same
    except Exception:  # values that cannot be compared, as arrays
        return False


def set_or_delete(mapping: MutableMapping[Any, Any], key: Hashable, value: Any) -> None:
    """Set the value, or delete the key where the value is ABSENT."""
    if value is ABSENT:
        mapping.pop(key, None)
    else:
        mapping[key] = value
