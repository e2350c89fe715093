"""The one warm kernel of a process: started, handed out notebook by notebook, replaced, ended."""

from __future__ import annotations

import ast
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

# papermill's own, which is not imported: it would import the engine, and that this module.
_papermill_logger = logging.getLogger("papermill")
_CLEAN_MODULE = "__import__('imagen_nb.batch.warm.clean', fromlist=['forget'])"
_MAX_SOCKET_PATH_BYTES = 100  # bytes; Unix allows some 104, and a number follows
_KERNEL_END_S = 4.0  # how long a kernel may take to end when asked
_CLEAN_TIMEOUT_S = 60.0  # how long cleaning may take before the kernel counts as stuck
_MAX_REASONS_SHOWN = 3  # of those why a kernel is replaced, in its line
_KERNEL_POLL_S = 0.5  # between two looks at whether the kernel lives


class UncleanError(Exception):
    """This kernel cannot run another notebook as a fresh one would; the message says why.

    `answers`: whether it still does what it is asked to.
    """

    def __init__(self, why: str, *, answers: bool) -> None:
        super().__init__(why)
        self.answers = answers


class Kernel:
    """One kernel process and an open connection to it.

    Invariant: nobody but who holds it (`held`) talks to it, and with `end` the process is gone.
    """

    def __init__(self, name: str, start_timeout: float) -> None:
        """Start it in this process's directory and environment.

        Raises `RuntimeError` when it dies at once or is not there in time.
        """
        self.name, self.environment = name, dict(os.environ)
        self.lost: str | None = None  # why it is not to be used again
        self._folder = Path(tempfile.mkdtemp(prefix="imagen-", dir=_socket_folder()))
        self.manager = AsyncKernelManager(
            kernel_name=name, connection_file=str(self._file())
        )
        self.speaks_python = self._spec().language == "python"
        if self.speaks_python and _supports_ipc(self._folder):
            self.manager.transport = "ipc"
        try:
            self._start(start_timeout)
        except BaseException:
            self.end(now=True)
            raise

    def _file(self) -> Path:
        return self._folder / "kernel.json"

    def _spec(self) -> Any:
        return self.manager.kernel_spec

    def _start(self, timeout: float) -> None:
        # What nbclient does: a history in memory, no file that kernels would share.
        more = ["--HistoryManager.hist_file=:memory:"] if self.speaks_python else []
        run_sync(self.manager._async_start_kernel)(extra_arguments=more)
        self.client = self.manager.client()
        self.client.start_channels(stdin=False, hb=False, control=False)
        run_sync(self.client._async_wait_for_ready)(timeout=timeout)
        self.language_info = self._language_info()
        self.cold = self._begin()

    def _language_info(self) -> dict[str, Any]:
        reply = run_sync(self._reply)(self.client.kernel_info(), _CLEAN_TIMEOUT_S)
        info: dict[str, Any] = reply["content"]["language_info"]
        return info

    def _begin(self) -> str | None:
        """Take note of the fresh kernel; gives why it can run only one notebook, if so."""
        if not self.speaks_python:
            return f"it speaks {self._spec().language}"
        try:
            version = self._ask("begin")["version"]
        except UncleanError as why:
            return f"no imagen_nb in it: {why}"
        return (
            None
            if version == __version__
            else f"its imagen_nb is {version}, not {__version__}"
        )

    def forget(self, memory: int | None) -> None:
        """Make it as good as fresh, in this process's present directory and environment.

        Raises `UncleanError` where that is not possible.
        """
        changed = {k: os.environ.get(k) for k in self._changed_variables()}
        order = {
            "cwd": os.getcwd(),
            "environment": changed,
            "memory": memory,
            "again": False,
        }
        report = self._ask("forget", json.dumps(order))
        if report["again"]:
            report = self._ask("forget", json.dumps(order | {"again": True}))
        left = report["left"]
        if left:
            raise UncleanError(_join_reasons(left), answers=True)

    def _changed_variables(self) -> set[str]:
        return {name for name, _ in self.environment.items() ^ os.environ.items()}

    def _ask(self, what: str, *arguments: str) -> dict[str, Any]:
        """Call a function of imagen_nb.batch.warm.clean in the kernel and give what it returned.

        As an expression, not as code: nothing is left in the notebook's namespace, and what the
        notebook did to how IPython reads code does not matter.
        """
        call = f"{_CLEAN_MODULE}.{what}({', '.join(map(repr, arguments))})"
        reply: dict[str, Any] = {}
        try:
            reply = run_sync(self._evaluated)(call)["content"]["user_expressions"]["it"]
            answer: dict[str, Any] = json.loads(
                ast.literal_eval(reply["data"]["text/plain"])
            )
        except (
            DeadKernelError,
            TimeoutError,
            KeyError,
            ValueError,
            SyntaxError,
        ) as error:
            said = _describe_kernel_error(error, reply)
            raise UncleanError(f"it gave no answer ({said})", answers=False) from error
        return answer

    async def _evaluated(self, expression: str) -> dict[str, Any]:
        until = time.monotonic() + _CLEAN_TIMEOUT_S
        while True:
            id = self.client.execute(
                "", silent=True, store_history=False, allow_stdin=False, stop_on_error=False,
                user_expressions={"it": expression},
            )  # fmt: skip
            reply = await self._reply(id, until - time.monotonic())
            if (
                reply["content"]["status"] != "aborted"
            ):  # as what follows a failed cell is
                return reply

    async def _reply(self, id: str, timeout: float) -> dict[str, Any]:
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

    def end(self, *, now: bool) -> None:
        """End the process, `now` or by asking it first, and all that it started."""
        if client := getattr(self, "client", None):
            client.stop_channels()
        if self.manager.has_kernel:
            group = getattr(self.manager.provisioner, "pgid", None)
            self.manager.shutdown_wait_time = _KERNEL_END_S
            run_sync(self.manager._async_shutdown_kernel)(now=now)
            if group:
                with suppress(OSError):  # nobody is left
                    os.killpg(group, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)


