"""The backends of one session: each made once, with why `auto` chose it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
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
        self._made: dict[str, Backend] = {}
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
        key = f"{name} {sorted(given.items())}"
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


def _merged_options(
    configured: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What is given over what is configured; of the memory plan, key by key."""
    both = {**configured, **given}
    here, there = given.get("memory"), configured.get("memory")
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        both["memory"] = {**there, **here}
    return both
