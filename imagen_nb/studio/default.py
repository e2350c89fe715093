"""The default Studio, and `im.generate` and the like, which call its methods."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from imagen_nb.studio.studio import Studio

P = ParamSpec("P")
R = TypeVar("R")

_default_lock = threading.Lock()
_default: Studio | None = None


def studio() -> Studio:
    """Return the default Studio, made from the configuration when first needed."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Studio()
        return _default


def configure(**settings: Any) -> Studio:
    """Replace the default Studio by one with these settings.

    Nested keys are given as mappings: `configure(output={"dir": "~/pictures"})`.
    Raises `ConfigError` for unknown keys and bad values; the old Studio then stays.

    Example:
        >>> im.configure(backend="auto", steps=4)
    """
    fresh = Studio(settings)
    old = _replace_default(fresh)
    if old:
        old.close()
    return fresh


def leave() -> None:
    """Close the default Studio without waiting for the cloud.

    The next call makes a new one. What was not sent stays in the outbox.
    """
    old = _replace_default(None)
    if old:
        old.close(cloud_seconds=0)


@contextmanager
def using(session: Studio | None) -> Iterator[Studio | None]:
    """Make this Studio the default one for a while; None: as if none had been made.

    Afterwards the default Studio is the one of before, whatever `configure` did in
    between. Closes no Studio.

    >>> with using(Studio({"output": {"dir": folder}})):
    ...     im.generate("a red boat")
    """
    before = _replace_default(session)
    try:
        yield session
    finally:
        _replace_default(before)


def _replace_default(new: Studio | None) -> Studio | None:
    """Set the default Studio and return the one of before."""
    global _default
    with _default_lock:
        old, _default = _default, new
    return old


def _shortcut(method: Callable[Concatenate[Studio, P], R]) -> Callable[P, R]:
    """Return a function that calls the method of the default Studio."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(studio(), *args, **kwargs)

    signature = inspect.signature(method)
    without_self = list(signature.parameters.values())[1:]
    call.__signature__ = signature.replace(parameters=without_self)  # type: ignore[attr-defined]
    return call


adopt = _shortcut(Studio.adopt)
embed = _shortcut(Studio.embed)
find = _shortcut(Studio.find)
generate = _shortcut(Studio.generate)
sweep = _shortcut(Studio.sweep)
sync = _shortcut(Studio.sync)
optimize = _shortcut(Studio.optimize)
pending = _shortcut(Studio.pending)
history = _shortcut(Studio.history)
lineage = _shortcut(Studio.lineage)
reproduce = _shortcut(Studio.reproduce)
tag = _shortcut(Studio.tag)
train_lora = _shortcut(Studio.train_lora)
untag = _shortcut(Studio.untag)
vote = _shortcut(Studio.vote)
unvote = _shortcut(Studio.unvote)
votes = _shortcut(Studio.votes)
rate = _shortcut(Studio.rate)
keep = _shortcut(Studio.keep)
reject = _shortcut(Studio.reject)
job = _shortcut(Studio.job)
jobs = _shortcut(Studio.jobs)
delete = _shortcut(Studio.delete)
restore = _shortcut(Studio.restore)
watch = _shortcut(Studio.watch)
