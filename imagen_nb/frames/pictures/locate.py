"""Where the pictures of a frame are (here, cached, in the cloud), and their files."""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from PIL import Image

from imagen_nb.cloud import picture_cache
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectMissingError
from imagen_nb.cloud.filters import url_chunks
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import ImagenError, StorageError, UsageError
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.schema import parse_sidecar, require_columns, text_or_empty
from imagen_nb.request.images import MAX_INPUT_PIXELS
from imagen_nb.system.terminal import print_notice
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    import pandas as pd

_PICTURE_FORMATS = ("PNG", "JPEG", "WEBP")  # what the bucket takes
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_WHOLE_BYTES = re.compile(r"(\d{1,15})(\.0)?")
NO_ROW = "the cloud has no row of it"
_LOCATION_COLUMNS = "id,storage_path,sha256:sidecar->>sha256,bytes:sidecar->>bytes"


@dataclass(frozen=True, slots=True)
class PictureLocation:
    """Where a row says that its picture is.

    Attributes:
        picture: the object in the cloud, as the row describes it.
        local: its file, if that is on this machine.
        state: what the frame says of the cloud (column `cloud`), "" if it says nothing.
        lookup_error: why the cloud's own row of it cannot be had.
    """

    picture: CloudPicture
    local: Path | None = None
    state: str = ""
    lookup_error: str | None = None

    @property
    def not_in_cloud(self) -> str | None:
        """Why the cloud need not be asked for the picture; None if it must be.

        What is not synced has no path of its own yet: another picture may lie at the
        one that the row names.
        """
        if not self.picture.storage_path:
            return "its row has no storage_path"
        if self.state not in ("", "synced"):
            return f"not in the cloud when this frame was read ({self.state})"
        return None


def locate_pictures(frame: pd.DataFrame) -> list[PictureLocation]:
    """Return the location of each row's picture; asks nobody.

    Raises:
        UsageError: if the frame lacks `id`, `storage_path` or `local_path`.
    """
    require_columns(frame, "id", "storage_path", "local_path")
    names = ("id", "storage_path", "local_path", "cloud", "sidecar")
    nothing = [None] * len(frame)
    columns = [frame[name] if name in frame.columns else nothing for name in names]
    return [_location_of_row(*values) for values in zip(*columns, strict=True)]


def _location_of_row(
    id: object, path: object, local: object, state: object, sidecar: object
) -> PictureLocation:
    record = parse_sidecar(sidecar) or {}
    facts = _hash_and_size(record.get("sha256"), record.get("bytes"))
    picture = CloudPicture(text_or_empty(id), text_or_empty(path), *facts)
    local_path = _existing_file(text_or_empty(local))
    return PictureLocation(picture, local_path, text_or_empty(state))


def _existing_file(path: str) -> Path | None:
    with suppress(OSError, ValueError):  # ValueError: the text cannot be a path
        if path and Path(path).is_file():
            return Path(path)
    return None


def _hash_and_size(sha256: object, size: object) -> tuple[str | None, int | None]:
    """Return the hash and the number of bytes; None for what is none."""
    hex = text_or_empty(sha256).lower()
    number = _WHOLE_BYTES.fullmatch(str(size))
    return (
        hex if _SHA256_HEX.fullmatch(hex) else None,
        int(number[1]) if number else None,
    )


def position_of(frame: pd.DataFrame, picture: int | str | UUID) -> int:
    """Return the row number (0 is the first) of a picture.

    Args:
        frame: any frame with the column `id`, or without it for a position.
        picture: its id, or its position as `iloc` takes it, so that -1 is the last.

    Raises:
        UsageError: if the frame has no such picture.
    """
    if isinstance(picture, str | UUID):
        require_columns(frame, "id")
        for position, id in enumerate(frame["id"]):
            if str(id) == str(picture):
                return position
        raise UsageError(f"no picture of this frame has the id {str(picture)!r}")
    try:
        position = operator.index(picture)
    except TypeError:
        raise UsageError(
            f"a picture is named by its position or its id, not {picture!r}"
        ) from None
    if not -len(frame) <= position < len(frame):
        raise UsageError(
            f"this frame has {len(frame)} pictures: there is none at {position}"
        )
    return position % len(frame)


