"""The backends of one session: each made once, and which one `auto` stands for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.backends import Backend, is_remote, make_backend
from imagen_nb.backends.flux.memory.machine import plan_for, this_machine
from imagen_nb.backends.flux.memory.words import describe_machine
from imagen_nb.backends.flux.models import FLUX_SCHNELL
from imagen_nb.system.forks import start_anew_in_forks

_TINY = "flux-tiny-local"
_SLOW_OFFLOADS = ("group", "sequential")  # that nobody would call comfortable


class Backends:
    """Backends by name and options. Invariant: one of each, its model loaded once."""

    def __init__(
        self,
        configured: str,
        options: Mapping[str, Any],
        options_of: Callable[[str], dict[str, Any]] = lambda name: {},
        remote: Callable[[str, Mapping[str, Any]], Backend] | None = None,
    ) -> None:
        """Make none yet.

        `configured`, `options`: the name that no name stands for, and its options.
        `options_of`: returns what is configured of any backend, by its name; an
        argument of `get` wins over it. `remote`: makes those that draw on another
        machine, anew each time, as its boxes come and go.
        """
        self._remote = remote
        self._configured = configured
        self._options = options
        self._options_of = options_of
        self._made: dict[_BackendKey, Backend] = {}
        self._reasons: dict[int, str] = {}  # why auto chose it, by id(), until asked
        self._drew: set[int] = set()  # what has drawn before, by id()
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Make a new lock: in a forked child, the old one may be locked for ever."""
        self._lock = threading.Lock()

    def get(
        self, name: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Backend:
        """Return the backend, made if need be, but not loaded.

        An option that is None is not given. Raise what `make_backend` raises.
        """
        given = dict(options or {})
        if name is None or name == self._configured:
            name, given = self._configured, {**self._options, **given}
        given = {option: value for option, value in given.items() if value is not None}
        if self._remote and is_remote(name):
            return self._remote(name, given)
        key = _BackendKey(name, _comparable(given))
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(name, given)
            return self._made[key]

    def why(self, backend: Backend) -> str:
        """Return why auto chose it: a line when first asked, then nothing."""
        return self._reasons.pop(id(backend), "")

    def has_drawn(self, backend: Backend) -> bool:
        """Return whether it has drawn in this session, so that its model is loaded."""
        return id(backend) in self._drew

    def note_drawn(self, backend: Backend) -> None:
        """Remember that it has drawn a picture."""
        self._drew.add(id(backend))

    def _make(self, name: str, options: dict[str, Any]) -> Backend:
        why = ""
        if name == "auto":
            name, why = choose_backend()
        backend = make_backend(name, **_merged_options(self._options_of(name), options))
        if why:
            self._reasons[id(backend)] = why
        return backend


def _merged_options(
    configured: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Put what is given over what is configured; of the memory plan, key by key."""
    merged = {**configured, **given}
    ours, theirs = configured.get("memory"), given.get("memory")
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        merged["memory"] = {**ours, **theirs}
    return merged


@dataclass(frozen=True, slots=True)
class _BackendKey:
    """A name and options, compared by value; its repr has none, as some are secret."""

    name: str
    options: object = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class _ByIdentity:
    """An object without a hash; equal if it is the very same object."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _comparable(value: object) -> object:
    """Return the value as it is now, in a form with a hash; 1, 1.0 and True differ.

    Secrets need nothing of their own: pydantic compares them by what they hold.
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
            content = _ByIdentity(value)
    return type(value), content


def choose_backend() -> tuple[str, str]:
    """Return the name that `auto` stands for on this machine, and why, in one line.

    The reason is empty for FLUX.1-schnell, the best that there is.
    """
    if not make_backend(FLUX_SCHNELL.name).availability().available:
        return _TINY, _explain_tiny(
            "the weights of FLUX.1-schnell are not on this machine"
        )
    machine = this_machine()  # 2 s: only when there are weights that a GPU could draw
    if not machine.gpu_gb:
        return _TINY, _explain_tiny("there is no GPU for FLUX.1-schnell")
    choice = plan_for(FLUX_SCHNELL, {}, machine)
    if not choice.fits or choice.plan.offload in _SLOW_OFFLOADS:
        too_little = f"{describe_machine(machine)} is too little for FLUX.1-schnell"
        return _TINY, _explain_tiny(too_little)
    return FLUX_SCHNELL.name, ""


def _explain_tiny(reason: str) -> str:
    return (
        f"drawing with {_TINY}, the small embedded model: {reason} "
        f"(see `imagen models {FLUX_SCHNELL.name}`)"
    )


def describe_backend(name: str, **options: Any) -> str:
    """Return in one line what draws when `name` is configured, or why nothing does.

    `name` may be auto. Raise `UsageError` for an unknown name or option.
    """
    if name == "auto":
        chosen, why = choose_backend()
        return f"auto: {why or chosen}"
    if is_remote(name):
        return f"{name}: a machine that runs `imagen work` draws"
    state = make_backend(name, **options).availability()
    return name if state.available else f"{name}: {state.reason}"
