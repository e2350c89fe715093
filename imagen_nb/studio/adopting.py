"""Adopts pictures that other programs made: whole folders, in batches, resumable."""

from __future__ import annotations

import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from imagen_nb.errors import UsageError
from imagen_nb.storage.adoption import Adoption, SourceFile
from imagen_nb.storage.foreign_file import (
    ForeignFile,
    NotAdoptableError,
    read_foreign_file,
)
from imagen_nb.storage.output import SavedPicture
from imagen_nb.storage.record import Record
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.terminal import counted_pictures

What: TypeAlias = str | Path | Iterable[str | Path]

_TAKEN_SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".webp"}
_OTHER_IMAGE_SUFFIXES = {
    *(".gif", ".apng", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jxl"),
}
_BATCH = 128  # files that are read, placed and entered together
_READERS = 4  # threads, each of which may have a file of 256 MB in memory
_PLACERS = 16  # threads, which wait for the disk: flushes of several files are one
_MAX_REFUSED_NAMED = 5  # files in one line


@dataclass(slots=True)
class AdoptReport:
    """What became of the files.

    Attributes:
        adopted: the ids of pictures that are new.
        present: the ids of those that were there already, by their bytes.
        deleted: how many were adopted once, and deleted since: they stay so.
        refused: files that are no whole picture, each with the reason.
        others: how many files are no pictures by their names.
        programs: pictures that were read, by the program that made them.
        silent: those of them that say neither prompt nor settings, by program.
        not_understood: what could not be read of pictures' texts, with how often.
    """

    adopted: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    deleted: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)
    others: int = 0
    programs: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    not_understood: Counter[str] = field(default_factory=Counter)

    @property
    def ids(self) -> list[str]:
        """Every picture of the files that is in the folder now, each once."""
        return [*dict.fromkeys((*self.adopted, *self.present))]

    def __str__(self) -> str:
        """One line: 12 pictures adopted, 3 were there already, 1 refused: a.png (torn)."""
        parts = [f"{counted_pictures(len(self.adopted))} adopted"]
        if self.present:
            parts.append(f"{len(self.present)} there already")
        if self.deleted:
            parts.append(f"{self.deleted} deleted before, and not taken again")
        if self.refused:
            named = [
                f"{path.name} ({why})"
                for path, why in self.refused[:_MAX_REFUSED_NAMED]
            ]
            more = len(self.refused) - len(named)
            named += [f"and {more} more"] if more else []
            parts.append(f"{len(self.refused)} refused: {', '.join(named)}")
        return "; ".join(parts)

    def count(self, file: ForeignFile) -> None:
        """Count what was read of one file."""
        metadata = file.metadata
        self.programs[metadata.program] += 1
        if not metadata.prompt and metadata.steps is None and metadata.seed is None:
            self.silent[metadata.program] += 1
        if metadata.not_understood:
            self.not_understood[f"{metadata.program}: {metadata.not_understood}"] += 1


