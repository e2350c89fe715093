"""Jupyter's servers as processes: JupyterLab, Notebook 7, nbclassic, Voilà; each has its own home."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from forked_kernels import forked_kernels

_START_S = 90


@dataclass(frozen=True)
class Server:
    """Where it answers. `folder` is the root of its notebooks, `home` the user's home there."""

    url: str
    token: str = field(repr=False)
    folder: Path
    home: Path


@contextmanager
def started(application: str, folder: Path, *arguments: str) -> Iterator[Server]:
    """The server `python -m <application>`, on 127.0.0.1, until the block ends."""
    port, token = _free_port(), secrets.token_hex(16)
    root, home = folder / "root", folder / "home"
    for place in (root, home):
        place.mkdir(exist_ok=True)
    _settle(home)
    server = Server(f"http://127.0.0.1:{port}", token, root, home)
    log = (folder / "server.log").open("w")
    options = _options(application, port, token, root)
    with forked_kernels(folder) as kernels:
        process = subprocess.Popen(
            [sys.executable, "-m", application, *options, *arguments],
            stdout=log, stderr=subprocess.STDOUT, env=_environment(home, kernels), cwd=root,
        )  # fmt: skip
        try:
            _wait(server, process, folder / "server.log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


def _options(application: str, port: int, token: str, root: Path) -> Sequence[str]:
    if application == "voila":
        return [
            f"--port={port}",
            "--no-browser",
            "--Voila.ip=127.0.0.1",
            f"--token={token}",
            str(root),
        ]
    return [
        "--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
        "--ServerApp.port_retries=0",
    ]  # fmt: skip


_SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def _settle(home: Path) -> None:
    for name, values in _SETTINGS.items():
        file = home / f".jupyter/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


def _environment(home: Path, kernels: Path) -> dict[str, str]:
    """As a user who just installed it; kernels are this very interpreter, of `kernels`."""
    kept = {
        n: v for n, v in os.environ.items() if not n.startswith(("JUPYTER_", "IMAGEN_", "XDG_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PATH": path,
        "SHELL": "/bin/sh",
        "JUPYTER_PATH": str(kernels),
    }


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(server.url, params={"token": server.token}, follow_redirects=True)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
