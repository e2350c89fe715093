"""Find the pictures that people point at, by an id, a row, a file or a frame."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import ValidationError

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.cloud.picture_cache import CloudPicture, fetch_picture
from imagen_nb.errors import BackendError, CloudError, StorageError, UsageError
from imagen_nb.frames.query import is_uuid
from imagen_nb.frames.schema import parse_sidecar, plain_value, require_columns
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.output import load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import IMAGES_COLUMNS, Record, short_id
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    PictureRef = Picture | Record | UUID | str | Path | pd.Series[Any]

_ID_PREFIX = re.compile(r"[0-9a-fA-F-]{8,36}")
_MATCHES_TO_FETCH = 2  # enough to know that a prefix is ambiguous


@dataclass(frozen=True, slots=True)
class Original:
    """A picture as it was drawn. `path`: its file, if it is known on this machine."""

    record: Record
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Finds pictures in a session's catalogs and in its Supabase, if it has one.

    Attributes:
        catalogs: returns the session's catalogs, once all pictures are written.
        connect: returns the client to read from the cloud; None without a Supabase.
    """

    catalogs: Callable[[], list[Catalog]]
    connect: Callable[[], Cloud | None]

    def reader(self, cloud: bool | None = None) -> Cloud | None:
        """Return the client to look pictures up with; None if `cloud` is False."""
        return None if cloud is False else self.connect()

    def original(self, picture: PictureRef, cloud: bool | None = None) -> Original:
        """Find one picture's record and, if it is on this machine, its file.

        `picture` and errors are those of `find_original`.
        """
        return find_original(picture, self.catalogs(), self.reader(cloud))

    def ids(self, pictures: Any) -> list[str]:
        """Return the ids, each once, of pictures in any form that `Studio.tag` takes."""
        ids = ids_of(pictures, self.catalogs(), self.reader())
        return [*dict.fromkeys(ids)]

    def tags_of(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the tags, by id, of those pictures that are on this machine."""
        requested = [*ids]
        entries = (catalog.get(id) for catalog in self.catalogs() for id in requested)
        return {str(entry.record.id): entry.record.tags for entry in entries if entry}


def is_picture(value: Any) -> bool:
    """Whether this names a recorded picture, rather than an image's file or pixels."""
    if isinstance(value, str):
        return _ID_PREFIX.fullmatch(value) is not None and not Path(value).exists()
    if isinstance(value, (Picture, Record, UUID)):
        return True
    return is_frame(value) or _is_row(value)


def find_original(
    picture: PictureRef, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> Original:
    """Find the record and, if possible, the file of one picture.

    Args:
        picture: a Picture, a Record, an id (or its first 8 digits or more), a PNG or
            sidecar, or a row of a history. A PNG is enough by itself: its record is
            inside.
        catalogs: where ids are looked up first.
        cloud: where ids are looked up then; None to leave it out.

    Raises:
        UsageError: for what is no picture, or cannot be found.
        StorageError: for a file without a record.
        CloudError: when the cloud cannot be read.
    """
    if isinstance(picture, Picture):
        return Original(picture.record, picture.path)
    if isinstance(picture, Record):
        known = _find_in_catalogs([picture.id, picture.id], catalogs)
        return Original(picture, known.path if known else None)
    if isinstance(picture, UUID):
        return _find_by_id(str(picture), catalogs, cloud)
    if isinstance(picture, str) and _ID_PREFIX.fullmatch(picture):
        return _find_by_id(picture, catalogs, cloud)
    if isinstance(picture, (str, Path)):
        return _original_in_file(absolute_path(picture))
    if is_frame(picture):
        raise UsageError(
            "expected one picture, not a DataFrame: give one row, e.g. df.iloc[0]"
        )
    if _is_row(picture):
        return _original_of_row(picture, catalogs, cloud)
    raise UsageError(
        "expected a picture: an id, a row of `im.history()`, a PNG, a sidecar or a"
        f" Picture, not {type(picture).__name__}"
    )


def ids_of(
    pictures: Any, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> list[str]:
    """Return the ids of one picture, of a frame of them, or of any number of these.

    Other arguments and errors are those of `find_original`.
    """
    if is_frame(pictures):
        require_columns(pictures, "id")
        return [*map(str, pictures["id"])]
    if isinstance(pictures, Picture):
        entry = pictures.catalog_entry()
        return [str((entry or pictures).record.id)]
    if isinstance(pictures, Record):
        return [str(pictures.id)]
    if _is_row(pictures):
        return [str(pictures["id"])]
    if isinstance(pictures, UUID) or is_whole_id(pictures):
        return [str(pictures).lower()]
    if isinstance(pictures, Iterable) and not isinstance(pictures, (str, Path)):
        return [id for one in pictures for id in ids_of(one, catalogs, cloud)]
    return [str(find_original(pictures, catalogs, cloud).record.id)]


def require_in_cloud(ids: Sequence[str], cloud: Cloud | None) -> None:
    """Raise UsageError if one is not in the cloud; one out of reach is asked later."""
    if cloud is None:
        raise UsageError(f"there is no picture {ids[0]} in this machine's catalog")
    try:
        missing = set(ids) - set(cloud.paths(ids))
    except UnreachableError:
        return
    if missing:
        raise UsageError(f"there is no picture {min(missing)}, here or in the cloud")


def load_original_file(original: Original, cloud: Cloud | None) -> bytes:
    """Return the picture's PNG, from this machine or else from the cloud.

    Raises `BackendError` if it is in neither.
    """
    for data in _unchanged_files(original, cloud):
        return data
    raise BackendError(
        f"the file of the picture {short_id(original.record.id)} is nowhere to be had"
    )


def has_same_pixels(
    original: Original, image: Image, cloud: Cloud | None
) -> bool | None:
    """Whether an image (RGB) has the original's pixels; None if its file is gone."""
    before = _load_pixels(original, cloud)
    if before is None:
        return None
    return before.size == image.size and before.tobytes() == image.tobytes()


def is_frame(value: Any) -> bool:
    """Return whether this is a DataFrame; imports no pandas."""
    return hasattr(value, "columns")


def _is_row(value: Any) -> bool:
    if isinstance(value, Sequence):  # such as text or bytes, which have `index` too
        return False
    return hasattr(value, "index") and "id" in value


def is_whole_id(value: Any) -> bool:
    """Return whether this is the text of an id, all of it."""
    return isinstance(value, str) and len(value) == 36 and is_uuid(value)


def _original_in_file(path: Path) -> Original:
    if not path.suffix:
        raise UsageError(f"{path.name} is neither an id of 8 digits or more nor a file")
    picture = path.with_suffix("") if path.suffix == ".json" else path
    return Original(load_record(path), picture if picture.exists() else None)


def _find_by_id(
    prefix: str, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> Original:
    bounds = _id_bounds(prefix)
    original = _find_in_catalogs(bounds, catalogs)
    if original is None and cloud:
        original = _find_in_cloud(bounds, cloud)
    if original is None:
        searched = "in this machine's catalog" + (" or the cloud" if cloud else "")
        raise UsageError(f"there is no picture {prefix} {searched}")
    return original


def _id_bounds(prefix: str) -> list[UUID]:
    """Return the lowest and the highest id that begin with these digits."""
    digits = prefix.replace("-", "")
    if len(digits) < 8 or len(digits) > 32:
        raise UsageError(
            f"an id has 32 digits, of which 8 or more must be given, not {prefix!r}"
        )
    return [UUID(digits.ljust(32, fill)) for fill in "0f"]


def _single_match(matches: Sequence[Original]) -> Original | None:
    if len({one.record.id for one in matches}) > 1:
        raise UsageError(
            "several pictures have ids that begin like this: give more digits"
        )
    return matches[0] if matches else None


def _find_in_catalogs(
    bounds: Sequence[UUID], catalogs: Iterable[Catalog]
) -> Original | None:
    entries: list[CatalogEntry] = []
    for catalog in catalogs:
        if catalog.has_any():
            values = (str(bounds[0]), str(bounds[1]), _MATCHES_TO_FETCH)
            entries += catalog.select("WHERE id >= ? AND id <= ? LIMIT ?", *values)
    return _single_match([Original(entry.record, entry.path) for entry in entries])


def _find_in_cloud(bounds: Sequence[UUID], cloud: Cloud) -> Original | None:
    owner, _ = cloud.owner()
    low, high = bounds
    filters = [
        ("owner_user_id", f"eq.{owner}"),
        ("id", f"gte.{low}"),
        ("id", f"lte.{high}"),
        ("limit", str(_MATCHES_TO_FETCH)),
    ]
    rows = cloud.rows(filters, "id,sidecar")
    records = [_record_of_cloud_row(row["sidecar"], row["id"]) for row in rows]
    return _single_match([Original(record) for record in records])


def _record_of_cloud_row(sidecar: object, id: str) -> Record:
    try:
        return Record.model_validate(sidecar)
    except ValidationError:
        raise UsageError(
            f"the row {id} in the cloud has no record of imagen_nb in `sidecar`:"
            " another program wrote it"
        ) from None


def _original_of_row(
    row: Any, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> Original:
    """Find a row's picture by its sidecar or its id; else take what its columns say."""
    path = row.get("local_path")
    file = Path(path) if isinstance(path, str) and Path(path).exists() else None
    recorded = parse_sidecar(row.get("sidecar"))
    if recorded:
        return Original(_record_of_cloud_row(recorded, row["id"]), file)
    try:
        original = _find_by_id(str(row["id"]), catalogs, cloud)
    except UsageError:
        record = load_record(file) if file else _record_of_columns(row)
        return Original(record, file)
    return Original(original.record, original.path or file)


def _record_of_columns(row: Any) -> Record:
    names = [
        name
        for name in IMAGES_COLUMNS
        if name in row.index and name in Record.model_fields
    ]
    values = {name: plain_value(row[name]) for name in names}
    known = {name: value for name, value in values.items() if value is not None}
    try:
        # Records may be without steps, but only those of other programs are.
        return Record.model_validate({"steps": "", **known})
    except ValidationError as error:
        missing = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise UsageError(
            f"the picture {row['id']} is known nowhere, and its row does not say:"
            f" {missing}"
        ) from None


def _load_pixels(original: Original, cloud: Cloud | None) -> Image | None:
    from PIL import Image

    for data in _unchanged_files(original, cloud):
        with suppress(*image_read_errors()), Image.open(io.BytesIO(data)) as file:
            return file.convert("RGB")
    return None


def _unchanged_files(original: Original, cloud: Cloud | None) -> Iterator[bytes]:
    """Give the files that are still as recorded: this machine's, then the cloud's."""
    for data in _available_files(original, cloud):
        if original.record.sha256 in (None, hashlib.sha256(data).hexdigest()):
            yield data


def _available_files(original: Original, cloud: Cloud | None) -> Iterator[bytes]:
    record = original.record
    if original.path:
        with suppress(OSError):
            yield original.path.read_bytes()
    if cloud and record.storage_path:
        row = CloudPicture(
            str(record.id), record.storage_path, record.sha256, record.bytes
        )
        with suppress(CloudError, StorageError):
            yield fetch_picture(cloud, row)