@dataclass(frozen=True, slots=True)
class Adopter:
    """Adopts files batch by batch; what is entered stays, whatever comes after.

    Attributes:
        adoption: the folder that takes them.
        announce: called with the ids of each batch that is kept.
        dry_run: read and count only; `present` and `programs` are told then.
    """

    adoption: Adoption
    announce: Callable[[Sequence[UUID]], None]
    dry_run: bool = False

    @property
    def target(self) -> Path:
        """The folder that takes the pictures."""
        return self.adoption.folder.files.folder

    def adopt(
        self, sources: Sequence[SourceFile], progress: Callable[[int, int], None]
    ) -> AdoptReport:
        """Adopt these files. Raises `StorageError` if the folder cannot take them.

        `progress`: called with (done, total) after each batch.
        """
        report, done = AdoptReport(), 0
        waiting = iter(sources)
        with (
            warnings.catch_warnings(),
            ThreadPoolExecutor(_READERS, "imagen-adopt-read") as readers,
            ThreadPoolExecutor(_PLACERS, "imagen-adopt-place") as placers,
        ):
            warnings.simplefilter("ignore")  # Pillow's, of files that are a little torn
            while batch := list(islice(waiting, _BATCH)):
                self._adopt_batch(batch, report, readers, placers)
                done += len(batch)
                progress(done, len(sources))
        return report

    def _adopt_batch(
        self,
        batch: list[SourceFile],
        report: AdoptReport,
        readers: ThreadPoolExecutor,
        placers: ThreadPoolExecutor,
    ) -> None:
        digests = self.adoption.known(batch)
        unread = [source for source in batch if source.path not in digests]
        files: list[ForeignFile] = []
        for source, file in zip(unread, readers.map(_read_source, unread), strict=True):
            if isinstance(file, str):
                report.refused.append((source.path, file))
            else:
                report.count(file)
                files.append(file)
                digests[source.path] = file.sha256
        ids = self.adoption.ids_of(dict.fromkeys(digests.values()))
        read = {file.path for file in files}
        for path, digest in digests.items():
            if digest in ids:
                report.present.append(ids[digest])
            elif path not in read:
                report.deleted += 1
        new = {file.sha256: file for file in files if file.sha256 not in ids}
        if not self.dry_run:
            noted = [(one, digests[one.path]) for one in batch if one.path in digests]
            self._keep(list(new.values()), noted, report, placers)

    def _keep(
        self,
        files: Sequence[ForeignFile],
        noted: Sequence[tuple[SourceFile, str]],
        report: AdoptReport,
        placers: ThreadPoolExecutor,
    ) -> None:
        """Place the files and enter them, unless another process did so meanwhile."""
        with self.adoption.folder.catalog.sidecar_lock():
            there = self.adoption.ids_of(file.sha256 for file in files)
            report.present += there.values()
            left = [file for file in files if file.sha256 not in there]
            self._place_all(left, noted, report, placers)

    def _place_all(
        self,
        files: Sequence[ForeignFile],
        noted: Sequence[tuple[SourceFile, str]],
        report: AdoptReport,
        placers: ThreadPoolExecutor,
    ) -> None:
        """Place the files and enter them: also those before an error or an interrupt."""
        records = self.adoption.records(files)
        placed: list[SavedPicture] = []
        try:
            for file, saved in zip(
                files, placers.map(self._place, files, records), strict=True
            ):
                if isinstance(saved, str):
                    report.refused.append((file.path, saved))
                else:
                    placed.append(saved)
        finally:
            kept = {str(saved.record.sha256) for saved in placed}
            kept |= {digest for _, digest in noted} - {file.sha256 for file in files}
            self.adoption.enter(placed, [one for one in noted if one[1] in kept])
            added = [saved.record.id for saved in placed]
            report.adopted += map(str, added)
            if added:
                self.announce(added)

    def _place(self, file: ForeignFile, record: Record) -> SavedPicture | str:
        try:
            return self.adoption.place(file, record)
        except NotAdoptableError as error:
            return str(error)


def _read_source(source: SourceFile) -> ForeignFile | str:
    """Return the file, or why it is not adopted."""
    try:
        return read_foreign_file(source.path)
    except NotAdoptableError as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files below some folders. `images` are refused for their kind alone."""

    sources: list[SourceFile]
    images: list[Path]
    others: int


def list_sources(what: What, target: Path) -> Listing:
    """List the pictures that are named, or are below folders that are named, by name.

    Folders whose names begin with a dot, and `target`, are left out, and so is what
    cannot be listed.

    Raises `UsageError` for a path that is not there, or if nothing is named.
    """
    paths = [what] if isinstance(what, (str, Path)) else list(what)
    if not paths:
        raise UsageError("name a folder, or the files, to adopt")
    listing, images, others = {}, [], 0
    for path in map(absolute_path, paths):
        if not path.exists():
            raise UsageError(f"there is no {path}: name a folder, or files, to adopt")
        for entry in [path] if path.is_file() else files_below(path, target):
            suffix = entry.suffix.lower()
            if is_taken_kind(entry.name) or entry == path:
                listing[entry] = stat_source(entry)
            elif suffix in _OTHER_IMAGE_SUFFIXES:
                images.append(entry)
            else:
                others += 1
    return Listing([one for one in listing.values() if one], images, others)


def is_taken_kind(name: str) -> bool:
    """Return whether a file's name is one of pictures that can be adopted."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _TAKEN_SUFFIXES and not name.startswith(".")


def stat_source(path: Path) -> SourceFile | None:
    """Return the file as it is now; None if it is gone, or a pipe, device or folder."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return SourceFile(path, status.st_size, status.st_mtime_ns)


def files_below(folder: Path, target: Path) -> Iterator[Path]:
    """Give the files of a folder and those below it, in order of their names."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and here / name != target
        )
        if here != target:
            yield from (here / name for name in sorted(files) if name[0] != ".")


def require_apart(what: What, target: Path) -> None:
    """Raise `UsageError` if what is named is the folder that the pictures go to."""
    paths = [what] if isinstance(what, (str, Path)) else list(what)
    if any(absolute_path(path) == target for path in paths):
        raise UsageError(
            f"{target} is where pictures are kept: name the folder of another program"
        )
