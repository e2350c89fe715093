"""Our function around the `__call__` of every class of pipelines, and away again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

Call = Callable[..., Any]
Observer = Callable[[Call, Any, tuple[Any, ...], Mapping[str, Any]], Any]

_CALL, _HOOK = "__call__", "__init_subclass__"
_originals: WeakKeyDictionary[Call, Call] = WeakKeyDictionary()  # by ours around them


def put_around(base: type, observer: Callable[[], Observer | None]) -> None:
    """Let the observer make every call of `base` and its subclasses, those to come included.

    It is asked for at each call; None lets the call through, for whoever still holds ours.
    """
    for kind in _family(base):
        _wrap(kind, observer)
    if not isinstance(vars(base).get(_HOOK), _Hook):
        setattr(base, _HOOK, _Hook(base, vars(base).get(_HOOK), observer))


def take_off(base: type) -> None:
    """Give every class its own `__call__` back."""
    if isinstance(hook := vars(base).get(_HOOK), _Hook):
        if hook.before is None:
            delattr(base, _HOOK)
        else:
            setattr(base, _HOOK, hook.before)
    for kind in _family(base):
        call = vars(kind).get(_CALL)
        if inspect.isfunction(call) and call in _originals:
            setattr(kind, _CALL, _originals[call])


def _family(base: type) -> Iterator[type]:
    """The class and all below it, each once."""
    found = [base]
    for kind in found:  # which grows meanwhile
        below: list[type] = kind.__subclasses__()
        found += [one for one in below if one not in found]
        yield kind


def _wrap(kind: type, observer: Callable[[], Observer | None]) -> None:
    original = vars(kind).get(_CALL)
    if inspect.isfunction(original) and original not in _originals:
        setattr(kind, _CALL, _around(original, observer))


def _around(original: Call, observer: Callable[[], Observer | None]) -> Call:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        observe = observer()
        if observe is None:
            return original(self, *args, **kwargs)
        return observe(original, self, args, kwargs)

    if unwrapped := vars(original).get(
        "__wrapped__"
    ):  # e.g. the one that keeps gradients
        call.__wrapped__ = unwrapped
    _originals[call] = original
    return call


class _Hook:
    """`__init_subclass__` of the base class: as it was, and then ours around the new class."""

    def __init__(
        self, base: type, before: Any, observer: Callable[[], Observer | None]
    ) -> None:
        self.base, self.before, self.observer = base, before, observer

    def __get__(self, instance: object, owner: type) -> Callable[..., None]:
        def made(**kwargs: Any) -> None:
            if self.before is None:
                super(self.base, owner).__init_subclass__(**kwargs)  # type: ignore[arg-type]
            else:
                self.before.__get__(None, owner)(**kwargs)
            _wrap(owner, self.observer)

        return made
