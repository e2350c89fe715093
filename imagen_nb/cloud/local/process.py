"""Starts the server in a process of its own, recognises it later, and stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

SERVER_SCRIPT = Path(__file__).with_name("server.mjs")

_STOP_TIMEOUT_S = 15.0  # until a server that was asked to stop is killed
_PROCESS_POLL_S = 0.05
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way only

# Of this process, which has to reap them.
_children: dict[int, subprocess.Popen[bytes]] = {}


def launch(node: str, folder: Path, stdin: bytes) -> subprocess.Popen[bytes]:
    """Start the server with these bytes on its stdin; it outlives us and Ctrl-C.

    `node`: the command; `folder`: the server's, where its log goes.
    """
    log = os.open(folder / "server.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            [node, str(SERVER_SCRIPT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | {"DO_NOT_TRACK": "1"},
            start_new_session=True,
        )
    finally:
        os.close(log)
    _children[process.pid] = process
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(stdin)
    return process


def is_serving(pid: int | None, folder: Path) -> bool:
    """Return whether this process is the folder's server, not one that got its pid."""
    if pid is None:
        return False
    if child := _children.get(pid):
        child.poll()
    command = _command_line(pid)
    return SERVER_SCRIPT.name in command and str(folder) in command


def _command_line(pid: int) -> str:
    """The command line of a process; empty if it is over."""
    import psutil

    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())
    return ""


def end_server(pid: int, folder: Path) -> None:
    """Stop the server with SIGTERM, then SIGKILL; return when it is over."""
    for number in (signal.SIGTERM, _KILL):
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        if is_serving(pid, folder):
            os.kill(pid, number)
        while is_serving(pid, folder) and time.monotonic() < deadline:
            time.sleep(_PROCESS_POLL_S)
    if child := _children.pop(pid, None):
        child.wait()
