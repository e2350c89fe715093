"""Wrap the `__call__` of every pipeline class, and unwrap it again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

CallMethod = Callable[..., Any]
Observer = Callable[[CallMethod, Any, tuple[Any, ...], Mapping[str, Any]], Any]

_CALL_METHOD, _HOOK_METHOD = "__call__", "__init_subclass__"
_original_of_wrapper: WeakKeyDictionary[CallMethod, CallMethod] = WeakKeyDictionary()


def wrap_calls(base: type, observer: Callable[[], Observer | None]) -> None:
    """Let an observer make every call of `base` and its present and future subclasses.

    `observer` is called at each call and returns a function that is given the original
    method, the instance, `args` and `kwargs`; or None to make the call as usual, for
    programs that still hold the wrapper.
    """
    for kind in _class_and_subclasses(base):
        _wrap_class(kind, observer)
    if not isinstance(vars(base).get(_HOOK_METHOD), _SubclassHook):
        hook = _SubclassHook(base, vars(base).get(_HOOK_METHOD), observer)
        setattr(base, _HOOK_METHOD, hook)


def unwrap_calls(base: type) -> None:
    """Give `base` and all its subclasses their own `__call__` back."""
    hook = vars(base).get(_HOOK_METHOD)
    if isinstance(hook, _SubclassHook):
        if hook.before is None:
            delattr(base, _HOOK_METHOD)
        else:
            setattr(base, _HOOK_METHOD, hook.before)
    for kind in _class_and_subclasses(base):
        call = vars(kind).get(_CALL_METHOD)
        if inspect.isfunction(call) and call in _original_of_wrapper:
            setattr(kind, _CALL_METHOD, _original_of_wrapper[call])


def _class_and_subclasses(base: type) -> Iterator[type]:
    """Give the class and all below it, each once."""
    kinds = [base]
    for kind in kinds:  # which grows meanwhile
        subclasses: list[type] = kind.__subclasses__()
        kinds += [one for one in subclasses if one not in kinds]
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

    undecorated = vars(original).get("__wrapped__")
    if undecorated:  # people call it for gradients: diffusers' own is under `no_grad`
        call.__wrapped__ = undecorated
    _original_of_wrapper[call] = original
    return call


class _SubclassHook:
    """The base's `__init_subclass__`: does what it did, then wraps the new class.

    `before`: the base's own `__init_subclass__`, or None.
    """

    def __init__(
        self, base: type, before: Any, observer: Callable[[], Observer | None]
    ) -> None:
        self.base, self.before, self.observer = base, before, observer

    def __get__(self, instance: object, owner: type) -> Callable[..., None]:
        def init_subclass(**kwargs: Any) -> None:
            if self.before is None:
                super(self.base, owner).__init_subclass__(**kwargs)  # type: ignore[arg-type]
            else:
                self.before.__get__(None, owner)(**kwargs)
            _wrap_class(owner, self.observer)

        return init_subclass