def open_picture(
    frame: pd.DataFrame, picture: int | str | UUID, cloud: Cloud | None
) -> Image.Image:
    """Return one picture, by position or id, as `Accessor.open` documents."""
    row = frame.iloc[[position_of(frame, picture)]]
    (location,) = complete_from_cloud(locate_pictures(row), cloud)
    return load_image(location, cloud)


def load_image(location: PictureLocation, cloud: Cloud | None) -> Image.Image:
    """Return the picture, decoded.

    Raises:
        ImagenError: as `load_picture_file`.
        StorageError: if the file is torn, too large to be unpacked, or no picture.
    """
    data = load_picture_file(location, cloud)
    try:
        with warnings.catch_warnings():
            # Too many pixels are refused below; torn EXIF is none.
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(data), formats=_PICTURE_FORMATS)
            if image.width * image.height > MAX_INPUT_PIXELS:
                raise ValueError("too large")
            image.load()
    except image_read_errors():
        name = location.local or location.picture.storage_path
        raise StorageError(f"{name} is torn, or no picture") from None
    return image


def load_picture_file(
    location: PictureLocation,
    cloud: Cloud | None,
    fetch: Callable[[Cloud, CloudPicture], bytes] = picture_cache.fetch_picture,
) -> bytes:
    """Return the picture's file: from this machine, the cache, or the cloud.

    Args:
        location: as `complete_from_cloud` gives it, or the file is not checked against
            the hash of its row.
        cloud: the client; None if none is configured.
        fetch: loads the file from the cloud; by default into the cache.

    Raises:
        ImagenError: if the file cannot be had, or is not the one that its row
            describes.
    """
    if location.local:
        try:
            return location.local.read_bytes()
        except OSError as error:
            reason = error.strerror
            raise StorageError(f"cannot read {location.local}: {reason}") from None
    if location.not_in_cloud:
        raise ObjectMissingError(f"not on this machine, and {location.not_in_cloud}")
    data = picture_cache.cached_picture(location.picture)
    if data is not None:
        return data
    if cloud is None or location.lookup_error:
        reason = location.lookup_error or NOT_CONFIGURED
        raise ObjectMissingError(f"not on this machine, and {reason}")
    return fetch(cloud, location.picture)


def complete_from_cloud(
    locations: Sequence[PictureLocation], cloud: Cloud | None
) -> list[PictureLocation]:
    """Return the locations with the hash, size and path of the cloud's own rows.

    Only where the frame lacks the hash and the picture is not on this machine; the
    cloud is asked for many rows at once. What it answers instead is in `lookup_error`.
    """
    lacking = {
        location.picture.id for location in locations if _needs_cloud_row(location)
    }
    if not lacking or cloud is None:
        return [*locations]
    rows, errors = _load_location_rows(
        cloud, sorted(filter(_is_canonical_uuid, lacking))
    )
    unknown = sum(not row["sha256"] for row in rows.values())
    if unknown:
        print_notice(
            f"pictures without a sha256 in their rows, taken unchecked: {unknown}"
        )
    return [
        _completed_location(location, rows, errors)
        if location.picture.id in lacking
        else location
        for location in locations
    ]


def _needs_cloud_row(location: PictureLocation) -> bool:
    is_known = location.local or location.not_in_cloud or location.picture.sha256
    return not is_known


def _completed_location(
    location: PictureLocation,
    rows: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, str],
) -> PictureLocation:
    id = location.picture.id
    if id not in rows:
        error = errors.get(id, NO_ROW)
        return replace(location, lookup_error=error)
    row = rows[id]
    facts = _hash_and_size(row["sha256"], row["bytes"])
    picture = CloudPicture(id, text_or_empty(row["storage_path"]), *facts)
    return replace(location, picture=picture)


def _is_canonical_uuid(id: str) -> bool:
    with suppress(ValueError):
        return str(UUID(id)) == id
    return False


def _load_location_rows(
    cloud: Cloud, ids: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the cloud's rows by id, and by id why a row could not be asked for."""
    chunks = url_chunks(ids)
    rows: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    answers = map_in_threads(
        chunks, lambda chunk: cloud.rows_by_id(chunk, _LOCATION_COLUMNS)
    )
    for chunk, answer in zip(chunks, answers, strict=True):
        if isinstance(answer, ImagenError):
            errors |= dict.fromkeys(chunk, str(answer))
        else:
            rows |= answer
    return rows, errors
