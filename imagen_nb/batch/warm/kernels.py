"""The one warm kernel of a process: started, cleaned, replaced, ended."""

from __future__ import annotations

import ast
import asyncio
import atexit
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import DeadKernelError

from imagen_nb._version import __version__
from imagen_nb.batch.warm.sockets import socket_folder, supports_ipc

# papermill is not imported: it would import the engine, and the engine this module.
_papermill_logger = logging.getLogger("papermill")
# An expression that a kernel evaluates, so the module is named in a string.
_CLEAN_MODULE = "__import__('imagen_nb.batch.warm.clean', fromlist=['forget'])"
_KERNEL_END_S = 4.0  # how long a kernel may take to end when it is asked to
_CLEAN_TIMEOUT_S = 60.0  # after which a kernel that is cleaned counts as stuck
_MAX_REASONS_SHOWN = 3  # of those why a kernel is replaced
_KERNEL_POLL_S = 0.5  # between two looks at whether the kernel lives
_END_POLL_S = 0.02  # the same, of one that ends just now


class UncleanError(Exception):
    """This kernel cannot run another notebook as a fresh one would.

    The message is the reason. `answers`: whether the kernel still answers requests.
    """

    def __init__(self, reason: str, *, answers: bool) -> None:
        super().__init__(reason)
        self.answers = answers


