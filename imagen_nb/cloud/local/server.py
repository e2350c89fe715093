"""Starts, finds and stops the local Supabase of a folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from imagen_nb.cloud.local.install import TEMPLATE_FOLDER, ensure_installed
from imagen_nb.cloud.local.node import find_node
from imagen_nb.cloud.local.process import end_server, is_serving, launch
from imagen_nb.cloud.local.state import (
    LocalSupabase,
    SavedState,
    claim_folder,
    default_folder,
    load_state,
    save_state,
)
from imagen_nb.cloud.migrate import load_migrations
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.system.atomic import remove_stale_files
from imagen_nb.system.paths import expand_user

_START_TIMEOUT_S = 180.0  # then a server that does not answer has failed to start
_SERVER_POLL_S = 0.1
_STATUS_TIMEOUT_S = 30.0
_PORT_RELEASE_S = 2.0


def start(
    folder: Path | None = None,
    *,
    database_url: str | None = None,
    port: int | None = None,
    session_seconds: int = 3600,
    with_parent: bool = False,
    tell: Callable[[str], None] = lambda message: None,
) -> LocalSupabase:
    """Start the local Supabase of a folder, or find it running; its schema is migrated.

    Args:
        folder: Where its keys, pictures and database are; one per user by default.
        database_url: A real PostgreSQL (as its superuser) instead of the embedded one.
        port: On 127.0.0.1; the one of last time by default, if it is free, or any.
        session_seconds: How long a session lasts.
        with_parent: Whether the server ends when this process does.
        tell: Called with what takes long, before it begins.

    Raises:
        CloudError: It cannot be installed or started; the message says what to do.
        UsageError: The folder, port or database cannot be used.
    """
    folder = claim_folder(_resolved_folder(folder))
    with _folder_lock(folder):
        remove_stale_files(folder)  # half a state file, of a start that died
        state = load_state(folder) or SavedState(database_url=database_url)
        if database_url not in (None, state.database_url):
            raise UsageError(
                f"{folder} belongs to another database: choose another --folder"
            )
        if is_serving(state.pid, folder):
            _request_user_id(state)  # or it hangs
            return _running_supabase(state, folder, port)
        state = replace(state, port=_choose_port(state, port), pid=None)
        save_state(folder, state)  # before anything is made that needs its keys
        node = find_node()
        root = ensure_installed(node, tell)
        if state.database_url is None:
            _copy_template(root, folder)
        options = {"session_seconds": session_seconds, "with_parent": with_parent}
        stdin = _server_input(state, folder, root, options)
        process = launch(node.node, folder, stdin)
        save_state(folder, replace(state, pid=process.pid))
        user_id = _wait_until_ready(process, state, folder)
        state = replace(state, pid=process.pid, user_id=user_id)
        save_state(folder, state)
    return state.to_supabase(folder)


def stop(folder: Path | None = None) -> bool:
    """Stop the local Supabase of a folder; its data stay. Return whether it ran."""
    folder = _resolved_folder(folder)
    if load_state(folder) is None:
        return False
    with _folder_lock(folder):
        state = load_state(folder)
        if state is None or state.pid is None:
            return False
        running = is_serving(state.pid, folder)
        end_server(state.pid, folder)
        save_state(folder, replace(state, pid=None))
    return running


def status(folder: Path | None = None) -> LocalSupabase | None:
    """Return the local Supabase of a folder if it runs, otherwise None."""
    folder = _resolved_folder(folder)
    state = load_state(folder)
    if state is None or not is_serving(state.pid, folder):
        return None
    return state.to_supabase(folder)


def _resolved_folder(folder: Path | None) -> Path:
    return expand_user(folder or default_folder()).resolve()


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """One start or stop at a time."""
    with FileLock(folder / ".lock"):
        yield


def _running_supabase(
    state: SavedState, folder: Path, port: int | None
) -> LocalSupabase:
    if port not in (None, state.port):
        raise UsageError(
            f"it runs on port {state.port} already: `imagen supabase stop` first"
        )
    return state.to_supabase(folder)


def _choose_port(state: SavedState, requested: int | None) -> int:
    if requested is not None:
        if not _is_free_port(requested):
            raise UsageError(f"port {requested} cannot be had: choose another --port")
        return requested
    if state.port and _is_free_port(state.port):
        return state.port
    return _find_free_port()


def _is_free_port(port: int) -> bool:
    """Whether a server may have it soon: the last one may still be letting go of it."""
    deadline = time.monotonic() + _PORT_RELEASE_S
    while time.monotonic() < deadline:
        if _can_bind(port):
            return True
        time.sleep(_SERVER_POLL_S)
    return False


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _copy_template(root: Path, folder: Path) -> None:
    """Make an empty database, whole or not at all."""
    if (folder / "database").exists():
        return
    with TemporaryDirectory(dir=folder, prefix=".database-") as temporary:
        copied = shutil.copytree(root / TEMPLATE_FOLDER, Path(temporary) / "database")
        copied.rename(folder / "database")


def _server_input(
    state: SavedState, folder: Path, root: Path, options: dict[str, Any]
) -> bytes:
    """What the server reads from its stdin: a command line would show secrets."""
    files = [
        {"version": file.version, "name": file.name, "statements": file.statements}
        for file in load_migrations()
    ]
    paths = {"folder": str(folder), "installed": str(root)}
    values = asdict(state) | paths | options | {"migrations": files}
    return json.dumps(values).encode()


def _wait_until_ready(
    process: subprocess.Popen[bytes], state: SavedState, folder: Path
) -> str:
    """Wait until the server answers; return the user's id."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return _request_user_id(state)
        except CloudError:
            time.sleep(_SERVER_POLL_S)
    end_server(process.pid, folder)
    reason = _last_log_line(folder)
    raise CloudError(f"the local Supabase does not start: {reason}")


def _request_user_id(state: SavedState) -> str:
    """Ask the server itself, past any proxy. Raise CloudError if it does not answer."""
    connection = HTTPConnection("127.0.0.1", state.port, timeout=_STATUS_TIMEOUT_S)
    try:
        connection.request(
            "GET", "/imagen/status", headers={"apikey": state.service_key}
        )
        return str(json.load(connection.getresponse())["user_id"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        raise CloudError(
            f"the local Supabase at {state.url} does not answer: "
            "`imagen supabase stop`, then start"
        ) from None
    finally:
        connection.close()


def _last_log_line(folder: Path) -> str:
    """The last of the log's lines that are for the user."""
    log = folder / "server.log"
    prefix = "imagen: "
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        if line.startswith(prefix):
            return line.removeprefix(prefix)
    return f"see {log}"
