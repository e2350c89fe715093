"""Code: which is a notebook's own, and what counts as code at all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

_CODE_TYPES = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    functools.partial,
    ModuleType,
    classmethod,
    staticmethod,
    property,
)
_MOCK_MODULE = "unittest.mock"

# Tells whether a value is a notebook's own; see `make_own_check`.
OwnCheck = Callable[[Any], bool]


def is_code(value: Any) -> bool:
    """Return whether it is a function, class or module, or what wraps one."""
    return isinstance(value, _CODE_TYPES) or issubclass(type(value), type)


def make_own_check(modules: Collection[str]) -> OwnCheck:
    """Return a check for what was written in these modules; the notebook is `__main__`.

    That is a function, a class, or an object of such a class. Mocks are the notebook's
    own, too: libraries leave none.
    """

    def is_own(value: Any) -> bool:
        if isinstance(value, MethodType):
            return is_own(value.__func__) or is_own(value.__self__)
        if isinstance(value, functools.partial):
            return is_own(value.func)
        if isinstance(value, FunctionType):
            # Not __module__, which functools.wraps copies from another function.
            return value.__globals__.get("__name__") in modules
        kind = value if issubclass(type(value), type) else type(value)
        module = kind.__dict__.get("__module__")
        return (isinstance(module, str) and module in modules) or is_mock(value)

    return is_own


def is_mock(value: Any) -> bool:
    """Return whether it is a mock, without asking it: a mock says yes to everything."""
    return type(value).__module__ == _MOCK_MODULE and any(
        kind.__name__ == "NonCallableMock" for kind in type(value).__mro__
    )
