"""What is registered for the end of the process."""

from __future__ import annotations

import atexit
import functools
import sys
import traceback
from collections.abc import Callable, Collection
from typing import Any


class Endings:
    """Hears what is registered with `atexit` from now on, and by whom.

    To a notebook, its own end is that of the process; what libraries registered waits for the real
    one.
    """

    def __init__(self) -> None:
        self._heard: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = []
        register: Any = atexit.register

        @functools.wraps(register)
        def heard(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
            where = str(sys._getframe(1).f_globals.get("__name__"))
            self._heard.append((where, func, functools.partial(func, *args, **kwargs)))
            register(func, *args, **kwargs)
            return func

        setattr(atexit, "register", heard)  # noqa: B010  # its type is that of a builtin

    def come(self, modules: Collection[str]) -> None:
        """Call what these modules registered, the last one first, as Python would."""
        while self._heard:
            where, func, call = self._heard.pop()
            if where not in modules:
                continue
            atexit.unregister(func)
            try:
                call()
            except Exception:  # as Python: the others still come
                traceback.print_exc(file=sys.__stderr__)
