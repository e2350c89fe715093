"""What a notebook leaves that cannot be undone: code, threads, tasks and processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import stat
import sys
import threading
import time
import typing
from collections.abc import Collection, Iterator
from types import FrameType, FunctionType
from typing import Any

from imagen_nb.batch.warm.clean.code import OwnCheck, is_mock

_THREAD_END_S = 0.5  # how long threads may take to end after their notebook
_THREAD_POLL_S = 0.01
_KERNEL_PACKAGES = {"ipykernel", "IPython", "tornado", "zmq"}
_POOL_MODULE = "concurrent.futures.thread"


def describe_code_left(is_own: OwnCheck) -> list[str]:
    """Describe functions, classes and mocks of the notebook that are still held."""
    for clear in getattr(typing, "_cleanups", ()):  # List[OwnClass] is cached
        clear()
    gc.collect()
    return [
        f"something keeps {_code_name(one)} of the notebook"
        for one in gc.get_objects()
        if _may_be_code(one) and is_own(one)
    ]


def _may_be_code(value: Any) -> bool:
    kind = type(value)
    if kind is FunctionType:
        # A module is code that runs just now, as the call of this very function.
        return bool(value.__qualname__ != "<module>")
    return issubclass(kind, type) or is_mock(value)


def _code_name(value: Any) -> str:
    return str(getattr(value, "__qualname__", None) or type(value).__name__)


def describe_threads_left(
    known: Collection[threading.Thread], modules: Collection[str]
) -> list[str]:
    """Describe threads that run the notebook's code, or keep the process from ending.

    Daemon threads of libraries may stay, and so may threads of pools that wait for
    work. Threads that end within half a second are waited for.
    """
    until = time.monotonic() + _THREAD_END_S
    while True:
        left = [
            thread
            for thread in threading.enumerate()
            if thread not in known and _thread_matters(thread, modules)
        ]
        if not left or time.monotonic() > until:
            return [f"the thread {thread.name} still runs" for thread in left]
        time.sleep(_THREAD_POLL_S)


def _thread_matters(thread: threading.Thread, modules: Collection[str]) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:  # it has ended, or is only beginning
        return thread.is_alive() and not thread.daemon
    if any(name in modules for name in _modules_of_frames(frame)):
        return True
    waits_in_pool = frame.f_globals.get("__name__") == _POOL_MODULE
    return not (thread.daemon or waits_in_pool)


def _modules_of_frames(frame: FrameType | None) -> Iterator[str]:
    while frame:
        yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back


def notebook_tasks() -> list[asyncio.Task[Any]]:
    """Return the tasks in the kernel's event loop, without the kernel's own."""
    try:
        return [task for task in asyncio.all_tasks() if not _is_kernel_task(task)]
    except RuntimeError:  # no loop, so no task was started in it
        return []


def _is_kernel_task(task: asyncio.Task[Any]) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    module = frame.f_globals.get("__name__", "") if frame else ""
    return module.partition(".")[0] in _KERNEL_PACKAGES


def describe_threads_ended(own: Collection[threading.Thread]) -> list[str]:
    """Describe threads of the kernel itself that a notebook made end."""
    ended = [thread.name for thread in own if not thread.is_alive()]
    return [f"the kernel's thread {name} has ended" for name in ended]


def describe_processes_left() -> list[str]:
    """Describe processes that the notebook started and that have not ended.

    Children, their children, and orphans of these that are in the kernel's session, or
    may write into the outputs of its cells. Python's own helpers may stay.
    """
    import psutil

    left = []
    for number in sorted({*_descendants(), *_orphans()}):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            process = psutil.Process(number)
            command = " ".join(process.cmdline())
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if "multiprocessing.resource_tracker" not in command:
                left.append(f"the process {number} ({process.name()}) still runs")
    return left


def _descendants() -> list[int]:
    import psutil

    if not _has_children():
        return []
    return [child.pid for child in psutil.Process().children(recursive=True)]


def _orphans() -> Iterator[int]:
    """Yield processes that only the kernel can have made, whoever is their parent now.

    They are in its session, or their outputs are those of its cells. Only Linux tells.
    """
    if sys.platform != "linux":
        return
    own = os.getpid()
    leads_session = os.getsid(0) == own
    outputs = _output_pipes(own) - _output_pipes(os.getppid())
    for name in os.listdir("/proc"):
        number = int(name) if name.isdecimal() else own
        if number == own:
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile
            in_session = leads_session and os.getsid(number) == own
            if in_session or outputs & _output_pipes(number):
                yield number


def _output_pipes(process: int) -> set[int]:
    """Return the inodes of the pipes that a process writes to; none if it is another's."""
    pipes = set()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = os.stat(f"/proc/{process}/fd/{descriptor}")
            if stat.S_ISFIFO(status.st_mode):
                pipes.add(status.st_ino)
    return pipes


def _has_children() -> bool:
    """Return whether there may be children: cheap where the system can be asked."""
    if sys.platform == "win32" or not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
