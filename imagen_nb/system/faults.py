"""Named points where tests end the process, to show that a crash there loses nothing."""

from __future__ import annotations

import os
import signal

_passed_points: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Kill this process if $IMAGEN_FAULTS is `name` or `name:nth`; else do nothing."""
    requested = os.environ.get("IMAGEN_FAULTS")
    if not requested:
        return
    _passed_points[name] = _passed_points.get(name, 0) + 1
    point, _, nth = requested.partition(":")
    if point == name and _passed_points[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
