"""Module-level functions: one-line calls on one default Studio."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from imagen_nb.studio.studio import Studio

P = ParamSpec("P")
R = TypeVar("R")

_default_lock = threading.Lock()
_default: Studio | None = None


def studio() -> Studio:
    """The default Studio, made from the configuration when it is first needed."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Studio()
        return _default


def configure(**settings: Any) -> Studio:
    """Replace the default Studio by one with these settings, e.g. `configure(backend="auto")`.

    Nested keys are given as mappings: `configure(output={"dir": "~/pictures"})`.
    Raises `ConfigError` for unknown keys and bad values; the old Studio then stays.
    """
    global _default
    fresh = Studio(settings)
    with _default_lock:
        old, _default = _default, fresh
    if old:
        old.close()
    return fresh


def leave() -> None:
    """Close the default Studio without waiting for the cloud; the next call makes a new one.

    What was not sent stays in the outbox.
    """
    global _default
    with _default_lock:
        old, _default = _default, None
    if old:
        old.close(cloud_seconds=0)


def _shortcut(method: Callable[Concatenate[Studio, P], R]) -> Callable[P, R]:
    """The same call on the default Studio: one signature, written once."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(studio(), *args, **kwargs)

    signature = inspect.signature(method)
    shown = list(signature.parameters.values())[1:]
    call.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return call


generate = _shortcut(Studio.generate)
sweep = _shortcut(Studio.sweep)
sync = _shortcut(Studio.sync)
pending = _shortcut(Studio.pending)
history = _shortcut(Studio.history)
reproduce = _shortcut(Studio.reproduce)
tag = _shortcut(Studio.tag)
untag = _shortcut(Studio.untag)
rate = _shortcut(Studio.rate)
keep = _shortcut(Studio.keep)
reject = _shortcut(Studio.reject)
