"""Settings of the Python process that a notebook may change."""

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

from imagen_nb.batch.warm.clean.rows import Setting, note_nothing

_SYS_HOOKS = (
    "stdin",
    "stdout",
    "stderr",
    "displayhook",
    "excepthook",
    "unraisablehook",
    "breakpointhook",
    "dont_write_bytecode",
)
# Each has a function of sys that gets it and one that sets it.
_SYS_LIMITS = (
    "recursionlimit",
    "switchinterval",
    "_int_max_str_digits",
    "_coroutine_origin_tracking_depth",
    *(("dlopenflags",) if hasattr(sys, "setdlopenflags") else ()),
)
_LAST_ERROR_NAMES = ("last_type", "last_value", "last_traceback", "last_exc")


def _sys_hooks() -> dict[str, Any]:
    return {name: getattr(sys, name) for name in _SYS_HOOKS}


def _restore_sys_hooks(hooks: dict[str, Any]) -> None:
    for name, hook in hooks.items():
        setattr(sys, name, hook)
    for name in _LAST_ERROR_NAMES:
        sys.__dict__.pop(name, None)


def _sys_limits() -> dict[str, Any]:
    return {name: getattr(sys, f"get{name}")() for name in _SYS_LIMITS}


def _restore_sys_limits(limits: dict[str, Any]) -> None:
    for name, value in limits.items():
        getattr(sys, f"set{name}")(value)


def _stop_tracing(_: None) -> None:
    if sys.gettrace() or threading.gettrace():
        sys.settrace(None)
        threading.settrace(None)
    if sys.getprofile() or threading.getprofile():
        sys.setprofile(None)
        threading.setprofile(None)


def _collector_settings() -> tuple[bool, tuple[int, int, int], int]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _restore_collector(state: tuple[bool, tuple[int, int, int], int]) -> None:
    enabled, threshold, debug = state
    if enabled:
        gc.enable()
    else:
        gc.disable()
    gc.set_threshold(*threshold)
    gc.set_debug(debug)


def _forget_warnings(_: None) -> None:
    """Forget which were shown once; the filters are given back with what modules hold."""
    warnings.resetwarnings()


def _current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _signal_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _restore_signal_handlers(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, 0)


def _restore_builtins(names: dict[str, Any]) -> None:
    for added in builtins.__dict__.keys() - names.keys():
        del builtins.__dict__[added]
    builtins.__dict__.update(names)


# Level, propagate, disabled, handlers, filters.
_LoggerSetting = tuple[int, bool, bool, list[logging.Handler], list[Any]]
_UNSET_LOGGER: _LoggerSetting = (logging.NOTSET, True, False, [], [])


def _all_loggers() -> dict[str, logging.Logger]:
    named = {**logging.root.manager.loggerDict, "": logging.root}
    return {name: one for name, one in named.items() if isinstance(one, logging.Logger)}


def _logger_settings() -> dict[str, _LoggerSetting]:
    return {name: _setting_of_logger(one) for name, one in _all_loggers().items()}


def _setting_of_logger(logger: logging.Logger) -> _LoggerSetting:
    return (
        logger.level,
        logger.propagate,
        logger.disabled,
        [*logger.handlers],
        [*logger.filters],
    )


def _restore_loggers(settings: dict[str, _LoggerSetting]) -> None:
    """Restore all loggers.

    New ones of libraries are added to the settings as they are; others lose theirs.
    """
    logging.disable(logging.NOTSET)
    logging.captureWarnings(False)
    for name, logger in _all_loggers().items():
        if name not in settings:
            is_of_library = name.partition(".")[0] in sys.modules
            settings[name] = (
                _setting_of_logger(logger) if is_of_library else _UNSET_LOGGER
            )
        level, propagate, disabled, handlers, filters = settings[name]
        if logger.level != level:  # to set it clears the cache of every logger
            logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled
        logger.handlers[:], logger.filters[:] = handlers, filters


def _restore_time_zone(_: None) -> None:
    if hasattr(time, "tzset"):
        time.tzset()  # follows the environment, which is restored by now


def _restore_sys_path(paths: list[str]) -> None:
    sys.path[:] = paths


def _restore_sys_argv(arguments: list[str]) -> None:
    sys.argv[:] = arguments


def _current_locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _restore_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _restore_thread_hook(hook: Any) -> None:
    threading.excepthook = hook


def _restore_temporary_folder(folder: str | None) -> None:
    tempfile.tempdir = folder


def _decimal_context() -> decimal.Context:
    return decimal.getcontext().copy()


def _restore_decimal_context(context: decimal.Context) -> None:
    decimal.setcontext(context.copy())


PROCESS_SETTINGS = (
    Setting("sys.path", lambda: [*sys.path], _restore_sys_path),
    Setting("sys.argv", lambda: [*sys.argv], _restore_sys_argv),
    Setting("streams and hooks of sys", _sys_hooks, _restore_sys_hooks),
    Setting("the hook of threads", lambda: threading.excepthook, _restore_thread_hook),
    Setting("limits of sys", _sys_limits, _restore_sys_limits),
    Setting("the stack of threads", threading.stack_size, threading.stack_size),
    Setting("tracing", note_nothing, _stop_tracing),
    Setting(
        "the garbage collector's settings", _collector_settings, _restore_collector
    ),
    Setting("random numbers", note_nothing, lambda _: random.seed()),
    Setting("warnings", note_nothing, _forget_warnings),
    Setting("logging", _logger_settings, _restore_loggers),
    Setting("the locale", _current_locale, _restore_locale),
    Setting("the umask", _current_umask, os.umask),
    Setting("signal handlers", _signal_handlers, _restore_signal_handlers),
    Setting("the decimal context", _decimal_context, _restore_decimal_context),
    Setting(
        "the sockets' time limit", socket.getdefaulttimeout, socket.setdefaulttimeout
    ),
    Setting(
        "the temporary folder", lambda: tempfile.tempdir, _restore_temporary_folder
    ),
    Setting("the time zone", note_nothing, _restore_time_zone),
    Setting("builtins", lambda: dict(builtins.__dict__), _restore_builtins),
)


class ExitCallbacks:
    """Records what is registered with `atexit` from now on, and by which module.

    For a notebook, its own end is that of the process; what libraries registered is
    called at the real one.
    """

    def __init__(self) -> None:
        """Replace `atexit.register` by a function that records, and then calls it."""
        self._registered: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = []
        register: Any = atexit.register

        @functools.wraps(register)
        def recorded(
            func: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Callable[..., Any]:
            module = str(sys._getframe(1).f_globals.get("__name__"))
            call = functools.partial(func, *args, **kwargs)
            self._registered.append((module, func, call))
            register(func, *args, **kwargs)
            return func

        setattr(atexit, "register", recorded)  # noqa: B010  # its type is a builtin's

    def call(self, modules: Collection[str]) -> None:
        """Call what these modules registered, the last one first, as Python would."""
        while self._registered:
            module, func, call = self._registered.pop()
            if module not in modules:
                continue
            atexit.unregister(func)
            try:
                call()
            except Exception:  # as Python does: the others are called all the same
                traceback.print_exc(file=sys.__stderr__)
