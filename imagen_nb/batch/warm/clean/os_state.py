"""What the operating system says of this process, compared with what it was."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagen_nb.batch.warm.clean.noted import ABSENT, NotedMappings

_PROC = Path("/proc/self")
# Lines of /proc/self/status that move by themselves, or by another process.
_MOVING_LINES = (
    "State",
    "TracerPid",
    "PPid",
    "FDSize",
    "Vm",
    "Rss",
    "HugetlbPages",
    "CoreDumping",
    "Cpus_allowed:",  # again, as a list
    "Threads",
    "SigQ",
    "SigPnd",
    "ShdPnd",
    "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches",
)
_PROC_FILES = ("oom_score_adj", "timerslack_ns", "personality", "coredump_filter")
_RESOURCE_TRACKER = "multiprocessing.resource_tracker"


def process_facts() -> dict[str, Any]:
    """Return what is set for the whole process and stays until somebody changes it."""
    facts: dict[str, Any] = {}
    with suppress(OSError):  # only Linux has it
        for line in (_PROC / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if not line.startswith(_MOVING_LINES):
                facts[name] = value.strip()
    for name in _PROC_FILES:
        with suppress(OSError):
            facts[name] = (_PROC / name).read_text().strip()
    if sys.platform != "win32":
        import resource

        names = {name for name in dir(resource) if name.startswith("RLIMIT_")}
        names.discard("RLIMIT_OFILE")  # another name of RLIMIT_NOFILE
        facts |= {name: resource.getrlimit(getattr(resource, name)) for name in names}
        facts["priority"] = os.getpriority(os.PRIO_PROCESS, 0)
        facts["session"] = os.getsid(0)
        facts["process group"] = os.getpgrp()
    return facts


def open_files() -> dict[str, Any]:
    """Return what each file descriptor stands for.

    Without those that make no difference: what threads wake each other with, devices as
    /dev/urandom or a GPU, and files of installed libraries, as fonts.
    """
    opened: dict[str, Any] = {}
    with suppress(OSError):
        for number in map(int, os.listdir("/dev/fd")):
            with suppress(OSError):  # that of the very listing
                status = os.fstat(number)
                target = _describe_file(number, status)
                if number <= 2 or _may_matter(number, status, target):
                    opened[f"file descriptor {number}"] = target
    return opened


def _describe_file(number: int, status: os.stat_result) -> str:
    try:
        return os.readlink(f"/dev/fd/{number}")
    except OSError:  # not on this system
        return f"{status.st_dev}:{status.st_ino}"


def _may_matter(number: int, status: os.stat_result, target: str) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    if kind in (0, stat.S_IFCHR):  # 0: an eventfd, epoll, timerfd and the like
        return False
    if target.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep)):
        return False
    tracker = getattr(sys.modules.get(_RESOURCE_TRACKER), "_resource_tracker", None)
    return number != getattr(tracker, "_fd", None)


class OsState:
    """What the operating system says of this process; none of it can be given back."""

    def __init__(self) -> None:
        self._noted = NotedMappings()
        self._noted.add("the process", process_facts)
        self._noted.add("its files", open_files)
        self._fresh = frozenset([*process_facts(), *open_files()])

    def before_import(self) -> None:
        """Take note of what the notebook has changed by now."""
        self._noted.before_import()

    def after_import(self) -> None:
        """Accept what changed since `before_import`."""
        self._noted.after_import()

    def describe_changes(self) -> list[str]:
        """Describe each fact that is not as it was."""
        return [
            f"{change.key} was {change.old}, and is {change.new}"
            for change in self._noted.changes()
            # What an import opened may be closed again.
            if change.new is not ABSENT or change.key in self._fresh
        ]