class Kernel:
    """One kernel process and an open connection to it.

    Invariant: only the thread that is inside `warm_kernel` talks to it, and after `end`
    the process and its files are gone.

    Attributes:
        name: of the kernel, as in a notebook's metadata.
        environment: of this process when the kernel was started.
        lost: why it must not run another notebook; None if it may.
        cold: why it can run one notebook only; None if it can be cleaned.
        language_info: what notebooks record of the kernel's language.
    """

    def __init__(self, name: str, start_timeout: float) -> None:
        """Start it in this process's directory and environment.

        Raises `NoSuchKernel` if it is not installed, and `RuntimeError` if it dies at
        once, or is not ready after `start_timeout` seconds.
        """
        self.name, self.environment = name, dict(os.environ)
        self.lost: str | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="imagen-", dir=socket_folder()))
        self.manager = AsyncKernelManager(
            kernel_name=name, connection_file=str(self._folder / "kernel.json")
        )
        try:
            self.speaks_python = self._spec().language == "python"
            if self.speaks_python and supports_ipc(self._folder):
                self.manager.transport = "ipc"
            self._start(start_timeout)
        except BaseException:
            self.end(now=True)
            raise

    def _spec(self) -> Any:
        return self.manager.kernel_spec

    def _start(self, timeout: float) -> None:
        # As nbclient does: a history in memory, not in a file that kernels would share.
        more = ["--HistoryManager.hist_file=:memory:"] if self.speaks_python else []
        run_sync(self.manager._async_start_kernel)(extra_arguments=more)
        self.client = self.manager.client()
        self.client.start_channels(stdin=False, hb=False, control=False)
        run_sync(self.client._async_wait_for_ready)(timeout=timeout)
        self.language_info = self._request_language_info()
        self.cold = self._begin()

    def _request_language_info(self) -> dict[str, Any]:
        reply = run_sync(self._reply)(self.client.kernel_info(), _CLEAN_TIMEOUT_S)
        info: dict[str, Any] = reply["content"]["language_info"]
        return info

    def _begin(self) -> str | None:
        """Let the fresh kernel take note of itself; return why it stays cold, if so."""
        if not self.speaks_python:
            return f"it speaks {self._spec().language}"
        try:
            version = self._call_clean("begin")["version"]
        except UncleanError as error:
            return f"no imagen_nb in it: {error}"
        if version != __version__:
            return f"its imagen_nb is {version}, not {__version__}"
        return None

    def forget(self, memory: int | None) -> None:
        """Make it as good as fresh, in the process's present directory and environment.

        Raises `UncleanError` if that is not possible. `memory`: bytes of resident
        memory above which it is not; None for the usual bound.
        """
        order = {
            "cwd": os.getcwd(),
            "environment": self._changed_variables(),
            "memory": memory,
            "again": False,
        }
        report = self._call_clean("forget", json.dumps(order))
        if report["again"]:
            report = self._call_clean("forget", json.dumps(order | {"again": True}))
        if report["left"]:
            raise UncleanError(_join_reasons(report["left"]), answers=True)

    def _changed_variables(self) -> dict[str, str | None]:
        """Return what differs from the environment at the start; None for removed."""
        names = {name for name, _ in self.environment.items() ^ os.environ.items()}
        return {name: os.environ.get(name) for name in names}

    def _call_clean(self, function: str, *arguments: str) -> dict[str, Any]:
        """Call a function of imagen_nb.batch.warm.clean in the kernel.

        It is an expression, not code that is run: it leaves nothing in the notebook's
        namespace, and does not depend on what the notebook did to how IPython reads
        code. Returns the parsed JSON; raises `UncleanError` if there is none.
        """
        call = f"{_CLEAN_MODULE}.{function}({', '.join(map(repr, arguments))})"
        reply: dict[str, Any] = {}
        try:
            content = run_sync(self._evaluate)(call)["content"]
            reply = content["user_expressions"]["it"]
            text = ast.literal_eval(reply["data"]["text/plain"])
            answer: dict[str, Any] = json.loads(text)
        except (
            DeadKernelError,
            TimeoutError,
            KeyError,
            ValueError,
            SyntaxError,
        ) as error:
            reason = _describe_kernel_error(error, reply)
            raise UncleanError(
                f"it gave no answer ({reason})", answers=False
            ) from error
        return answer

    async def _evaluate(self, expression: str) -> dict[str, Any]:
        until = time.monotonic() + _CLEAN_TIMEOUT_S
        while True:
            id = self.client.execute(
                "",
                silent=True,
                store_history=False,
                allow_stdin=False,
                stop_on_error=False,
                user_expressions={"it": expression},
            )
            reply = await self._reply(id, until - time.monotonic())
            # A request that follows a failed cell may be aborted.
            if reply["content"]["status"] != "aborted":
                return reply

    async def _reply(self, id: str, timeout: float) -> dict[str, Any]:
        """Wait for the reply to a message; `timeout` is in seconds."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            try:
                message: dict[str, Any] = await ensure_async(
                    self.client.shell_channel.get_msg(timeout=_KERNEL_POLL_S)
                )
            except Empty:
                if not await self.manager._async_is_alive():
                    raise DeadKernelError("it died") from None
            else:
                if message["parent_header"].get("msg_id") == id:
                    return message
        raise TimeoutError(f"nothing in {timeout:.0f} s")

    async def wait_for_end(self) -> None:
        """Let it end by itself, as a notebook told it to; that takes 0.1 s and more."""
        until = time.monotonic() + _KERNEL_END_S
        while time.monotonic() < until and await self.manager._async_is_alive():
            await asyncio.sleep(_END_POLL_S)

    def end(self, *, now: bool) -> None:
        """End the process, `now` or by asking it first, and all that it started."""
        client, group = getattr(self, "client", None), self._process_group()
        if client:
            client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_wait_time = _KERNEL_END_S
            run_sync(self.manager._async_shutdown_kernel)(now=now)
        self._kill(group)

    def kill(self) -> None:
        """Kill the process and all that it started, even if this thread is using it."""
        self._kill(self._process_group())

    def _process_group(self) -> int | None:
        group: int | None = getattr(self.manager.provisioner, "pgid", None)
        return group

    def _kill(self, group: int | None) -> None:
        if group and sys.platform != "win32":
            with suppress(OSError):  # no process is left in the group
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)


def _describe_kernel_error(error: Exception, reply: dict[str, Any]) -> str:
    if reply.get("status") == "error":
        return f"{reply['ename']}: {reply['evalue']}"
    return f"{type(error).__name__}: {error}"


def _join_reasons(reasons: list[str]) -> str:
    hidden = len(reasons) - _MAX_REASONS_SHOWN
    more = f"; and {hidden} more" if hidden > 0 else ""
    return "; ".join(reasons[:_MAX_REASONS_SHOWN]) + more


_kernel_lock = threading.Lock()  # held by the thread that uses the kernel
_current_kernel: Kernel | None = None
_warned_lines: set[str] = set()  # each is told once


@contextmanager
def warm_kernel(
    name: str, start_timeout: float = 60, memory: int | None = None
) -> Iterator[Kernel]:
    """Give this process's kernel to one notebook, as good as fresh.

    Other threads wait for their turn. It stays for the next notebook, unless `lost` is
    set, or an exception is raised inside.

    Args:
        name: the kernel's, as in a notebook's metadata.
        start_timeout: seconds that a new one may take to start.
        memory: bytes of resident memory above which it is replaced; None for the usual
            bound.
    """
    global _current_kernel
    with _kernel_lock:
        kernel = _current_kernel = _clean_or_new_kernel(name, start_timeout, memory)
        try:
            yield kernel
        except BaseException:
            _end_current_kernel(now=True)
            raise
        if kernel.lost:
            _papermill_logger.warning(
                "imagen-warm: the next notebook gets a new kernel: %s", kernel.lost
            )
        if kernel.lost or kernel.cold:
            _end_current_kernel(now=True)


def _clean_or_new_kernel(name: str, start_timeout: float, memory: int | None) -> Kernel:
    """Return the current kernel, cleaned; or a new one, if that is not possible."""
    answers = True
    if _current_kernel and _current_kernel.name == name:
        try:
            _current_kernel.forget(memory)
            return _current_kernel
        except UncleanError as error:
            _papermill_logger.warning(
                "imagen-warm: a new kernel, the last one cannot be cleaned: %s", error
            )
            answers = error.answers
    # One that is asked to end lets its libraries finish what they write.
    _end_current_kernel(now=not answers)
    kernel = Kernel(name, start_timeout)
    if kernel.cold:
        _warn_once(f"a new kernel {name!r} for every notebook: {kernel.cold}")
    return kernel


def _warn_once(line: str) -> None:
    if line not in _warned_lines:
        _warned_lines.add(line)
        _papermill_logger.warning("imagen-warm: %s", line)


def _end_current_kernel(*, now: bool) -> None:
    global _current_kernel
    kernel, _current_kernel = _current_kernel, None
    if kernel:
        kernel.end(now=now)


def close_kernel() -> None:
    """End this process's kernel, if there is one; the next notebook starts another."""
    with _kernel_lock:
        _end_current_kernel(now=False)


def abandon_kernel() -> None:
    """End this process's kernel from a signal handler; kill it if it is in use.

    The handler may have interrupted the very thread that is inside `warm_kernel`.
    """
    if _kernel_lock.acquire(blocking=False):
        _end_current_kernel(now=False)
    elif _current_kernel:
        _current_kernel.kill()


def _end_at_exit() -> None:
    # Do not wait: a thread that still holds it is ended just now.
    _kernel_lock.acquire(blocking=False)
    _end_current_kernel(now=False)


def _drop_after_fork() -> None:
    """Leave the kernel to the parent; a forked child has none, and must not end it."""
    global _current_kernel, _inherited_kernel, _kernel_lock
    _inherited_kernel = _current_kernel
    _current_kernel = None
    _kernel_lock = threading.Lock()


# Kept in a forked child, because its collection would remove the parent's files.
_inherited_kernel: Kernel | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)
atexit.register(_end_at_exit)
