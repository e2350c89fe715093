"""Paths in the bucket: each is claimed by one picture before its file goes there.

A claim is a row of imagen.claims, whose key is the path. It stays its picture's, so that
whoever sends that picture again, on whichever machine, goes on with the same path.
"""

from __future__ import annotations

import posixpath
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from imagen_nb.cloud.client import Claim, Cloud
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.names import numbered_name

MAX_IDS = 4  # that one picture may have had, see `next_id`
_MAX_NAMESAKES = 1000  # pictures of other machines under the same names


@dataclass(frozen=True, slots=True)
class ClaimedPath:
    """A path that is this picture's, the `number`th of its name.

    `is_new`: nobody had claimed it, so this picture was not sent there before.
    """

    entry: CatalogEntry
    path: str
    number: int
    is_new: bool


def claim_paths(
    entries: Sequence[CatalogEntry], cloud: Cloud, first: int = 1
) -> dict[str, ClaimedPath]:
    """Claim a path for each picture, with one request for all; return them by id.

    Where another picture has the path the next number is claimed, again for all at once.
    Without those whose numbers up to 1000 are all taken.

    Args:
        entries: the pictures.
        cloud: whose bucket.
        first: the number to begin with.
    """
    owner, folder = cloud.owner()
    claimed: dict[str, ClaimedPath] = {}
    left = list(entries)
    for number in range(first, _MAX_NAMESAKES + 1):
        if not left:
            break
        paths = {str(entry.record.id): folder + _path(entry, number) for entry in left}
        claims = cloud.claim(
            [(paths[str(entry.record.id)], str(claimant_of(entry))) for entry in left]
        )
        for entry in left:
            id = str(entry.record.id)
            claim = claims.get(paths[id])
            if claim and is_claimed_by(entry, claim, owner):
                claimed[id] = ClaimedPath(entry, paths[id], number, claim.is_new)
        left = [entry for entry in left if str(entry.record.id) not in claimed]
    return claimed


def claimant_of(entry: CatalogEntry) -> UUID:
    """Return under which id a picture claims its path.

    Two machines may have drawn the picture of one job, each another file: their ids are
    the same, and neither file may take the other's place.
    """
    record = entry.record
    return uuid.uuid5(record.id, record.sha256 or "") if record.job else record.id


def is_claimed_by(entry: CatalogEntry, claim: Claim, owner: UUID) -> bool:
    """Return whether a claim is this picture's, perhaps under an earlier id."""
    if entry.record.job:
        return claim.owner == owner and claim.image_id == claimant_of(entry)
    return is_id_claimed_by(entry.record.id, claim, owner)


def unnamed_objects(entries: Sequence[CatalogEntry], cloud: Cloud) -> list[str]:
    """Return the paths that these pictures have claimed and that no row names.

    What lies there is theirs alone, and may be removed.
    """
    paths = {entry.record.storage_path or "": entry for entry in entries}
    if not paths:
        return []
    owner, _ = cloud.owner()
    claims = cloud.claims_of([*paths])
    own = [
        path
        for path, claim in claims.items()
        if path in paths and is_claimed_by(paths[path], claim, owner)
    ]
    named = cloud.rows_by("storage_path", own, "storage_path", "images")
    return [path for path in own if path not in named]


def is_id_claimed_by(id: UUID, claim: Claim, owner: UUID) -> bool:
    """Return whether a claim is of the picture with this id, or an earlier id of it."""
    earlier = [claim.image_id]
    for _ in range(MAX_IDS):
        earlier.append(next_id(owner, earlier[-1]))
    return claim.owner == owner and id in earlier


def next_id(owner: UUID, id: UUID) -> UUID:
    """Return the id for a picture whose id another picture has in the cloud.

    It follows from the owner and the old id: after a crash, and on another machine with
    a copy of the folder, it is the same.
    """
    return uuid.uuid5(owner, str(id))


def _path(entry: CatalogEntry, number: int) -> str:
    """<day>/<name>.png, whosever folder it was assigned to before."""
    storage_path = entry.record.storage_path or ""
    name, suffix = posixpath.splitext("/".join(storage_path.split("/")[-2:]))
    return numbered_name(name, number, suffix)
