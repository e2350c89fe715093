"""Deleting pictures in a session's folders and in its Supabase, and restoring them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.removal_rows import cancel_removals
from imagen_nb.storage.removals import MAX_DELAY, load_removals
from imagen_nb.storage.trash import (
    TrashedPicture,
    move_to_trash,
    queue_without_files,
    restore_from_trash,
    trashed_pictures,
)
from imagen_nb.storage.trash_moves import TRASH_DAYS
from imagen_nb.studio.lookup import ids_of, is_picture, is_whole_id, require_in_cloud
from imagen_nb.system.paths import absolute_path

_ID_DIGITS = re.compile(r"[0-9a-fA-F-]{8,36}")


def delete_pictures(
    what: Any, catalogs: Sequence[Catalog], cloud: Cloud | None, cloud_after: float
) -> int:
    """Delete pictures; as `Library.delete`, which says more."""
    if not 0 <= cloud_after <= MAX_DELAY.total_seconds():
        raise UsageError(
            f"cloud_after must be 0 to {MAX_DELAY.total_seconds():.0f} seconds,"
            f" not {cloud_after}"
        )
    ids = ids_to_delete(what, catalogs, cloud)
    known = _ids_here(catalogs, ids) | _deleted_ids(catalogs, ids)
    elsewhere = [id for id in ids if id not in known]
    if elsewhere:  # pictures of another machine
        require_in_cloud(elsewhere, cloud)
    deleted = {
        id for catalog in catalogs for id in move_to_trash(catalog, ids, cloud_after)
    }
    if elsewhere:
        queue_without_files(catalogs[0], elsewhere, cloud_after)
    return len(deleted) + len(elsewhere)


def restore_pictures(
    what: Any, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> int:
    """Restore pictures; as `Library.restore`, which says more."""
    ids = ids_to_restore(what, catalogs, cloud)
    known = _deleted_ids(catalogs, ids)
    known |= _ids_here(catalogs, ids)
    unknown = [id for id in ids if id not in known]
    if unknown:
        raise UsageError(_describe_not_in_trash(unknown[0]))
    restored: set[str] = set()
    for catalog in catalogs:
        restored.update(restore_from_trash(catalog, ids))
    for catalog in filter(Catalog.has_any, catalogs):  # of another machine
        queued = {one.id for one in load_removals(catalog)}
        waiting = [id for id in ids if id in queued and id not in restored]
        if waiting:
            with catalog.transaction(durable=True) as connection:
                cancel_removals(connection, waiting)
        restored.update(waiting)
    return len(restored)


def ids_to_delete(
    what: Any, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> list[str]:
    """Return the ids, each once; also of what was deleted already.

    Arguments and errors are those of `ids_of`.
    """
    found: dict[str, None] = {}
    for one in _each(what):
        try:
            found |= dict.fromkeys(ids_of(one, catalogs, cloud))
        except (UsageError, StorageError):
            deleted = _find_in_trash(one, catalogs)
            if deleted is None:
                raise
            found[deleted] = None
    return [*found]


def ids_to_restore(
    what: Any, catalogs: Sequence[Catalog], cloud: Cloud | None
) -> list[str]:
    """Return the ids, each once; also of what was restored already.

    Raises `UsageError` for what is not in the trash.
    """
    found: dict[str, None] = {}
    for one in _each(what):
        deleted = _find_in_trash(one, catalogs)
        if deleted is not None:
            found[deleted] = None
            continue
        try:
            found |= dict.fromkeys(ids_of(one, catalogs, cloud))
        except (UsageError, StorageError):
            if isinstance(one, (str, Path)):
                raise UsageError(_describe_not_in_trash(one)) from None
            raise
    return [*found]


def _describe_not_in_trash(what: str | Path) -> str:
    return (
        f"there is no picture {what} in the trash: pictures are kept there for"
        f" {TRASH_DAYS} days; `imagen restore` lists them"
    )


def _each(what: Any) -> Iterator[Any]:
    """Give what was given, or each of what is in a collection."""
    if isinstance(what, (str, Path)) or is_picture(what):
        yield what
    elif isinstance(what, Iterable):
        for one in what:
            yield from _each(one)
    else:
        yield what


def _ids_here(catalogs: Iterable[Catalog], ids: Sequence[str]) -> set[str]:
    existing = filter(Catalog.has_any, catalogs)
    return {str(one.record.id) for each in existing for one in each.get_many(ids)}


def _deleted_ids(catalogs: Iterable[Catalog], ids: Sequence[str]) -> set[str]:
    """Return those of these ids that were deleted already."""
    deleted: set[str] = set()
    for catalog in filter(Catalog.has_any, catalogs):
        deleted.update(one.id for one in trashed_pictures(catalog, ids))
        deleted.update(one.id for one in load_removals(catalog))
    return deleted.intersection(ids)


def _find_in_trash(what: Any, catalogs: Iterable[Catalog]) -> str | None:
    """Return the id of what an id's first digits, or a file's old path, names."""
    if not isinstance(what, (str, Path)) or is_whole_id(what):
        return None
    for catalog in filter(Catalog.has_any, catalogs):
        found = trashed_pictures(catalog)
        if isinstance(what, str) and _ID_DIGITS.fullmatch(what):
            ids = _ids_that_begin(what.lower(), catalog, found)
            if len(ids) > 1:
                raise UsageError(
                    "several pictures in the trash have ids that begin like this:"
                    " give more digits"
                )
            if ids:
                return ids.pop()
        path = absolute_path(what)
        name = path.name.removesuffix(".json")
        for one in found:
            if path.parent == catalog.folder and one.name == name:
                return one.id
    return None


def _ids_that_begin(
    prefix: str, catalog: Catalog, found: Sequence[TrashedPicture]
) -> set[str]:
    digits = prefix.replace("-", "")
    ids = {one.id for one in found} | {one.id for one in load_removals(catalog)}
    return {id for id in ids if id.replace("-", "").startswith(digits)}
