"""Kernels that are there at once: forked from a process that has imported what takes seconds.

Everything about them is ipykernel's own but how the process comes to be. Jupyter runs this file as
the kernel; it asks the process with the imports for a child, passes signals on, and ends with it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_IMPORTS = (
    "imagen_nb.studio.default",
    "imagen_nb.widgets.panel",
    "imagen_nb.widgets.gallery",
    "diffusers",
)
_READY = b"ready\n"


@contextmanager
def forked_kernels(folder: Path) -> Iterator[Path]:
    """As long as this lasts, the kernel `python3` of this place for JUPYTER_PATH is forked."""
    where, place = folder / "kernels.sock", folder / "jupyter"
    spec = place / "kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-S", "-E", __file__, str(where), "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    with (folder / "kernels.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(where)], stdout=subprocess.PIPE, stderr=log
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == _READY, (folder / "kernels.log").read_text()
            yield place
        finally:
            process.kill()
            process.communicate()


def _fork_for_all(where: str) -> None:
    """The process with the imports: one child for each that asks."""
    from importlib import import_module

    for name in _IMPORTS:
        import_module(name)
    import_module("diffusers.pipelines.flux.pipeline_flux")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()
        sys.stdout.buffer.write(_READY)
        sys.stdout.flush()
        while True:
            asking, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _be_the_kernel(asking)
            asking.close()


def _be_the_kernel(asking: socket.socket) -> None:
    order: dict[str, Any] = json.loads(asking.makefile().readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    random.seed()
    sys.argv[1:] = ["-f", order["file"]]
    asking.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=_end_with, args=(asking,), daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
    os._exit(0)


def _end_with(asking: socket.socket) -> None:
    asking.recv(1)  # nothing more comes: it returns when whoever asked is gone
    os._exit(0)


def _ask(where: str, file: str) -> None:
    """What Jupyter takes for the kernel."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(where)
        order = {"file": file, "cwd": os.getcwd(), "environment": dict(os.environ)}
        asked.sendall(json.dumps(order).encode() + b"\n")
        pid = int(asked.makefile().readline())
        signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
        while asked.recv(1):
            pass


if __name__ == "__main__":
    _ask(*sys.argv[1:]) if len(sys.argv) == 3 else _fork_for_all(sys.argv[1])
