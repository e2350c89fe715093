"""The files of pictures: their names, the PNG, and the sidecar beside it."""

from __future__ import annotations

import datetime
import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.errors import StorageError
from imagen_nb.storage.credentials import (
    PictureSigner,
    is_signed_as,
    with_credentials_wanted,
)
from imagen_nb.storage.names import numbered_name, sidecar_of, stem_of, storage_path_of
from imagen_nb.storage.png import encode_png, has_credentials, has_pixels_of, read_png
from imagen_nb.storage.record import SIGNED, Record
from imagen_nb.storage.watermark import PictureMarker
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    move_to_new_name,
    remove_stale_files,
    temporary_file,
    temporary_name,
    write_atomically,
)
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_CACHED_STEMS = 1000
_MAX_SIDECAR_CHARS = 2**24  # of a foreign file: ours have some thousand


class PictureDeletedError(StorageError):
    """The picture was deleted since it was looked at."""


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """The files of one picture. `reused`: they were there already."""

    path: Path
    sidecar_path: Path
    record: Record
    reused: bool = False


@dataclass(slots=True)
class _Namesakes:
    """What is known of the files x.png, x-2.png and so on of one stem.

    `paths` are those whose records have this `Record.decides()`. `next_number` is the
    first number that was not looked at.
    """

    paths: dict[str, list[Path]] = field(default_factory=dict)
    next_number: int = 1


class PictureFiles:
    """The PNG and sidecar files of a folder.

    Invariant: an existing file is never overwritten, even if other processes write to
    the same folder. A file has its name only when it is whole and flushed: PNG first,
    sidecar second.

    `signer` signs every picture that is written, `marker` marks it before; or None.

    Example:
        >>> files = PictureFiles("pictures")
        >>> files.save(image, record, record.created_at.date()).path.name
        '2026-05-11-a-boat-11.png'
    """

    def __init__(
        self,
        folder: Path | str,
        signer: PictureSigner | None = None,
        marker: PictureMarker | None = None,
    ) -> None:
        """Remove temporary files of dead processes; create nothing."""
        self.folder = absolute_path(folder)
        self.signer, self.marker = signer, marker
        self.start_anew()
        start_anew_in_forks(self)
        remove_stale_files(self.folder)

    def start_anew(self) -> None:
        """Make a new lock: in a forked child, the old one may be locked for ever."""
        self._namesakes: dict[str, _Namesakes] = {}  # by stem: saves reading them again
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the folder. Raise `StorageError` if it cannot be made or written to."""
        with explain_folder_errors(self.folder):
            make_folder(self.folder)
            probe = temporary_name(self.folder)
            try:
                probe.touch(exist_ok=False)
            finally:
                probe.unlink(missing_ok=True)

    def save(
        self,
        image: Image,
        record: Record,
        day: datetime.date,
        stem: str | None = None,
    ) -> SavedPicture:
        """Write the picture and its sidecar under the next free name.

        If the same picture is there already (job, pixels and all that decides them;
        signed, if pictures are signed), that one is returned instead.

        Args:
            image: the picture, RGB.
            record: its record; sha256, bytes, storage_path, content_credentials
                and watermark are filled in.
            day: the local date for the name.
            stem: stands for "<day>-<slug>-<seed>".

        Raises:
            StorageError: if the folder is full or cannot be written to; nothing is left
                behind.
        """
        stem = stem or stem_of(record, day)
        record = with_credentials_wanted(record, self.signer)
        if self.marker:
            image, record = self.marker.mark(image, record)
        with explain_folder_errors(self.folder):
            _, same = self._find_same(stem, image, record)
            if same:
                return same
            png = encode_png(image, record)
            if self.signer:
                png, record = self.signer.sign(png, record)
            make_folder(self.folder)
            with temporary_file(self.folder, png) as temporary:
                path, same = self._claim_name(stem, temporary, image, record)
                if same:
                    return same
                return self._add_sidecar(path, _with_file_facts(record, png, day, path))

    def find_drawn(
        self, record: Record, day: datetime.date, stem: str | None = None
    ) -> SavedPicture | None:
        """Return the whole picture of this day with the same `Record.decides()`.

        A signed one, if pictures are signed.
        """
        stem = stem or stem_of(record, day)
        record = with_credentials_wanted(record, self.signer)
        record = self.marker.wanted(record) if self.marker else record
        with explain_folder_errors(self.folder):
            for path in self._look_up(stem, record.decides())[1]:
                with suppress(StorageError):  # removed since we looked
                    found, in_png = load_record(path), load_png_record(path)
                    is_whole = in_png.sha256 == found.sha256
                    is_of_day = found.created_at.astimezone().date() == day
                    if is_whole and is_of_day and is_signed_as(found, record):
                        return self._reuse(path, found)
        return None

    def _claim_name(
        self, stem: str, png: Path, image: Image, record: Record
    ) -> tuple[Path, SavedPicture | None]:
        """Move the PNG to a free name, or find the same picture, saved meanwhile."""
        number = 0
        while True:
            free, same = self._find_same(stem, image, record)
            # A name can be taken by what cannot be seen, such as a broken link.
            number = max(free, number + 1)
            path = self.folder / numbered_name(stem, number)
            if same:
                return path, same
            if sidecar_of(path).exists() and not path.exists():
                continue  # left of a picture that was removed: not ours to replace
            with suppress(FileExistsError):
                move_to_new_name(png, path)
                return path, None

    def _add_sidecar(self, path: Path, record: Record) -> SavedPicture:
        sidecar = sidecar_of(path)
        try:
            write_atomically(sidecar, record.to_sidecar().encode())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        flush_folder(self.folder)
        return SavedPicture(path, sidecar, record)

    def _find_same(
        self, stem: str, image: Image, record: Record
    ) -> tuple[int, SavedPicture | None]:
        """Return the first number that seems free, and the same picture, if any."""
        free, paths = self._look_up(stem, record.decides())
        for path in paths:
            if not has_pixels_of(path, image):
                continue
            with suppress(StorageError):  # removed since we looked
                found = load_record(path)
                if is_signed_as(found, record) and found.job == record.job:
                    return free, self._reuse(path, found)
        return free, None

    def _reuse(self, path: Path, record: Record) -> SavedPicture:
        """Return a picture that is there; restore a sidecar that a crash prevented.

        Flushed, as whoever wrote it may have died before that.
        """
        if not sidecar_of(path).exists():
            write_atomically(sidecar_of(path), record.to_sidecar().encode())
        flush_folder(self.folder)
        return SavedPicture(path, sidecar_of(path), record, reused=True)

    def _look_up(self, stem: str, digest: str) -> tuple[int, list[Path]]:
        """Return the first free number, and the files below it with this digest."""
        with self._lock:
            if len(self._namesakes) > _MAX_CACHED_STEMS:
                self._namesakes.clear()
            if not _is_taken(self.folder / numbered_name(stem, 1)):  # new, or removed
                self._namesakes.pop(stem, None)
            known = self._namesakes.setdefault(stem, _Namesakes())
            path = self.folder / numbered_name(stem, known.next_number)
            while _is_taken(path):
                # Torn, or another program's: taken as well.
                with suppress(StorageError):
                    known.paths.setdefault(load_record(path).decides(), []).append(path)
                known.next_number += 1
                path = self.folder / numbered_name(stem, known.next_number)
            return known.next_number, list(known.paths.get(digest, ()))


def save_sheet(first: Path, png: bytes) -> Path:
    """Write the contact sheet of pictures, of which `first` is one, and return its path.

    It is named after that picture, with the next free number. The same bytes again are
    the same file. Raises `StorageError` if it cannot be written.
    """
    folder, stem, number = first.parent, f"{first.stem}-sheet", 1
    with explain_folder_errors(folder), temporary_file(folder, png) as temporary:
        while True:
            path = folder / numbered_name(stem, number)
            with suppress(FileExistsError):
                move_to_new_name(temporary, path)
                break
            if path.is_file() and path.read_bytes() == png:
                break
            number += 1
        flush_folder(folder)
    return path


def rewrite_sidecar(saved: SavedPicture, record: Record) -> SavedPicture:
    """Write this record to the picture's sidecar. Raise `StorageError` if it fails.

    It survives a power cut once the folder is flushed.
    """
    with explain_folder_errors(saved.path.parent):
        write_atomically(saved.sidecar_path, record.to_sidecar().encode())
    return replace(saved, record=record)


def require_picture(saved: SavedPicture) -> None:
    """Raise `PictureDeletedError` if the PNG is gone.

    A sidecar of it goes too: it was made when the PNG was still there.
    """
    if saved.path.exists():
        return
    found = load_sidecar(saved.sidecar_path)
    if found and found.id == saved.record.id:
        saved.sidecar_path.unlink(missing_ok=True)
    raise PictureDeletedError(f"{saved.path.name} was deleted meanwhile")


def read_sidecar(path: Path | str) -> str:
    """Return the text of a sidecar.

    Raise `StorageError` for one longer than any that is written here, and what opening
    and decoding it raise.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read(_MAX_SIDECAR_CHARS + 1)
    if len(text) > _MAX_SIDECAR_CHARS:
        raise StorageError(f"{path} is too long for a picture's record")
    return text


