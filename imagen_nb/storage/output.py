"""The files of a picture: their names, the PNG with its metadata, and the sidecar beside it."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import threading
import unicodedata
import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.record import Record
from imagen_nb.system.atomic import (
    explained,
    flush_folder,
    move_new,
    sweep,
    temporary_name,
    write_whole,
    written,
)
from imagen_nb.system.faults import reach
from imagen_nb.system.paths import absolute

MAX_SLUG_CHARS = 40
_FOREIGN_SUFFIXES = {  # names that mean a file, and not one of ours
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".jxl", ".svg", ".tif", ".tiff",
    ".webp",
}  # fmt: skip
_MADE_BY_MODEL_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType=
"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
_PNG_READ_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    zlib.error,
    Image.DecompressionBombError,
)


def slug(prompt: str) -> str:
    """The prompt as a part of a file name: a-z, 0-9 and single dashes, at most 40 characters."""
    folded = (
        c for c in unicodedata.normalize("NFKD", prompt) if not unicodedata.combining(c)
    )
    dashed = re.sub(r"[^a-z0-9]+", "-", "".join(folded).lower()).strip("-")
    return dashed[:MAX_SLUG_CHARS].rstrip("-") or "untitled"


def stem_of(record: Record, day: datetime.date) -> str:
    """The name of a picture's file, before .png and before what tells namesakes apart."""
    seed = "unseeded" if record.seed is None else record.seed
    return f"{day.isoformat()}-{slug(record.prompt)}-{seed}"


def sidecar_of(path: Path) -> Path:
    """The sidecar beside a PNG."""
    return path.with_name(path.name + ".json")


def storage_path_of(day: datetime.date, stem: str) -> str:
    """Where the cloud keeps a file named `stem`: "<day>/<the rest of the name>.png"."""
    prefix = f"{day.isoformat()}-"
    name = stem.removeprefix(prefix) if stem.startswith(prefix) else slug(stem)
    return f"{day.isoformat()}/{name}.png"


def parse_destination(named: Path | str, pictures: int = 1) -> tuple[Path, str | None]:
    """The folder that `named` is, or that of the file it names and the file's name without .png.

    What is there as a folder is one, whatever its name. Raises `UsageError` for files of another
    kind than PNG, and for one file that should hold several pictures.
    """
    path = absolute(named)
    kind = path.suffix.lower()
    if os.path.isdir(path) or kind not in _FOREIGN_SUFFIXES | {".png"}:
        return path, None
    if kind != ".png":
        raise UsageError(
            f"pictures are PNG, {path.name} is not: name it {path.stem}.png, or give a folder"
        )
    if pictures > 1:
        raise UsageError(
            f"{path.name} names one picture, and these are {pictures}: give a folder"
        )
    return path.parent, path.stem


def encode_png(image: Image.Image, record: Record) -> bytes:
    """The PNG file, with the record, the common `parameters` text and "made by a model" in XMP."""
    info = PngInfo()
    for keyword, text in record.to_png_text().items():
        info.add_text(keyword, text)
    info.add_itxt("XML:com.adobe.xmp", _MADE_BY_MODEL_XMP)
    buffer = BytesIO()
    # Run-length matching: at level 1 it is both faster and smaller on pictures than the default.
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE, pnginfo=info)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """A picture on disk. `reused`: the very picture was there already, nothing was written."""

    path: Path
    sidecar_path: Path
    record: Record
    reused: bool = False


@dataclass(slots=True)
class _Namesakes:
    """The files whose names begin alike: what each shows, and the first number not looked at."""

    showing: dict[str, list[Path]] = field(default_factory=dict)
    next: int = 1


