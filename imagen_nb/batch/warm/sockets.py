"""Where a kernel's sockets can be files: Unix limits how long their paths are."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_MAX_PATH_BYTES = 100  # Unix allows some 104, and a number follows


def socket_folder() -> str | None:
    """Return a folder whose path is short enough for sockets; None: the usual one."""
    usual = tempfile.gettempdir()
    too_long = len(os.fsencode(usual)) > _MAX_PATH_BYTES - 40
    short = "/tmp"  # folders made in it are their owner's alone  # nosec B108
    return short if too_long and os.path.isdir(short) else None


def supports_ipc(folder: Path) -> bool:
    """Return whether a kernel's sockets can be files in this folder."""
    longest = _MAX_PATH_BYTES - 20
    return sys.platform != "win32" and len(os.fsencode(folder)) <= longest
