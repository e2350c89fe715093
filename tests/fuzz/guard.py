"""What a reader of foreign bytes must not do: fail otherwise, take memory, touch other files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imagen_nb.errors import ImagenError

MAX_GROWTH_MB = 300
_CHANGING = {
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod"),
    *("os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "sqlite3.connect"),
}
_STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_FILES = ("/dev/", "/proc/self/", ":memory:")


class _Watch:
    """What happened outside of the folder that is watched; None while nothing is.

    Python removes no audit hook, so there is one for the whole process.
    """

    def __init__(self) -> None:
        self.folder: str | None = None
        self.touched: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _STARTING:
            self.touched.append(f"{event} {arguments[0]!r}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING_FLAGS:
                self._note(event, path)
            elif "forbidden" in str(path):
                self.touched.append(f"read {path}")
        elif event in _CHANGING:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._note(event, path)

    def _note(self, event: str, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike) or self.folder is None:
            return  # a file's number
        absolute = os.path.abspath(os.fsdecode(path).removeprefix("file://").partition("?")[0])
        if "__pycache__" in absolute or absolute.startswith(_NOT_FILES):
            return
        if not Path(absolute).is_relative_to(self.folder):
            self.touched.append(f"{event} {absolute}")


_watch = _Watch()


@contextmanager
def nothing_touched_outside(folder: Path) -> Iterator[None]:
    """Fail if anything but what is in this folder is changed, or a file `forbidden` is read."""
    _watch.touched.clear()
    _watch.folder = str(folder)
    try:
        yield
    finally:
        _watch.folder = None
    assert not _watch.touched, _watch.touched


@contextmanager
def only_our_errors() -> Iterator[None]:
    """Let an ImagenError pass if it is one line; every other error comes out as it is."""
    message = "one"
    try:
        yield
    except ImagenError as error:
        message = str(error)
    assert len(message.splitlines()) == 1, repr(message)


def peak_mb() -> float:
    """The most memory that this process has had since `forget_peak`, in MB."""
    import resource

    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    scale = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def forget_peak() -> None:
    """Let `peak_mb` begin anew, where the system can do that."""
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as references:
        references.write("5")