class PictureFiles:
    """A folder of pictures. A name once given is never written again, whoever else writes there.

    A file appears under its name only when it is whole and flushed: PNG first, sidecar second.
    """

    def __init__(self, folder: Path | str) -> None:
        """Clears temporary files of processes that died; creates nothing."""
        self.folder = absolute(folder)
        self._known: dict[
            str, _Namesakes
        ] = {}  # or each picture would read all its namesakes
        self._lock = threading.Lock()
        sweep(self.folder)

    def prepare(self) -> None:
        """Make the folder. Raises `StorageError` when it cannot be made or written to."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = temporary_name(self.folder)
            try:
                probe.touch(exist_ok=False)
            finally:
                probe.unlink(missing_ok=True)

    def keep(
        self,
        image: Image.Image,
        record: Record,
        day: datetime.date,
        stem: str | None = None,
    ) -> SavedPicture:
        """Write the picture and its sidecar under the next free name.

        The same picture again (all that decides the pixels, and the pixels) is the same file: what
        is there is returned. `stem` stands for "<day>-<slug>-<seed>" when given. Raises
        `StorageError`, with nothing left behind, when the folder is full or cannot be written.
        """
        stem = stem or stem_of(record, day)
        with explained(self.folder):
            _, same = self._search(stem, image, record)
            if same:
                return same
            png = encode_png(image, record)
            facts = {"sha256": hashlib.sha256(png).hexdigest(), "bytes": len(png)}
            self.folder.mkdir(parents=True, exist_ok=True)
            with written(self.folder, png) as temporary:
                reach("before-png")
                path = self._claim(stem, temporary, image, record)
                if isinstance(path, SavedPicture):
                    return path
                reach("after-png")
                facts["storage_path"] = storage_path_of(day, path.stem)
                return self._add_sidecar(path, record.model_copy(update=facts))

    def found(
        self, record: Record, day: datetime.date, stem: str | None = None
    ) -> SavedPicture | None:
        """The whole picture of this day that was drawn from what decides this one's pixels."""
        stem = stem or stem_of(record, day)
        with explained(self.folder):
            for path in self._look(stem, record.decides())[1]:
                with suppress(StorageError):  # removed since we looked
                    found, drawn = load_record(path), load_png_record(path)
                    if (
                        drawn.sha256 == found.sha256
                        and found.created_at.astimezone().date() == day
                    ):
                        return self._again(path, found)
        return None

    def _claim(
        self, stem: str, png: Path, image: Image.Image, record: Record
    ) -> Path | SavedPicture:
        """Give the file the first name that nobody has; or find the same picture, just kept."""
        number = 0
        while True:
            free, same = self._search(stem, image, record)
            if same:
                return same
            number = max(
                free, number + 1
            )  # a name can be taken and yet not be there to read
            path = self.folder / numbered_name(stem, number)
            if sidecar_of(path).exists() and not path.exists():
                continue  # left of a picture that was removed: not ours to replace
            with suppress(FileExistsError):
                move_new(png, path)
                return path

    def _add_sidecar(self, path: Path, record: Record) -> SavedPicture:
        sidecar = sidecar_of(path)
        try:
            write_whole(sidecar, record.to_sidecar().encode())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        reach("after-sidecar")
        flush_folder(self.folder)
        return SavedPicture(path, sidecar, record)

    def _search(
        self, stem: str, image: Image.Image, record: Record
    ) -> tuple[int, SavedPicture | None]:
        """The first number that seems free, and the file that holds this very picture, if any.

        A sidecar that a crash prevented is restored.
        """
        free, paths = self._look(stem, record.decides())
        for path in paths:
            if not _has_pixels_of(path, image):
                continue
            with suppress(StorageError):  # removed since we looked
                return free, self._again(path, load_record(path))
        return free, None

    def _again(self, path: Path, record: Record) -> SavedPicture:
        if not sidecar_of(path).exists():
            write_whole(sidecar_of(path), record.to_sidecar().encode())
        return SavedPicture(path, sidecar_of(path), record, reused=True)

    def _look(self, stem: str, showing: str) -> tuple[int, list[Path]]:
        """The first free number, and the files below it of which the records are as wanted."""
        with self._lock:
            if len(self._known) > 1000:
                self._known.clear()
            if not _is_taken(
                self.folder / numbered_name(stem, 1)
            ):  # new, or all were removed
                self._known.pop(stem, None)
            known = self._known.setdefault(stem, _Namesakes())
            while _is_taken(path := self.folder / numbered_name(stem, known.next)):
                with suppress(
                    StorageError
                ):  # torn or not ours: the name is taken all the same
                    known.showing.setdefault(load_record(path).decides(), []).append(
                        path
                    )
                known.next += 1
            return known.next, list(known.showing.get(showing, ()))


def save_sheet(folder: Path, stem: str, png: bytes) -> Path:
    """Write a page of pictures under the next free name; the same page again is the same file."""
    number = 1
    with explained(folder), written(folder, png) as temporary:
        while True:
            path = folder / numbered_name(stem, number)
            with suppress(FileExistsError):
                move_new(temporary, path)
                return path
            if path.is_file() and path.read_bytes() == png:
                return path
            number += 1


def rewrite_sidecar(kept: SavedPicture, record: Record) -> SavedPicture:
    """The same picture with this record in its sidecar. Raises `StorageError`."""
    with explained(kept.path.parent):
        write_whole(kept.sidecar_path, record.to_sidecar().encode())
    return replace(kept, record=record)


def load_record(path: Path | str) -> Record:
    """The record of a picture, given its PNG or its sidecar: from the sidecar if it is whole.

    Otherwise from the PNG's own chunk. Raises `StorageError` when neither can be read.
    """
    path = Path(path)
    sidecar = path if path.suffix == ".json" else sidecar_of(path)
    try:
        return Record.from_sidecar(sidecar.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StorageError):
        return load_png_record(sidecar.with_suffix(""))


def load_png_record(path: Path) -> Record:
    """The record inside a whole PNG of ours, completed with what is known of the file itself.

    Raises `StorageError` when the file is not there, torn, or not drawn by imagen_nb.
    """
    try:
        data = path.read_bytes()
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            image.load()
            text = image.info.get("imagen_nb")
    except _PNG_READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or "it is torn, or no PNG"
        raise StorageError(f"cannot read the picture {path}: {reason}") from error
    if not isinstance(text, str):
        raise StorageError(f"no record of imagen_nb in {path}: another program made it")
    record = Record.from_sidecar(text)
    facts = {
        "storage_path": storage_path_of(_day_of(path, record), path.stem),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }
    return record.model_copy(update=facts)


def numbered_name(stem: str, number: int) -> str:
    """The name of the `number`th file of this stem: x.png, x-2.png, x-3.png and so on."""
    return f"{stem}.png" if number == 1 else f"{stem}-{number}.png"


def _is_taken(path: Path) -> bool:
    return path.exists() or sidecar_of(path).exists()


def _has_pixels_of(path: Path, image: Image.Image) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as kept:
            same_shape = kept.size == image.size and kept.mode == image.mode
            return same_shape and kept.tobytes() == image.tobytes()
    except _PNG_READ_ERRORS:
        return False


def _day_of(path: Path, record: Record) -> datetime.date:
    try:
        return datetime.date.fromisoformat(path.name[:10])
    except ValueError:
        return record.created_at.astimezone().date()
