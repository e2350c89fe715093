"""Tags of pictures: written to sidecar and catalog at once, and queued for the cloud.

Ratings (`rating:1` to `rating:5`) are plain tags of which a picture has one at most; so
are `keeper` and `reject`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import checked_tags
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import next_queue_time, queue_unsent_tags
from imagen_nb.storage.output import SavedPicture, rewrite_sidecar
from imagen_nb.storage.record import Record, UnsentTag

RATINGS = tuple(f"rating:{stars}" for stars in range(1, 6))
KEEPER, REJECT = "keeper", "reject"
_EXCLUSIVE_GROUPS = (RATINGS, (KEEPER, REJECT))
_SIDECARS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags to add and tags to remove; no tag is in both."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def apply_to(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return the tags after the change; those that stay keep their order.

        Example:
            >>> TagChange(("sea",), ("draft",)).apply_to(["draft", "boat"])
            ('boat', 'sea')
        """
        staying = [tag for tag in tags if tag not in self.removed]
        return tuple(dict.fromkeys((*staying, *self.added)))


def make_tag_change(add: Iterable[str] = (), remove: Iterable[str] = ()) -> TagChange:
    """Return the change for tags that a user gave.

    Adding a rating removes the others, and `keeper` removes `reject`. Raises
    `UsageError` for invalid tags, contradictions, and no tags at all.
    """
    added, removed = checked_tags(add), checked_tags(remove)
    for tag in added:
        if tag.startswith("rating:") and tag not in RATINGS:
            raise UsageError(f"a rating is {RATINGS[0]} to {RATINGS[-1]}, not {tag}")
    for group in _EXCLUSIVE_GROUPS:
        chosen = [tag for tag in added if tag in group]
        if len(chosen) > 1:
            raise UsageError(f"only one of {', '.join(chosen)} can hold: choose")
        if chosen:
            removed += tuple(tag for tag in group if tag not in chosen)
    both = set(added) & set(removed)
    if both:
        raise UsageError(f"{', '.join(sorted(both))} cannot be both added and removed")
    if not added and not removed:
        raise UsageError("no tags: name some")
    return TagChange(added, tuple(dict.fromkeys(removed)))


def make_rating_change(stars: int | None) -> TagChange:
    """Return the change to this rating, 1 to 5; None removes any rating.

    Raises `UsageError` for other values.
    """
    if stars is None:
        return TagChange(removed=RATINGS)
    if isinstance(stars, bool) or stars not in range(1, 6):
        raise UsageError(f"a rating is 1 to 5, or None for none, not {stars!r}")
    return make_tag_change(add=[RATINGS[stars - 1]])


def list_known_tags(catalog: Catalog) -> list[str]:
    """Return every tag in the catalog, sorted; does not create a catalog."""
    if not catalog.has_any():
        return []
    query = "SELECT DISTINCT value FROM images, json_each(tags) ORDER BY 1"
    with catalog.connection() as connection:
        return [tag for (tag,) in connection.execute(query)]


def apply_tag_change(
    catalog: Catalog, ids: Sequence[str], change: TagChange
) -> list[str]:
    """Change tags of pictures: first in the queue, then sidecars, then the catalog.

    In this order, as what is interrupted is then sent to the cloud and comes back from
    there. Sidecars note what is queued, for the case that the catalog is lost.
    Pictures with the cloud switched off are not queued.

    Returns:
        The ids of those pictures that the catalog has.

    Raises:
        StorageError: if a sidecar cannot be written; the others are.
    """
    with catalog.sidecar_lock():
        entries = catalog.get_many(ids)
        files = [entry.saved() for entry in entries]
        shared = [
            str(saved.record.id)
            for entry, saved in zip(entries, files, strict=True)
            if entry.cloud_state != "off"
        ]
        marks = queue_tag_change(catalog, shared, change)
        changed = []
        for entry, saved in zip(entries, files, strict=True):
            tags, unsent = change.apply_to(saved.record.tags), saved.record.unsent_tags
            if entry.cloud_state != "off":
                unsent = _with_newer(unsent, marks)
            values = {"tags": tags, "unsent_tags": unsent}
            record = saved.record.model_copy(update=values)
            changed.append(_Retagged(saved, record, entry.cloud_state))
        _write_tags(catalog, changed)
    return [str(entry.record.id) for entry in entries]