def load_sidecar(path: Path) -> Record | None:
    """Return the record of a sidecar, or None if it is missing or torn."""
    try:
        return Record.from_sidecar(read_sidecar(path))
    except (OSError, UnicodeDecodeError, StorageError):
        return None


def load_record(path: Path | str) -> Record:
    """Return the record of a picture, given its PNG or its sidecar.

    It comes from the sidecar, or from inside the PNG if the sidecar is missing or torn.
    Raises `StorageError` if neither can be read.
    """
    path = Path(path)
    sidecar = path if path.suffix == ".json" else sidecar_of(path)
    return load_sidecar(sidecar) or load_png_record(sidecar.with_suffix(""))


def load_png_record(path: Path) -> Record:
    """Return the record inside a whole PNG, completed with the facts of the file.

    Raises `StorageError` if the file is missing, torn, or was not drawn by imagen_nb.
    """
    data, text = read_png(path)
    signed = SIGNED if has_credentials(data) else None
    record = Record.from_sidecar(text).model_copy(
        update={"content_credentials": signed}
    )
    return _with_file_facts(record, data, _day_of(path, record), path)


def _with_file_facts(
    record: Record, png: bytes, day: datetime.date, path: Path
) -> Record:
    facts = {
        "storage_path": storage_path_of(day, path.stem),
        "sha256": hashlib.sha256(png).hexdigest(),
        "bytes": len(png),
    }
    return record.model_copy(update=facts)


def _is_taken(path: Path) -> bool:
    return path.exists() or sidecar_of(path).exists()


def _day_of(path: Path, record: Record) -> datetime.date:
    try:
        return datetime.date.fromisoformat(path.name[:10])
    except ValueError:
        return record.created_at.astimezone().date()
