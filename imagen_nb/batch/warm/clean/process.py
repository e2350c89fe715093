"""What belongs to the Python process: a table of what a notebook changes and gets back."""

from __future__ import annotations

import atexit
import builtins
import decimal
import functools
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection
from typing import Any

from imagen_nb.batch.warm.clean.rows import Row, nothing

_HOOKS = (
    "stdin", "stdout", "stderr", "displayhook", "excepthook", "unraisablehook", "breakpointhook",
    "dont_write_bytecode",
)  # fmt: skip
_LAST_ERROR = ("last_type", "last_value", "last_traceback", "last_exc")


def _hooks() -> dict[str, Any]:
    return {name: getattr(sys, name) for name in _HOOKS}


def _hook_again(hooks: dict[str, Any]) -> None:
    for name, hook in hooks.items():
        setattr(sys, name, hook)
    for name in _LAST_ERROR:
        sys.__dict__.pop(name, None)


def _limits() -> tuple[int, float, int]:
    return (
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        sys.get_int_max_str_digits(),
    )


def _limit_again(limits: tuple[int, float, int]) -> None:
    sys.setrecursionlimit(limits[0])
    sys.setswitchinterval(limits[1])
    sys.set_int_max_str_digits(limits[2])


def _stop_tracing(_: None) -> None:
    if sys.gettrace() or threading.gettrace():
        sys.settrace(None)
        threading.settrace(None)
    if sys.getprofile() or threading.getprofile():
        sys.setprofile(None)
        threading.setprofile(None)


def _collector() -> tuple[bool, tuple[int, int, int], int]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _collect_again(state: tuple[bool, tuple[int, int, int], int]) -> None:
    (gc.enable if state[0] else gc.disable)()
    gc.set_threshold(*state[1])
    gc.set_debug(state[2])


def _filter_again(filters: list[Any]) -> None:
    warnings.resetwarnings()  # also makes every "once" a first time again
    warnings.filters[:] = filters  # type: ignore[index]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _signal_again(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _builtins_again(names: dict[str, Any]) -> None:
    for added in builtins.__dict__.keys() - names.keys():
        del builtins.__dict__[added]
    builtins.__dict__.update(names)


_Logger = tuple[int, bool, bool, list[logging.Handler], list[Any]]


def _loggers() -> dict[str, logging.Logger]:
    named = {**logging.root.manager.loggerDict, "": logging.root}
    return {name: one for name, one in named.items() if isinstance(one, logging.Logger)}


def _log_settings() -> dict[str, _Logger]:
    return {name: _log_setting(one) for name, one in _loggers().items()}


def _log_setting(one: logging.Logger) -> _Logger:
    return one.level, one.propagate, one.disabled, [*one.handlers], [*one.filters]


def _log_again(settings: dict[str, _Logger]) -> None:
    """A library's loggers are noted when they are first seen, others are nobody's any more."""
    logging.disable(logging.NOTSET)
    logging.captureWarnings(False)
    for name, one in _loggers().items():
        if name not in settings:
            is_librarys = name.partition(".")[0] in sys.modules
            settings[name] = _log_setting(one) if is_librarys else _UNSET
        if (
            one.level != settings[name][0]
        ):  # setting it clears the cache of every logger
            one.setLevel(settings[name][0])
        one.propagate, one.disabled = settings[name][1:3]
        one.handlers[:], one.filters[:] = settings[name][3:]


_UNSET: _Logger = (logging.NOTSET, True, False, [], [])


def _time_zone_again(_: None) -> None:
    if hasattr(time, "tzset"):
        time.tzset()  # after the environment


def _path_again(paths: list[str]) -> None:
    sys.path[:] = paths


def _words_again(words: list[str]) -> None:
    sys.argv[:] = words


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _locale_again(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _thread_hook_again(hook: Any) -> None:
    threading.excepthook = hook


def _temporary_again(folder: str | None) -> None:
    tempfile.tempdir = folder


def _decimal() -> decimal.Context:
    return decimal.getcontext().copy()


def _decimal_again(context: decimal.Context) -> None:
    decimal.setcontext(context.copy())


TABLE = (
    Row("sys.path", lambda: [*sys.path], _path_again),
    Row("sys.argv", lambda: [*sys.argv], _words_again),
    Row("streams and hooks of sys", _hooks, _hook_again),
    Row("the hook of threads", lambda: threading.excepthook, _thread_hook_again),
    Row("limits of sys", _limits, _limit_again),
    Row("tracing", nothing, _stop_tracing),
    Row("the garbage collector's settings", _collector, _collect_again),
    Row("random numbers", nothing, lambda _: random.seed()),
    Row("warnings filters", lambda: [*warnings.filters], _filter_again),
    Row("logging", _log_settings, _log_again),
    Row("the locale", _locale, _locale_again),
    Row("the umask", _umask, os.umask),
    Row("signal handlers", _signals, _signal_again),
    Row("the decimal context", _decimal, _decimal_again),
    Row("the sockets' time limit", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Row("the temporary folder", lambda: tempfile.tempdir, _temporary_again),
    Row("the time zone", nothing, _time_zone_again),
    Row("builtins", lambda: dict(builtins.__dict__), _builtins_again),
)


class Endings:
    """Hears what is registered with `atexit` from now on, and by whom.

    To a notebook, its own end is that of the process; what libraries registered waits for the real
    one.
    """

    def __init__(self) -> None:
        self._heard: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = []
        register: Any = atexit.register

        @functools.wraps(register)
        def heard(
            func: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Callable[..., Any]:
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
