"""Our function around the `__call__` of every class of pipelines, and away again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

CallMethod = Callable[..., Any]
Observer = Callable[[CallMethod, Any, tuple[Any, ...], Mapping[str, Any]], Any]

_CALL_METHOD, _HOOK_METHOD = "__call__", "__init_subclass__"
_original_of_wrapper: WeakKeyDictionary[CallMethod, CallMethod] = (
    WeakKeyDictionary()
)  # by ours around them


def wrap_calls(base: type, observer: Callable[[], Observer | None]) -> None:
    """Let the observer make every call of `base` and its subclasses, those to come included.

    It is asked for at each call; None lets the call through, for whoever still holds ours.
    """
    for kind in _class_and_subclasses(base):
        _wrap_class(kind, observer)
    if not isinstance(vars(base).get(_HOOK_METHOD), _SubclassHook):
        setattr(
            base,
            _HOOK_METHOD,
            _SubclassHook(base, vars(base).get(_HOOK_METHOD), observer),
        )


def unwrap_calls(base: type) -> None:
    """Give every class its own `__call__` back."""
    if isinstance(hook := vars(base).get(_HOOK_METHOD), _SubclassHook):
        if hook.before is None:
            delattr(base, _HOOK_METHOD)
        else:
            setattr(base, _HOOK_METHOD, hook.before)
    for kind in _class_and_subclasses(base):
        call = vars(kind).get(_CALL_METHOD)
        if inspect.isfunction(call) and call in _original_of_wrapper:
            setattr(kind, _CALL_METHOD, _original_of_wrapper[call])


def _class_and_subclasses(base: type) -> Iterator[type]:
    """The class and all below it, each once."""
    found = [base]
    for kind in found:  # which grows meanwhile
        below: list[type] = kind.__subclasses__()
        found += [one for one in below if one not in found]
        yield kind


def _wrap_class(kind: type, observer: Callable[[], Observer | None]) -> None:
    original = vars(kind).get(_CALL_METHOD)
    if inspect.isfunction(original) and original not in _original_of_wrapper:
        setattr(kind, _CALL_METHOD, _wrapper_of(original, observer))


def _wrapper_of(
    original: CallMethod, observer: Callable[[], Observer | None]
) -> CallMethod:
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
    _original_of_wrapper[call] = original
    return call


class _SubclassHook:
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
            _wrap_class(owner, self.observer)

        return made