def _describe_kernel_error(error: Exception, reply: dict[str, Any]) -> str:
    if reply.get("status") == "error":
        return f"{reply['ename']}: {reply['evalue']}"
    return f"{type(error).__name__}: {error}"


def _join_reasons(reasons: list[str]) -> str:
    more = len(reasons) - _MAX_REASONS_SHOWN
    return "; ".join(reasons[:_MAX_REASONS_SHOWN]) + (
        f"; and {more} more" if more > 0 else ""
    )


def _socket_folder() -> str | None:
    """A place for sockets whose path is short enough, if the usual one's is not."""
    usual = tempfile.gettempdir()
    return (
        "/tmp"
        if len(os.fsencode(usual)) > _MAX_SOCKET_PATH_BYTES - 40
        and os.path.isdir("/tmp")
        else None
    )


def _supports_ipc(folder: Path) -> bool:
    return (
        sys.platform != "win32"
        and len(os.fsencode(folder)) <= _MAX_SOCKET_PATH_BYTES - 20
    )


_kernel_lock = threading.Lock()  # held by who uses the kernel
_current_kernel: Kernel | None = None
_warned_lines: set[str] = set()


@contextmanager
def warm_kernel(
    name: str, start_timeout: float = 60, memory: int | None = None
) -> Iterator[Kernel]:
    """The kernel for one notebook, as good as a fresh one; others wait for their turn.

    It stays for the next notebook, unless the one who holds it sets `lost`, or fails.

    Args:
        name: the kernel's, as notebooks say it.
        start_timeout: seconds that a new one may take to start.
        memory: bytes of resident memory above which it is replaced; None for the usual bound.
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
    answers = True
    if _current_kernel and _current_kernel.name == name:
        try:
            _current_kernel.forget(memory)
            return _current_kernel
        except UncleanError as why:
            _papermill_logger.warning(
                "imagen-warm: a new kernel, the last one cannot be cleaned: %s", why
            )
            answers = why.answers
    _end_current_kernel(now=not answers)  # asked, its libraries finish what they write
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


def _end_at_exit() -> None:
    _kernel_lock.acquire(
        blocking=False
    )  # whoever else has the turn is a thread that ends just now
    _end_current_kernel(now=False)


def _drop_after_fork() -> None:
    """A forked child has no kernel; its parent's is not its to end."""
    global _current_kernel, _kernel_lock, _inherited_kernel
    _inherited_kernel, _current_kernel, _kernel_lock = (
        _current_kernel,
        None,
        threading.Lock(),
    )


_inherited_kernel: Kernel | None = (
    None  # or collecting it would remove the parent's files
)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_after_fork)
atexit.register(_end_at_exit)
