"""A data set while it is written: a hidden folder beside its target, which is taken up again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imagen_nb.errors import StorageError
from imagen_nb.system.atomic import write_atomically
from imagen_nb.system.locks import describe_holder
from imagen_nb.system.terminal import print_notice

_PURPOSE_NAME, _JOURNAL_NAME, _STAGING_LOCK = "export.json", "done.jsonl", "lock"


class Staging:
    """The files of one export, and which pictures are in them.

    Invariant: only the holder of the lock writes here. A picture is in the journal only
    when its file is whole, so that a process may be killed at any time.
    """

    def __init__(self, place: Path) -> None:
        self.folder = place / "export"  # with the rights that folders have
        self._journal = place / _JOURNAL_NAME
        self._done: dict[int, Path] = {}

    @property
    def done(self) -> Mapping[int, Path]:
        """The file of each picture that was written, by its position in the frame."""
        return self._done

    def note(self, position: int, path: Path) -> None:
        """Remember that the picture of this position is in a file that is whole."""
        name = path.relative_to(self.folder).as_posix()
        line = json.dumps({"at": position, "in": name, "bytes": path.stat().st_size})
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._done[position] = path

    def take_up(self) -> bool:
        """Read the journal; return False if a file is not as it was left."""
        with suppress(FileNotFoundError):
            for line in self._journal.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break  # torn: that picture is written again
                entry: dict[str, Any] = json.loads(line)
                path = self.folder / entry["in"]
                if not path.is_file() or path.stat().st_size != entry["bytes"]:
                    return False  # a power cut: what the system kept last is gone
                self._done[entry["at"]] = path
        with suppress(FileNotFoundError):  # a line after a torn one would be lost
            data = self._journal.read_bytes()
            self._journal.write_bytes(data[: data.rfind(b"\n") + 1])
        return True


@contextmanager
def staged_export(target: Path, purpose: str, *, resumable: bool) -> Iterator[Staging]:
    """Give the folder in which an export to `target` grows; remove it after the block.

    It stays if the block raises, pictures were written, and the export is `resumable`:
    the next export to this target with the same `purpose` (what is exported, and how)
    goes on with it, one with another begins anew.

    Raises:
        StorageError: if another process exports to the target.
    """
    digest = hashlib.sha256(target.name.encode(errors="surrogatepass")).hexdigest()
    place = target.with_name(f".imagen-export-{digest[:16]}")
    place.mkdir(exist_ok=True)
    lock = FileLock(place / _STAGING_LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = describe_holder(place / _STAGING_LOCK)
        raise StorageError(f"{holder} exports to {target}: wait for it") from None
    keep = False
    try:
        staging = _prepared(place, purpose if resumable else None)
        try:
            yield staging
        except BaseException:
            keep = resumable and bool(staging.done)
            if keep:
                print_notice(
                    f"{len(staging.done)} pictures are exported: the same export to"
                    f" {target} goes on from there (or remove {place})"
                )
            raise
    finally:
        lock.release()
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _prepared(place: Path, purpose: str | None) -> Staging:
    """Return what is there for this purpose, or else an empty one; None is for none."""
    staging, note = Staging(place), place / _PURPOSE_NAME
    if purpose and note.is_file() and note.read_text(encoding="utf-8") == purpose:
        if staging.take_up():
            return staging
        staging = Staging(place)
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _STAGING_LOCK:
            path.unlink()
    staging.folder.mkdir()
    write_atomically(note, (purpose or "").encode())
    return staging
