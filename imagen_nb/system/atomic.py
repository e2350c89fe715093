"""Files that appear under their name only when they are whole and flushed to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imagen_nb.errors import StorageError

PRIVATE_MODE = 0o600  # the mode of files with secrets in them
# Of the machine's name, because folders may be shared by several machines.
_HOST_DIGEST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMPORARY_NAME = re.compile(r"\.imagen-([0-9a-f]{8})-(\d+)-[0-9a-f]+\.tmp")
_STALE_S = 24 * 3600  # a temporary file this old is nobody's, on any machine
_BINARY = getattr(os, "O_BINARY", 0)  # Windows translates line ends without it
_NO_LINK_ERRNOS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
}
_REMEDY_OF_ERRNO = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "choose a folder that takes files of this size",
    errno.EMFILE: "this process has too many files open: close some, or raise the limit "
    "that `ulimit -n` shows",
    errno.ENFILE: "this machine has too many files open: end programs that hold them",
    errno.EIO: "the disk fails: copy what is on it, and choose a folder on another",
}


def temporary_name(folder: Path) -> Path:
    """Return a new name in `folder` that `remove_stale_files` knows as this process's."""
    return folder / f".imagen-{_HOST_DIGEST}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


@contextmanager
def temporary_file(folder: Path, data: bytes, mode: int = 0o666) -> Iterator[Path]:
    """Write `data` to a temporary file, flushed; remove it at the end unless renamed.

    `mode` is the file's from its first moment on, less the umask.
    """
    path = temporary_name(folder)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file that is whole or not there at all, replacing one of its name.

    After a power cut the old file may be back, until `flush_folder(path.parent)`.
    """
    with temporary_file(path.parent, data, mode) as temporary:
        os.replace(temporary, path)


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole; at no moment can anybody but its owner read it."""
    write_atomically(path, data, PRIVATE_MODE)
    flush_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut.

    Its own name is flushed even if it was there: whoever made it may not have done so.
    """
    missing = [folder]
    while not missing[-1].parent.is_dir() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        flush_folder(path.parent)


def is_temporary(name: str) -> bool:
    """Tell whether this is the name of a file that imagen_nb is, or was, writing."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def move_to_new_name(source: Path, target: Path) -> None:
    """Rename `source` to `target`. Raise `FileExistsError` if that name is taken."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK_ERRNOS:
            raise
        _move_new_without_links(source, target)


def _move_new_without_links(source: Path, target: Path) -> None:
    """Do the same where a file cannot have two names (FAT, some network drives).

    Only the process that creates the claim may look and rename. A claim left by a crash
    makes the name look taken until `remove_stale_files` removes it.
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
    """Make the names in a folder survive a power cut, where folders can be flushed."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network drives refuse, as others' folders do
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none if there is no folder, or it cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def remove_stale_files(folder: Path) -> None:
    """Remove temporary files of this machine's dead processes, and old ones of any."""
    names = [name for name in names_in(folder) if name.startswith(".imagen-")]
    left = [folder / name for name in names if name.endswith((".tmp", ".claim"))]
    now = time_in(folder) if left else 0.0
    for path in left:
        with suppress(OSError):  # its owner, or another process that clears, was faster
            if _owner_died(path.name) or now - path.stat().st_mtime > _STALE_S:
                path.unlink()


def time_in(folder: Path) -> float:
    """Return the time by the clock that dates a folder's files, perhaps a server's.

    0, by which no file is old, where that cannot be asked.
    """
    probe = temporary_name(folder)
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with suppress(OSError):
            probe.unlink()


def _owner_died(name: str) -> bool:
    parts = _TEMPORARY_NAME.fullmatch(name)
    if not parts or parts[1] != _HOST_DIGEST or os.name != "posix":
        return False
    try:
        os.kill(int(parts[2]), 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


@contextmanager
def explain_folder_errors(folder: Path, what: str = "pictures") -> Iterator[None]:
    """Raise `StorageError`, with what to do, for an `OSError` of a folder of pictures.

    `what`: cannot be kept there.
    """
    try:
        yield
    except OSError as error:
        reason = explain_os_error(error)
        raise StorageError(f"cannot keep {what} in {folder}: {reason}") from error


def explain_os_error(
    error: OSError, usual: str = "choose a folder that can be written to"
) -> str:
    """Return why a folder cannot be used, and what to do: `usual` for most errors."""
    remedy = _REMEDY_OF_ERRNO.get(error.errno or 0, usual)
    return f"{error.strerror or error}: {remedy}"
