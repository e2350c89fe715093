"""Finds the pictures that people point at: by an id, a row, a file, a Picture, or a whole frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import ValidationError

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import Unreachable
from imagen_nb.errors import UsageError
from imagen_nb.frames.query import is_id
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import plain, sidecar
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.output import load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import IMAGES_COLUMNS, Record
from imagen_nb.storage.tags import TagChange, apply_tag_change, queue_tag_change
from imagen_nb.system.paths import absolute

if TYPE_CHECKING:
    import pandas as pd

    What = Picture | Record | UUID | str | Path | pd.Series[Any]

_PREFIX = re.compile(r"[0-9a-fA-F-]{8,36}")
_MANY = 2  # as many as tell that a prefix is not enough


@dataclass(frozen=True, slots=True)
class Original:
    """A picture as it was drawn. `path`: its file, where one is known on this machine."""

    record: Record
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Finds pictures in a session's catalogs and, where one is configured, in its Supabase.

    `catalogs()` gives the session's catalogs, `connect()` its client to read from, or None, and
    `tagged(catalog)` hears of tags that are queued.
    """

    catalogs: Callable[[], list[Catalog]]
    connect: Callable[[], Cloud | None]
    tagged: Callable[[Catalog], None]

    def reader(self, cloud: bool | None = None) -> Cloud | None:
        """The client to look pictures up with; cloud=False makes none."""
        return None if cloud is False else self.connect()

    def original(self, what: What, cloud: bool | None = None) -> Original:
        """Find one picture's record and, if it is on this machine, its file.

        Raises what the function `original` of this module does.
        """
        return original(what, self.catalogs(), self.reader(cloud))

    def ids(self, what: Any) -> list[str]:
        """The ids of the pictures, each once, in any form that `Studio.tag` takes."""
        return [*dict.fromkeys(ids_of(what, self.catalogs(), self.reader()))]

    def tags_of(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The tags of those of these pictures that are on this machine."""
        requested = [*ids]
        found = (catalog.get(id) for catalog in self.catalogs() for id in requested)
        return {str(entry.record.id): entry.record.tags for entry in found if entry}

    def retag(self, what: Any, wanted: TagChange) -> int:
        """Change the tags of pictures; how many these are. See the function `retag`."""
        catalogs = self.catalogs()
        count = retag(what, wanted, catalogs, self.reader())
        for catalog in catalogs:
            self.tagged(catalog)
        return count


def is_picture(what: Any) -> bool:
    """Whether this names a picture that is known, rather than an image's file or what is in one."""
    if isinstance(what, str):
        return _PREFIX.fullmatch(what) is not None and not Path(what).exists()
    return isinstance(what, (Picture, Record, UUID)) or (
        hasattr(what, "index") and "id" in what
    )


def original(what: What, catalogs: Sequence[Catalog], cloud: Cloud | None) -> Original:
    """The picture that is meant.

    An id (or its first 8 digits or more) is looked up in the catalogs, then in the cloud. A PNG is
    enough by itself: its record is inside.

    Raises `UsageError` for what is no picture or is nowhere, `StorageError` for a file without a
    record, and `CloudError`.
    """
    if isinstance(what, Picture):
        return Original(what.record, what.path)
    if isinstance(what, Record):
        known = _here([what.id, what.id], catalogs)
        return Original(what, known.path if known else None)
    if isinstance(what, UUID):
        return _by_id(str(what), catalogs, cloud)
    if isinstance(what, str) and _PREFIX.fullmatch(what):
        return _by_id(what, catalogs, cloud)
    if isinstance(what, (str, Path)):
        return _in_file(absolute(what))
    if hasattr(what, "index") and "id" in what:
        return _in_row(what, catalogs, cloud)
    raise UsageError(
        "expected a picture: an id, a row of `im.history()`, a PNG, a sidecar or a Picture,"
        f" not {type(what).__name__}"
    )


def ids_of(what: Any, catalogs: Sequence[Catalog], cloud: Cloud | None) -> list[str]:
    """The ids of all pictures that are meant: one, a frame of them, or any number of these.

    Raises what `original` does.
    """
    if hasattr(what, "columns"):  # a DataFrame
        require(what, "id")
        return [*map(str, what["id"])]
    if isinstance(what, (Picture, Record)):
        return [str(what.record.id if isinstance(what, Picture) else what.id)]
    if hasattr(what, "index") and not isinstance(
        what, (str, list, tuple, Sequence)
    ):  # a row
        return [str(what["id"])]
    if isinstance(what, UUID) or (
        isinstance(what, str) and len(what) == 36 and is_id(what)
    ):
        return [str(what).lower()]
    if isinstance(what, Iterable) and not isinstance(what, (str, Path)):
        return [id for one in what for id in ids_of(one, catalogs, cloud)]
    return [str(original(what, catalogs, cloud).record.id)]


def _in_file(path: Path) -> Original:
    if not path.suffix:
        raise UsageError(f"{path.name} is neither an id of 8 digits or more nor a file")
    picture = path.with_suffix("") if path.suffix == ".json" else path
    return Original(load_record(path), picture if picture.exists() else None)


def _by_id(text: str, catalogs: Sequence[Catalog], cloud: Cloud | None) -> Original:
    bounds = _bounds(text)
    found = _here(bounds, catalogs) or (_in_cloud(bounds, cloud) if cloud else None)
    if found is None:
        places = (
            "in this machine's catalog or the cloud"
            if cloud
            else "in this machine's catalog"
        )
        raise UsageError(f"there is no picture {text} {places}")
    return found


def _bounds(prefix: str) -> list[UUID]:
    """The lowest and the highest id that begins like this."""
    digits = prefix.replace("-", "")
    if len(digits) < 8 or len(digits) > 32:
        raise UsageError(
            f"an id has 32 digits, of which 8 or more must be given, not {prefix!r}"
        )
    return [UUID(digits.ljust(32, fill)) for fill in "0f"]


def _only(found: Sequence[Original]) -> Original | None:
    if len({one.record.id for one in found}) > 1:
        raise UsageError(
            "several pictures have ids that begin like this: give more digits"
        )
    return found[0] if found else None


def _here(bounds: Sequence[UUID], catalogs: Iterable[Catalog]) -> Original | None:
    entries: list[CatalogEntry] = []
    for catalog in catalogs:
        if catalog.path.exists():
            values = (str(bounds[0]), str(bounds[1]), _MANY)
            entries += catalog.select("WHERE id >= ? AND id <= ? LIMIT ?", *values)
    return _only([Original(entry.record, entry.path) for entry in entries])


def _in_cloud(bounds: Sequence[UUID], cloud: Cloud) -> Original | None:
    owner, _ = cloud.owner()
    low, high = bounds
    filters = [
        ("owner_user_id", f"eq.{owner}"),
        ("id", f"gte.{low}"),
        ("id", f"lte.{high}"),
    ]
    rows = cloud.rows([*filters, ("limit", str(_MANY))], "id,sidecar")
    return _only([Original(_record(row["sidecar"], row["id"])) for row in rows])


def _record(sidecar: object, id: str) -> Record:
    try:
        return Record.model_validate(sidecar)
    except ValidationError:
        raise UsageError(
            f"the row {id} in the cloud has no record of imagen_nb in `sidecar`: another program"
            " wrote it"
        ) from None


def _in_row(row: Any, catalogs: Sequence[Catalog], cloud: Cloud | None) -> Original:
    """A row by its own record, or by its id; where that is known nowhere, by its columns."""
    path = row.get("local_path")
    known = Path(path) if isinstance(path, str) and Path(path).exists() else None
    if told := sidecar(row.get("sidecar")):
        return Original(_record(told, row["id"]), known)
    try:
        found = _by_id(str(row["id"]), catalogs, cloud)
        return Original(found.record, found.path or known)
    except UsageError:
        if known:
            return Original(load_record(known), known)
        return Original(_of_columns(row))


def _of_columns(row: Any) -> Record:
    names = [
        name
        for name in IMAGES_COLUMNS
        if name in row.index and name in Record.model_fields
    ]
    values = {name: plain(row[name]) for name in names}
    try:
        return Record.model_validate({n: v for n, v in values.items() if v is not None})
    except ValidationError as error:
        lacking = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise UsageError(
            f"the picture {row['id']} is known nowhere, and its row does not say: {lacking}"
        ) from None


def retag(
    what: Any, wanted: TagChange, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> int:
    """Change the tags of these pictures: here at once, for the cloud into the queue; how many.

    Raises `UsageError` for what is no picture, and `StorageError`.
    """
    ids = dict.fromkeys(ids_of(what, catalogs, cloud))
    left = set(ids)
    for catalog in catalogs:
        left -= set(apply_tag_change(catalog, [id for id in ids if id in left], wanted))
    if left:  # of another machine
        _must_be_there(sorted(left), cloud)
        queue_tag_change(catalogs[0], left, wanted)
    return len(ids)


def _must_be_there(ids: Sequence[str], cloud: Cloud | None) -> None:
    """Raises `UsageError` for ids that are nowhere; a cloud out of reach is asked later."""
    if cloud is None:
        raise UsageError(f"there is no picture {ids[0]} in this machine's catalog")
    try:
        lacking = set(ids) - set(cloud.paths(ids))
    except Unreachable:
        return
    if lacking:
        raise UsageError(f"there is no picture {min(lacking)}, here or in the cloud")
