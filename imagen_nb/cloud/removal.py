"""Removes deleted pictures from the cloud: each one's object first, then its row.

So what is left of an interrupted removal is still in the history, and can be removed
again. The claim of its path stays: no other picture ever comes under the address of a
deleted one, and a restored picture goes back to its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from imagen_nb.cloud.claims import is_id_claimed_by
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RefusedError, decoding
from imagen_nb.cloud.filters import in_filter, url_chunks
from imagen_nb.cloud.vectors import forget_sent_vectors
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Lease, Outbox
from imagen_nb.storage.removals import QueuedRemoval, load_removals

_REMOVED_AT_ONCE = 25  # whose ids and paths are in one address
MIGRATION = "imagen_delete"  # of sql/, which lets users remove what is theirs


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """How many pictures left the cloud; the ids of those that stay, each with why."""

    removed: int = 0
    refused: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: RemovalReport) -> RemovalReport:
        return RemovalReport(self.removed + other.removed, self.refused + other.refused)


def push_removals(
    catalog: Catalog, cloud: Cloud, *, refused_too: bool = True
) -> RemovalReport:
    """Remove from the cloud what was deleted here, as far as it is due.

    What is refused stays queued with the reason. Raise CloudError where the cloud
    cannot be reached; what is not removed then stays queued.

    Args:
        catalog: whose queue.
        cloud: where from.
        refused_too: try again what was refused before.
    """
    report = RemovalReport()
    if not load_removals(catalog):
        return report
    with Outbox(catalog).lease() as lease:
        queued = lease.claim_removals(refused_too=refused_too)
        for chunk in url_chunks(queued, _REMOVED_AT_ONCE):
            report += _remove_chunk(chunk, catalog, cloud, lease)
    return report


def _remove_chunk(
    chunk: Sequence[QueuedRemoval], catalog: Catalog, cloud: Cloud, lease: Lease
) -> RemovalReport:
    _, folder = cloud.owner()
    paths = _paths_to_remove(chunk, cloud)
    foreign = {
        id: path
        for id, own in paths.items()
        for path in own
        if not path.startswith(folder)
    }
    report = RemovalReport()
    for id, path in foreign.items():
        reason = f"{path} was uploaded with a secret key, which has to remove it"
        lease.refuse_removals([id], reason)
        report += RemovalReport(refused=((id, reason),))
    ids = [id for id in paths if id not in foreign]
    forget_sent_vectors(catalog, ids)  # first: this may be interrupted, and they go too
    try:
        _remove_objects([path for id in ids for path in paths[id]], cloud)
        _delete_rows(ids, cloud)
    except RefusedError as error:
        lease.refuse_removals(ids, str(error))
        return report + RemovalReport(refused=tuple((id, str(error)) for id in ids))
    forget_sent_vectors(catalog, ids)  # again: some may have been on their way
    lease.finish_removals(ids)
    return report + RemovalReport(len(ids))


def _paths_to_remove(
    chunk: Sequence[QueuedRemoval], cloud: Cloud
) -> dict[str, list[str]]:
    """Return by id the paths of the pictures' own objects: none for what is not there.

    A path is a picture's own if its row names it, or its claim: a row may lack after a
    crash. Not one that the row of another picture names as well.
    """
    owner, _ = cloud.owner()
    ids = [one.id for one in chunk]
    rows = cloud.rows_by_id(ids, "id,storage_path,owner_user_id")
    with decoding():
        named = {
            id: str(row["storage_path"])
            for id, row in rows.items()
            if row["owner_user_id"] == str(owner)
        }
    recorded = {one.id: one.storage_path for one in chunk if one.storage_path}
    candidates = sorted({*named.values(), *recorded.values()})
    claims = cloud.claims_of(candidates)
    of_others = [("id", f"not.{in_filter(ids)}")]
    shared = cloud.rows_by(
        "storage_path", candidates, "id,storage_path", "images", of_others
    )
    own: dict[str, list[str]] = {}
    for id in ids:
        paths = {named[id]} if id in named else set()
        path = recorded.get(id)
        if path in claims and is_id_claimed_by(UUID(id), claims[path], owner):
            paths.add(path)
        own[id] = sorted(paths - shared.keys())
    return own


def _remove_objects(paths: Sequence[str], cloud: Cloud) -> None:
    """Raise RefusedError if one is still there: Storage itself says nothing."""
    if not paths:
        return
    cloud.remove(paths)
    for path, url in cloud.signed_urls(paths).items():
        if url is not None:
            raise RefusedError(
                f"no right to remove {path}: run `imagen db migrate`", MIGRATION
            )


def _delete_rows(ids: Sequence[str], cloud: Cloud) -> None:
    """Raise RefusedError if one is still there: a policy itself says nothing."""
    if not ids:
        return
    owner, _ = cloud.owner()
    cloud.delete([("id", in_filter(ids)), ("owner_user_id", f"eq.{owner}")])
    left = cloud.rows_by_id(ids, "id,owner_user_id")
    with decoding():
        if any(row["owner_user_id"] == str(owner) for row in left.values()):
            raise RefusedError(
                "no right to remove rows: run `imagen db migrate`", MIGRATION
            )
