"""Who holds a lock on a file: for messages about others that one waits for."""

from __future__ import annotations

from pathlib import Path

_LOCKS = Path("/proc/locks")  # Linux; see proc(5)


def describe_holder(path: Path) -> str:
    """Return the process that has locked a file for writing, such as "process 7 (python)".

    "another process" where the system does not tell.
    """
    for pid in _holders(path):
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue  # it has ended meanwhile, or is another container's
        return f"process {pid} ({name})"
    return "another process"


def _holders(path: Path) -> list[int]:
    """Return the processes with a lock on it, on this machine."""
    try:
        inode = path.stat().st_ino
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    holders = []
    for line in lines:
        fields = (
            line.split()
        )  # 1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF
        is_held = len(fields) == 8 and fields[3] == "WRITE"
        if is_held and fields[5].rpartition(":")[2] == str(inode):
            holders.append(int(fields[4]))
    return holders
