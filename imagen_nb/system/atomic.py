"""Files that appear under their name only when they are whole and flushed to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.system.faults import reach

PRIVATE = 0o600  # the mode of files with secrets in them
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[
    :8
]  # folders may be shared
_TEMPORARY = re.compile(r"\.imagen-([0-9a-f]{8})-(\d+)-[0-9a-f]+\.tmp")
_FORGOTTEN_S = (
    24 * 3600
)  # seconds; what is this old belongs to nobody, on whatever machine
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def temporary_name(folder: Path) -> Path:
    """A new name in `folder` that `sweep` knows for this process's."""
    return folder / f".imagen-{_HOST}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


@contextmanager
def written(folder: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    """A temporary file with `data`, flushed; at the end it is gone, unless it was renamed.

    `mode`: who may read and write it, from its first moment on, as far as the umask lets them.
    """
    path = temporary_name(folder)
    try:
        with open(
            path, "xb", opener=lambda name, flags: os.open(name, flags, mode)
        ) as file:
            file.write(data)
            reach("before-flush")
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file so that it is whole or not there at all, replacing what had its name."""
    with written(path.parent, data, mode) as temporary:
        os.replace(temporary, path)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is being written by imagen_nb, or was when it died."""
    return _TEMPORARY.fullmatch(name) is not None


def move_new(source: Path, target: Path) -> None:
    """Give a file its name, if it is free; `FileExistsError` when another process has it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _move_new_without_links(source, target)


def _move_new_without_links(source: Path, target: Path) -> None:
    """As `move_new` where a file cannot have two names (FAT, some network drives).

    Only who creates the claim may look and rename. A claim left by a crash makes the name look
    taken until it is swept.
    """
    claim = target.with_name(f".imagen-{target.name}.claim")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
    try:
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)
    finally:
        claim.unlink()


def flush_folder(folder: Path) -> None:
    """Make the names themselves survive a power cut, where a folder can be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(
            OSError
        ):  # some network drives refuse; the files are flushed all the same
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove temporary files of dead processes of this machine, and forgotten ones of any."""
    with suppress(
        OSError
    ):  # no folder yet, or not ours to clear: then there is nothing to do
        for name in [
            name for name in os.listdir(folder) if name.startswith(".imagen-")
        ]:
            path = folder / name
            with suppress(FileNotFoundError):  # its owner, or another sweep, was faster
                forgotten = time.time() - path.stat().st_mtime > _FORGOTTEN_S
                if _owner_died(name) or (
                    forgotten and name.endswith((".tmp", ".claim"))
                ):
                    path.unlink()


def _owner_died(name: str) -> bool:
    parts = _TEMPORARY.fullmatch(name)
    if not parts or parts[1] != _HOST or os.name != "posix":
        return False
    try:
        os.kill(int(parts[2]), 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "choose a folder that takes files of this size",
}


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns what the system says about the folder into one line that says what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(
            error.errno or 0, "choose a folder that can be written to"
        )
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot keep pictures in {folder}: {reason}: {remedy}"
        ) from error
