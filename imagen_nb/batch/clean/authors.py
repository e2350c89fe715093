"""Whose code something is: the notebook's, or a library's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from types import FunctionType, MethodType
from typing import Any

Own = Callable[[Any], bool]
_MOCK = "unittest.mock"


def written_in(modules: Collection[str]) -> Own:
    """Tells what was written in these modules: a function, a class, an object of such a class.

    The notebook itself is `__main__`. Mocks are its own too: nobody else leaves any.
    """

    def own(value: Any) -> bool:
        if isinstance(value, MethodType):
            return own(value.__func__) or own(value.__self__)
        if isinstance(value, functools.partial):
            return own(value.func)
        if isinstance(value, FunctionType):  # not __module__, which functools.wraps makes another's
            return value.__globals__.get("__name__") in modules
        kind = value if issubclass(type(value), type) else type(value)
        home = kind.__dict__.get("__module__")
        return (isinstance(home, str) and home in modules) or is_mock(value)

    return own


def is_mock(value: Any) -> bool:
    """Whether it is a mock, without asking it: a mock says yes to everything."""
    return type(value).__module__ == _MOCK and any(
        kind.__name__ == "NonCallableMock" for kind in type(value).__mro__
    )
