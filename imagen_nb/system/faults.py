"""Named points where tests end the process, to show that a crash there loses nothing."""

from __future__ import annotations

import os
import signal

_passed: dict[str, int] = {}


def reach(name: str) -> None:
    """Does nothing, unless $IMAGEN_FAULTS is `name` or `name:nth`: then the process is killed."""
    wanted = os.environ.get("IMAGEN_FAULTS")
    if not wanted:
        return
    _passed[name] = _passed.get(name, 0) + 1
    point, _, nth = wanted.partition(":")
    if point == name and _passed[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
