"""The backends of one session: each made once, and which one `auto` stands for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.backends import Backend, make_backend
from imagen_nb.backends.auto import choose_backend


class Backends:
    """Backends by name and options. Invariant: one for each, so that a model is loaded once."""

    def __init__(
        self,
        configured: str,
        options: Mapping[str, Any],
        options_of: Callable[[str], dict[str, Any]] = lambda name: {},
    ) -> None:
        """Makes none. `configured`: the name that is meant where none is given; its options.

        `options_of`: what is configured of any backend, by its name; what is given wins.
        """
        self._configured, self._options, self._options_of = (
            configured,
            options,
            options_of,
        )
        self._made: dict[_BackendKey, Backend] = {}
        self._reasons: dict[
            int, str
        ] = {}  # of what auto chose, by the backend's id(), until said
        self._drew: set[int] = set()  # what has drawn before, by id()
        self._lock = threading.Lock()

    def get(
        self, name: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Backend:
        """The backend, not loaded for that; options that are None are not given.

        Raises what `make_backend` does.
        """
        given = dict(options or {})
        if name is None or name == self._configured:
            name, given = self._configured, {**self._options, **given}
        given = {option: value for option, value in given.items() if value is not None}
        key = _BackendKey(name, _comparable(given))
        with self._lock:
            if key not in self._made:
                self._made[key] = self._new(name, given)
            return self._made[key]

    def why(self, backend: Backend) -> str:
        """Why auto chose it: a line the first time that it is asked, then nothing."""
        return self._reasons.pop(id(backend), "")

    def has_drawn(self, backend: Backend) -> bool:
        """Whether it has drawn in this session, so that its model is there."""
        return id(backend) in self._drew

    def note_drawn(self, backend: Backend) -> None:
        """It has drawn a picture."""
        self._drew.add(id(backend))

    def _new(self, name: str, options: dict[str, Any]) -> Backend:
        if name != "auto":
            return make_backend(
                name, **_merged_options(self._options_of(name), options)
            )
        name, why = choose_backend()
        backend = make_backend(name, **_merged_options(self._options_of(name), options))
        self._reasons[id(backend)] = why
        return backend


@dataclass(frozen=True, slots=True)
class _BackendKey:
    """A name and its options, compared by value; its repr shows none, as some are secret."""

    name: str
    options: object = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Only:
    """Stands for an object that has no hash: equal to a stand-in of the same object alone."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Only) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _comparable(value: object) -> object:
    """Return the value as it is now, in a form that has a hash and keeps 1, 1.0 and True apart.

    Secrets are compared by what they hold: pydantic compares them so, though it shows none.
    """
    content: object = value
    if isinstance(value, Mapping):
        content = frozenset((name, _comparable(item)) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        content = tuple(_comparable(item) for item in value)
    else:
        try:
            hash(value)
        except TypeError:
            content = _Only(value)
    return type(value), content


def _merged_options(
    configured: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What is given over what is configured; of the memory plan, key by key."""
    both = {**configured, **given}
    here, there = given.get("memory"), configured.get("memory")
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        both["memory"] = {**there, **here}
    return both
