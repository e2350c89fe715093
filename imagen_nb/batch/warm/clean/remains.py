"""What a notebook leaves that nothing can give back: its code, its threads, tasks and processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import typing
from collections.abc import Collection, Iterator
from types import FrameType, FunctionType
from typing import Any

from imagen_nb.batch.warm.clean.modules import OwnCheck, is_mock

_THREAD_END_S = 0.5  # how long threads may take to end when their notebook is gone
_THREAD_POLL_S = 0.01
_KERNEL_PACKAGES = {"ipykernel", "IPython", "tornado", "zmq"}
_POOL_MODULE = "concurrent.futures.thread"


def describe_code_left(own: OwnCheck) -> list[str]:
    """Functions, classes and mocks of the notebook that something still holds."""
    for clear in getattr(typing, "_cleanups", ()):  # List[OfMine] is cached
        clear()
    gc.collect()
    return [
        f"something keeps {_code_name(one)} of the notebook"
        for one in gc.get_objects()
        if _may_be_code(one) and own(one)
    ]


def _may_be_code(one: Any) -> bool:
    kind = type(one)
    if kind is FunctionType:
        return bool(
            one.__qualname__ != "<module>"
        )  # code that runs just now, as this very call does
    return issubclass(kind, type) or is_mock(one)


def _code_name(one: Any) -> str:
    return str(getattr(one, "__qualname__", None) or type(one).__name__)


def describe_threads_left(
    known: Collection[threading.Thread], modules: Collection[str]
) -> list[str]:
    """Threads that run the notebook's code, or that would keep the process from ending.

    Daemon threads of libraries may stay, and so may threads of pools that wait for work.
    """
    until = time.monotonic() + _THREAD_END_S
    while left := [
        t
        for t in threading.enumerate()
        if t not in known and _thread_matters(t, modules)
    ]:
        if time.monotonic() > until:
            return [f"the thread {thread.name} still runs" for thread in left]
        time.sleep(_THREAD_POLL_S)
    return []


def _thread_matters(thread: threading.Thread, modules: Collection[str]) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:  # over, or only beginning
        return thread.is_alive() and not thread.daemon
    waits = frame.f_globals.get("__name__") == _POOL_MODULE
    runs = any(name in modules for name in _modules_of_frames(frame))
    return runs or not (thread.daemon or waits)


def _modules_of_frames(frame: FrameType | None) -> Iterator[str]:
    while frame:
        yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back


def notebook_tasks() -> list[asyncio.Task[Any]]:
    """What runs in the kernel's loop, but for the kernel's own."""
    try:
        return [task for task in asyncio.all_tasks() if not _is_kernel_task(task)]
    except RuntimeError:  # no loop: nothing can have been started in it
        return []


def _is_kernel_task(task: asyncio.Task[Any]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    module = frame.f_globals.get("__name__", "") if frame else ""
    return module.partition(".")[0] in _KERNEL_PACKAGES


def describe_processes_left() -> list[str]:
    """Processes that were started and have not ended; Python's own helpers may stay."""
    if not _has_children():
        return []
    import psutil

    left = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if child.status() == psutil.STATUS_ZOMBIE:
                continue
            if "multiprocessing.resource_tracker" not in command:
                left.append(f"the process {child.pid} ({child.name()}) still runs")
    return left


def _has_children() -> bool:
    """Cheaply, where the system can say so."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
