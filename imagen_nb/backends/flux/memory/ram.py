"""How much RAM this process may use: the machine's, or what its container has of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def total_ram_gb(root: Path = _ROOT) -> float:
    """Return the RAM in GB of 10⁹ bytes: of this machine, or of its cgroup if less.

    `root`: where the files of Linux are.
    """
    import psutil  # knows Windows and macOS too

    machine = int(psutil.virtual_memory().total)
    return min([machine, *_cgroup_limits(root)]) / 1e9


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits, in bytes, of this process's cgroup and those above it.

    Of version 2 and of version 1. In a container both may be seen as the root's.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = mount / path.lstrip("/")
        while folder.is_relative_to(mount):
            limit = _text(folder / name).strip()
            if limit.isdecimal():  # "max" is none
                yield int(limit)
            folder = folder.parent


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux, or not to be read
        return ""
