"""Where the pictures of a frame are, and their files: here, in the cache or in the cloud."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from PIL import Image

from imagen_nb.cloud import picture_cache as cache
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud, url_chunks
from imagen_nb.cloud.errors import ObjectMissingError
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import ImagenError, StorageError, UsageError
from imagen_nb.frames.pictures.parallel import each
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import sidecar, text
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("PNG", "JPEG", "WEBP")  # what the bucket takes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"(\d{1,15})(\.0)?")

_COLUMNS = "id,storage_path,sha256:sidecar->>sha256,bytes:sidecar->>bytes"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row says that its picture is.

    `local`: its file, if it is on this machine. `state`: what the frame says of the cloud, "" for
    nothing. `trouble`: why the cloud's own row of it cannot be had.
    """

    wanted: CloudPicture
    local: Path | None = None
    state: str = ""
    trouble: str | None = None

    @property
    def nowhere(self) -> str | None:
        """Why the cloud need not be asked for it; None when it must.

        What is not synced has no path of its own yet: another picture may lie at the one it names.
        """
        if not self.wanted.storage_path:
            return "its row has no storage_path"
        if self.state not in ("", "synced"):
            return f"not in the cloud when this frame was read ({self.state})"
        return None


def places(frame: pd.DataFrame) -> list[Place]:
    """One for each row. Raises `UsageError` when the frame lacks the columns."""
    require(frame, "id", "storage_path", "local_path")
    names = ("id", "storage_path", "local_path", "cloud", "sidecar")
    nothing = [None] * len(frame)
    columns = [frame[name] if name in frame.columns else nothing for name in names]
    return [_place(*values) for values in zip(*columns, strict=True)]


def _place(
    id: object, path: object, local: object, state: object, record: object
) -> Place:
    facts = sidecar(record) or {}
    wanted = CloudPicture(
        text(id), text(path), *_facts(facts.get("sha256"), facts.get("bytes"))
    )
    return Place(wanted, _file(text(local)), text(state))


def _file(named: str) -> Path | None:
    with suppress(OSError, ValueError):  # no path at all
        if named and (path := Path(named)).is_file():
            return path
    return None


def _facts(sha256: object, size: object) -> tuple[str | None, int | None]:
    """Hash and size, where they are ones."""
    known = text(sha256).lower()
    number = _SIZE.fullmatch(str(size))
    return known if _SHA256.fullmatch(known) else None, int(
        number[1]
    ) if number else None


def at(frame: pd.DataFrame, which: int | str | UUID) -> int:
    """The position of a picture, given that (as `iloc` takes it) or its id."""
    if isinstance(which, str | UUID):
        require(frame, "id")
        found = [place for place, id in enumerate(frame["id"]) if str(id) == str(which)]
        if not found:
            raise UsageError(f"no picture of this frame has the id {str(which)!r}")
        return found[0]
    try:
        position = operator.index(which)
    except TypeError:
        raise UsageError(
            f"a picture is named by its position or its id, not {which!r}"
        ) from None
    if not -len(frame) <= position < len(frame):
        raise UsageError(
            f"this frame has {len(frame)} pictures: there is none at {position}"
        )
    return position % len(frame)


def opened(
    frame: pd.DataFrame, which: int | str | UUID, cloud: Cloud | None
) -> Image.Image:
    """One picture of the frame, as `decoded`."""
    position = at(frame, which)
    (place,) = described(places(frame.iloc[[position]]), cloud)
    return decoded(place, cloud)


def decoded(place: Place, cloud: Cloud | None) -> Image.Image:
    """The picture. Raises `StorageError` when its file is torn, else as `content`."""
    data = content(place, cloud)
    try:
        image = Image.open(BytesIO(data), formats=_KINDS)
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        name = place.local or place.wanted.storage_path
        raise StorageError(f"{name} is torn, or no picture") from None
    return image


def content(
    place: Place,
    cloud: Cloud | None,
    fetch: Callable[[Cloud, CloudPicture], bytes] = cache.fetch_picture,
) -> bytes:
    """The picture's file: as it is on this machine, else from the cache, else from the cloud.

    Raises `ImagenError` when it cannot be had, or is not the one that its row describes.
    """
    if place.local:
        try:
            return place.local.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {place.local}: {error.strerror}") from None
    if place.nowhere:
        raise ObjectMissingError(f"not on this machine, and {place.nowhere}")
    if (data := cache.cached_picture(place.wanted)) is not None:
        return data
    if cloud is None or place.trouble:
        raise ObjectMissingError(
            f"not on this machine, and {place.trouble or NOT_CONFIGURED}"
        )
    return fetch(cloud, place.wanted)


def described(found: Sequence[Place], cloud: Cloud | None) -> list[Place]:
    """The same with hash, size and path of the cloud's rows where the frame lacks the hash.

    Asks for many at once, and not for what is on this machine.
    """
    lacking = {
        place.wanted.id
        for place in found
        if not (place.local or place.nowhere or place.wanted.sha256)
    }
    if not lacking or cloud is None:
        return [*found]
    told, trouble = _ask(cloud, sorted(filter(_is_id, lacking)))
    if unknown := sum(not row["sha256"] for row in told.values()):
        complain(f"pictures without a sha256 in their rows, taken unchecked: {unknown}")
    return [
        _completed(place, told, trouble) if place.wanted.id in lacking else place
        for place in found
    ]


def _completed(
    place: Place, told: Mapping[str, Mapping[str, Any]], trouble: Mapping[str, str]
) -> Place:
    id = place.wanted.id
    if id not in told:
        return replace(place, trouble=trouble.get(id, "the cloud has no row of it"))
    row = told[id]
    facts = _facts(row["sha256"], row["bytes"])
    return replace(place, wanted=CloudPicture(id, text(row["storage_path"]), *facts))


def _is_id(id: str) -> bool:
    with suppress(ValueError):
        return str(UUID(id)) == id
    return False


def _ask(
    cloud: Cloud, ids: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The rows by id; and by id why they could not be asked for."""
    chunks = url_chunks(ids)
    told: dict[str, dict[str, Any]] = {}
    trouble: dict[str, str] = {}
    answers = each(chunks, lambda chunk: cloud.rows_by_id(chunk, _COLUMNS))
    for chunk, rows in zip(chunks, answers, strict=True):
        if isinstance(rows, ImagenError):
            trouble |= dict.fromkeys(chunk, str(rows))
        else:
            told |= rows
    return told, trouble
