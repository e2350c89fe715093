"""Takes picture files of other programs into an output folder, bytes unchanged."""

from __future__ import annotations

import datetime
import filecmp
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from imagen_nb._version import __version__
from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog_rows import (
    insert_rows,
    next_queue_time,
    queue_unsent_tags,
    saved_row,
)
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.foreign_file import ForeignFile, NotAdoptableError
from imagen_nb.storage.names import (
    numbered_name,
    sidecar_of,
    slug,
    stem_of,
    storage_path_of,
)
from imagen_nb.storage.output import SavedPicture, load_png_record, load_sidecar
from imagen_nb.storage.record import Record, UnsentTag, new_id
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    move_to_new_name,
    temporary_file,
    temporary_name,
)

OWN_CHUNK = "imagen_nb"  # of a PNG, with the record
_IDS_OF_BYTES = UUID("5a0b2f0e-6c8b-4f0c-9a2e-1d1c3f7a9b64")  # a namespace of our own
_WRITTEN_BACK_S = 600.0  # systems flush what was written within a minute
_MAX_RAW_CHARS = 262_144  # of a program's texts in a sidecar; the file itself has all
_TAKEN_IDS = (
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?1)"
    " OR EXISTS (SELECT 1 FROM trash WHERE id = ?1)"
    " OR EXISTS (SELECT 1 FROM removals WHERE id = ?1)"
)
_NOTE_SOURCE = (
    "INSERT INTO adopted (source, bytes, modified_ns, sha256) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (source) DO UPDATE SET bytes = excluded.bytes,"
    " modified_ns = excluded.modified_ns, sha256 = excluded.sha256"
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that may be adopted, as the file system tells of it: it was not read."""

    path: Path
    bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """Takes files into one folder.

    Invariant: a picture whose row `enter` made is on disk under its name, with its
    sidecar, and survives a power cut.

    Attributes:
        folder: where they go.
        common: fields to set in every record: tags, owner_user_id, cloud.
    """

    folder: OutputFolder
    common: Mapping[str, Any]
    _next_numbers: dict[str, int] = field(default_factory=dict)

    def known(self, sources: Iterable[SourceFile]) -> dict[Path, str]:
        """Return the sha256 of those that were adopted before, and did not change."""
        query = "SELECT bytes, modified_ns, sha256 FROM adopted WHERE source = ?"
        known = {}
        with self.folder.catalog.connection() as connection:
            for source in sources:
                row = connection.execute(query, (_source_text(source.path),)).fetchone()
                if row and row[:2] == (source.bytes, source.modified_ns):
                    known[source.path] = str(row[2])
        return known

    def ids_of(self, digests: Iterable[str]) -> dict[str, str]:
        """Return the ids of the folder's pictures with these bytes, by sha256."""
        query = "SELECT id FROM images WHERE sha256 = ?"
        ids = {}
        with self.folder.catalog.connection() as connection:
            for digest in digests:
                row = connection.execute(query, (digest,)).fetchone()
                if row:
                    ids[digest] = str(row[0])
        return ids

    def records(self, files: Iterable[ForeignFile]) -> list[Record]:
        """Return the records that the files get: their own, if this program drew them.

        The tags of `common` are noted as unsent: the cloud may have a picture already,
        from another machine and without them.
        """
        catalog = self.folder.catalog
        with catalog.connection() as connection:
            now = next_queue_time(connection, catalog.clock.now())
        tags = self.common.get("tags", ()) if self._is_for_cloud else ()
        unsent = tuple(UnsentTag(tag=tag, present=True, made_at=now) for tag in tags)
        return [self._record(file, unsent) for file in files]

    @property
    def _is_for_cloud(self) -> bool:
        return bool(self.common.get("cloud", True))

    def _record(self, file: ForeignFile, unsent: tuple[UnsentTag, ...]) -> Record:
        facts = {"sha256": file.sha256, "bytes": file.bytes, **self.common}
        own = _own_record(file)
        record = own or _foreign_record(file)
        if self._is_taken(record.id):
            facts["id"] = new_id()
        tags = dict.fromkeys((*record.tags, *self.common.get("tags", ())))
        facts |= {"tags": tuple(tags), "unsent_tags": unsent}
        return record.model_copy(update=facts)

    def _is_taken(self, id: UUID) -> bool:
        with self.folder.catalog.connection() as connection:
            return connection.execute(_TAKEN_IDS, (str(id),)).fetchone() is not None

    def place(self, file: ForeignFile, record: Record) -> SavedPicture:
        """Give the file a name in the folder, and write its sidecar.

        A hard link where the file system allows, else a copy. `enter` makes its row.
        Raises `NotAdoptableError` if the file is another by now, and `StorageError` if
        the folder cannot take it.
        """
        folder = self.folder.files.folder
        day = record.created_at.astimezone().date()
        stem = stem_of(record, day)
        if not record.prompt:
            stem = f"{day.isoformat()}-{slug(file.path.stem)}"
        with explain_folder_errors(folder), _second_name(file, folder) as temporary:
            number = self._next_numbers.get(stem, 1)
            while True:
                path = folder / numbered_name(stem, number, file.suffix)
                number += 1
                saved = _claim_for(temporary, path, record, day)
                if saved:
                    self._next_numbers[stem] = number
                    return saved

    def enter(
        self,
        pictures: Sequence[SavedPicture],
        sources: Iterable[tuple[SourceFile, str]],
    ) -> None:
        """Enter placed pictures, and what was looked at with its sha256: all or none."""
        catalog = self.folder.catalog
        state = "pending" if self._is_for_cloud else "off"
        rows = [saved_row(catalog.folder, saved, state) for saved in pictures]
        unsent = [
            (str(saved.record.id), mark)
            for saved in pictures
            for mark in saved.record.unsent_tags
        ]
        notes = [
            (_source_text(source.path), source.bytes, source.modified_ns, digest)
            for source, digest in sources
        ]
        flush_folder(catalog.folder)  # the files before what tells of them
        with catalog.transaction(durable=True) as connection:
            insert_rows(connection, rows)
            queue_unsent_tags(connection, unsent)
            connection.executemany(_NOTE_SOURCE, notes)


def _own_record(file: ForeignFile) -> Record | None:
    """Return the record inside a PNG that this program drew, on whichever machine."""
    if OWN_CHUNK not in file.metadata.raw:
        return None
    with suppress(StorageError):
        return load_png_record(file.path)
    return None


def _foreign_record(file: ForeignFile) -> Record:
    metadata = file.metadata
    raw, left = {}, _MAX_RAW_CHARS
    for name, text in metadata.raw.items():
        if len(text) <= left:
            raw[name] = text
            left -= len(text)
    return Record(
        id=uuid.uuid5(_IDS_OF_BYTES, file.sha256),
        prompt=metadata.prompt,
        negative_prompt=metadata.negative_prompt or None,
        backend=metadata.program,
        model=metadata.model,
        seed=metadata.seed,
        steps=metadata.steps,
        width=file.width,
        height=file.height,
        guidance=metadata.guidance,
        true_cfg=metadata.true_cfg,
        scheduler_name=metadata.sampler,
        loras=metadata.loras,
        strength=metadata.strength,
        created_at=datetime.datetime.fromtimestamp(
            file.modified_ns / 1e9, datetime.UTC
        ),
        options={"adopted": {"name": _source_text(Path(file.path.name)), "raw": raw}},
        versions={"imagen_nb": __version__},
    )


def is_adopted(record: Record) -> bool:
    """Return whether another program made the picture, and it was adopted."""
    return "adopted" in record.options


@contextmanager
def _second_name(file: ForeignFile, folder: Path) -> Iterator[Path]:
    """Give the file a temporary name in the folder: a link, or a copy where none can be.

    Raises `NotAdoptableError` if it is another file than was read.
    """
    temporary = temporary_name(folder)
    source = file.path.resolve()
    try:
        try:
            os.link(source, temporary)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without links
            shutil.copyfile(source, temporary)
            _require_same_bytes(temporary, file)
            _flush_file(temporary)
            os.utime(temporary, ns=(file.modified_ns, file.modified_ns))
        else:
            # The system writes back what is older by itself.
            if time.time() - file.modified_ns / 1e9 < _WRITTEN_BACK_S:
                _flush_file(temporary)
        status = temporary.stat()
        if (status.st_size, status.st_mtime_ns) != (file.bytes, file.modified_ns):
            raise NotAdoptableError("it is being written")
        yield temporary
    except FileNotFoundError as error:
        if file.path.exists():
            raise
        raise NotAdoptableError("it was removed") from error
    finally:
        temporary.unlink(missing_ok=True)


def _require_same_bytes(copy: Path, file: ForeignFile) -> None:
    with copy.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
            raise NotAdoptableError("it is being written")


def _flush_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _claim_for(
    temporary: Path, path: Path, record: Record, day: datetime.date
) -> SavedPicture | None:
    """Write the sidecar and give the file this name; None if the name is taken.

    The sidecar first: who dies in between leaves no picture of which nothing tells. What
    a crash left of this very file is completed.
    """
    sidecar = sidecar_of(path)
    left = load_sidecar(sidecar)  # once: other threads place files of this name, too
    is_left = left and (left.id, left.sha256) == (record.id, record.sha256)
    if not _is_free(path, temporary) or (os.path.lexists(sidecar) and not is_left):
        return None
    if left and is_left and path.exists():  # whole: only its row is missing
        return SavedPicture(path, sidecar, left)
    storage_path = storage_path_of(day, path.stem, path.suffix)
    complete = record.model_copy(update={"storage_path": storage_path})
    if is_left:
        sidecar.unlink(missing_ok=True)
    with temporary_file(path.parent, complete.to_sidecar().encode()) as written:
        try:
            move_to_new_name(written, sidecar)
        except FileExistsError:
            return None
    try:
        move_to_new_name(temporary, path)
    except FileExistsError:
        if not _is_free(path, temporary):
            _withdraw(sidecar, record)
            return None
    except BaseException:
        _withdraw(sidecar, record)
        raise
    return SavedPicture(path, sidecar, complete)


def _is_free(path: Path, temporary: Path) -> bool:
    """Return whether no other file has the name."""
    if not os.path.lexists(path):
        return True
    return path.is_file() and filecmp.cmp(path, temporary, shallow=False)


def _withdraw(sidecar: Path, record: Record) -> None:
    """Remove the sidecar, unless who took the name for a picture has replaced it."""
    found = load_sidecar(sidecar)
    if found and found.id == record.id:
        sidecar.unlink(missing_ok=True)


def _source_text(path: Path) -> str:
    """Return a path as text that SQLite and JSON hold, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