def queue_tag_change(
    catalog: Catalog, ids: Iterable[str], change: TagChange
) -> list[UnsentTag]:
    """Queue a change for the cloud; return it tag by tag.

    For one tag of one picture, the last change counts. The pictures may be another
    machine's, and not in the catalog.
    """
    with catalog.transaction(durable=True) as connection:
        now = next_queue_time(connection, catalog.clock.now())
        marks = [UnsentTag(tag=tag, present=True, made_at=now) for tag in change.added]
        marks += [
            UnsentTag(tag=tag, present=False, made_at=now) for tag in change.removed
        ]
        queue_unsent_tags(connection, [(id, mark) for id in ids for mark in marks])
    return marks


def _with_newer(
    marks: Iterable[UnsentTag], newer: Iterable[UnsentTag]
) -> tuple[UnsentTag, ...]:
    by_tag = {mark.tag: mark for mark in (*marks, *newer)}
    return tuple(by_tag.values())


@dataclass(frozen=True, slots=True)
class _Retagged:
    """A picture and the record that it is to have."""

    saved: SavedPicture
    record: Record
    cloud_state: str


def _write_tags(catalog: Catalog, pictures: Iterable[_Retagged]) -> None:
    """Write records to sidecars, several at once as each waits for the disk, then here.

    The catalog's are written even where the sidecar had them already, as the catalog
    may lack what an interrupted call, or a copied file, brought. Raises the first error
    after all others are written.
    """
    writings: list[tuple[Future[SavedPicture], str]] = []
    with ThreadPoolExecutor(_SIDECARS_AT_ONCE) as pool:
        for picture in pictures:
            writings.append((pool.submit(_write_sidecar, picture), picture.cloud_state))
    catalog.add_many(
        [(one.result(), state) for one, state in writings if not one.exception()]
    )
    for one, _ in writings:
        one.result()  # raises what prevented it


def _write_sidecar(picture: _Retagged) -> SavedPicture:
    if picture.record == picture.saved.record:
        return picture.saved
    return rewrite_sidecar(picture.saved, picture.record)


def merge_cloud_tags(
    catalog: Catalog,
    tags: Mapping[str, tuple[str, ...]],
    sent: Mapping[str, Sequence[UnsentTag]],
) -> None:
    """Take over the cloud's tags, by id, with what is still to be sent applied to them.

    Tags keep their order here. Raises `StorageError` if a sidecar cannot be written.

    Args:
        catalog: whose pictures.
        tags: the tags of their rows.
        sent: the queued changes that these rows have; they leave the sidecars, and
            `remove_sent_tags` takes them off the queue.
    """
    with catalog.sidecar_lock():
        queued = load_queued_tags(catalog)
        pictures = []
        for entry in catalog.get_many(tags):
            id, saved = str(entry.record.id), entry.saved()
            left = [mark for mark in queued.get(id, ()) if mark not in sent[id]]
            merged = combine_queued_tags(left).apply_to(tags[id])
            gone = tuple(set(saved.record.tags) - set(merged))
            merged = TagChange(merged, gone).apply_to(saved.record.tags)
            values = {"tags": merged, "unsent_tags": tuple(left)}
            record = saved.record.model_copy(update=values)
            pictures.append(_Retagged(saved, record, entry.cloud_state))
        _write_tags(catalog, pictures)


def load_queued_tags(catalog: Catalog) -> dict[str, list[UnsentTag]]:
    """Return what waits for the cloud, by the id of the picture, the oldest first."""
    query = "SELECT id, tag, present, made_at FROM tag_changes ORDER BY 4"
    queued: dict[str, list[UnsentTag]] = {}
    with catalog.connection() as connection:
        for id, tag, present, made_at in connection.execute(query):
            one = UnsentTag(tag=tag, present=bool(present), made_at=made_at)
            queued.setdefault(id, []).append(one)
    return queued


def combine_queued_tags(queued: Iterable[UnsentTag]) -> TagChange:
    """Return the queued changes of one picture as one change."""
    changes = list(queued)
    return TagChange(
        added=tuple(one.tag for one in changes if one.present),
        removed=tuple(one.tag for one in changes if not one.present),
    )


def remove_sent_tags(catalog: Catalog, sent: Iterable[tuple[str, UnsentTag]]) -> None:
    """Remove these, each with its picture's id, from the queue: the cloud has them.

    One that was changed again meanwhile stays.
    """
    with catalog.connection() as connection:
        connection.executemany(
            "DELETE FROM tag_changes WHERE id = ? AND tag = ? AND made_at = ?",
            [(id, one.tag, one.made_at) for id, one in sent],
        )
