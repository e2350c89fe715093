"""Labels on pictures: kept beside each picture at once, and queued for its row in the cloud.

Ratings (`rating:1` to `rating:5`) are plain tags of which one at a time holds, as are `keeper` and
`reject`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import checked_tags
from imagen_nb.storage.catalog import Catalog, CatalogEntry, utc_text
from imagen_nb.storage.output import SavedPicture, rewrite_sidecar

RATINGS = tuple(f"rating:{stars}" for stars in range(1, 6))
KEEPER, REJECT = "keeper", "reject"
_SIDECARS_AT_ONCE = 8  # sidecars written at once
_EXCLUSIVE_GROUPS = (RATINGS, (KEEPER, REJECT))


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags to add and to take away; none is in both."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def applied(self, tags: Iterable[str]) -> tuple[str, ...]:
        """The tags after it, those that stay in their order."""
        kept = [tag for tag in tags if tag not in self.removed]
        return tuple(dict.fromkeys((*kept, *self.added)))


def make_tag_change(add: Iterable[str] = (), remove: Iterable[str] = ()) -> TagChange:
    """A change in the user's words. Raises `UsageError` for what is none."""
    added, removed = checked_tags(add), checked_tags(remove)
    for tag in added:
        if tag.startswith("rating:") and tag not in RATINGS:
            raise UsageError(f"a rating is {RATINGS[0]} to {RATINGS[-1]}, not {tag}")
    for group in _EXCLUSIVE_GROUPS:
        chosen = [tag for tag in added if tag in group]
        if len(chosen) > 1:
            raise UsageError(f"only one of {', '.join(chosen)} can hold: choose")
        removed += tuple(tag for tag in group if chosen and tag not in chosen)
    if both := set(added) & set(removed):
        raise UsageError(f"{', '.join(sorted(both))} cannot be both added and removed")
    if not added and not removed:
        raise UsageError("no tags: name some")
    return TagChange(added, tuple(dict.fromkeys(removed)))


def make_rating_change(stars: int | None) -> TagChange:
    """The change to this rating; None takes ratings away."""
    if stars is None:
        return TagChange(removed=RATINGS)
    if isinstance(stars, bool) or stars not in range(1, 6):
        raise UsageError(f"a rating is 1 to 5, or None for none, not {stars!r}")
    return make_tag_change(add=[RATINGS[stars - 1]])


def list_known_tags(catalog: Catalog) -> list[str]:
    """Every tag of a picture in the catalog, sorted; makes no catalog."""
    if not catalog.path.exists():
        return []
    with catalog.connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT value FROM images, json_each(tags) ORDER BY 1"
        )
        return [tag for (tag,) in rows]


def apply_tag_change(
    catalog: Catalog, ids: Sequence[str], wanted: TagChange
) -> list[str]:
    """Change these pictures of a catalog: first queued, then sidecars, then the catalog.

    Gives the ids of those that the catalog has. Whatever is interrupted, the queue knows. Raises
    `StorageError`.
    """
    with catalog.amending():
        entries = catalog.some(ids)
        private = {str(e.record.id) for e in entries if e.cloud_state == "off"}
        known = [str(entry.record.id) for entry in entries]
        queue_tag_change(catalog, [id for id in known if id not in private], wanted)
        _write_tags(
            catalog, [(entry, wanted.applied(entry.record.tags)) for entry in entries]
        )
    return known


def queue_tag_change(catalog: Catalog, ids: Iterable[str], wanted: TagChange) -> None:
    """Note the change for the cloud: of changes of one tag of a picture, the last one counts."""
    now = utc_text(datetime.now(UTC))
    tags = [(tag, 1) for tag in wanted.added] + [(tag, 0) for tag in wanted.removed]
    rows = [(id, tag, present, now) for id in ids for tag, present in tags]
    with catalog.connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO tag_changes (id, tag, present, made_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id, tag) DO UPDATE"
            " SET present = excluded.present, made_at = excluded.made_at",
            rows,
        )
        connection.execute("COMMIT")


def _write_tags(
    catalog: Catalog, wanted: Iterable[tuple[CatalogEntry, tuple[str, ...]]]
) -> None:
    """Sidecars, several at once as each waits for the disk; then those that were written, here."""
    states: dict[Future[SavedPicture], str] = {}
    with ThreadPoolExecutor(_SIDECARS_AT_ONCE) as pool:
        for entry, tags in wanted:
            if tags != entry.record.tags:
                record = entry.record.model_copy(update={"tags": tags})
                kept = SavedPicture(entry.path, entry.sidecar_path, entry.record)
                states[pool.submit(rewrite_sidecar, kept, record)] = entry.cloud_state
    catalog.add_many(
        [(one.result(), state) for one, state in states.items() if not one.exception()]
    )
    for one in states:
        one.result()  # raises what kept it from being written


def merge_cloud_tags(catalog: Catalog, tags: dict[str, tuple[str, ...]]) -> None:
    """Take over what the cloud has of these pictures, but for what is still queued."""
    with catalog.amending():
        left = load_queued_tags(catalog)
        wanted = []
        for entry in catalog.some(tags):
            id = str(entry.record.id)
            now = combine_queued_tags(left.get(id, ())).applied(tags[id])
            gone = tuple(set(entry.record.tags) - set(now))
            wanted.append((entry, TagChange(now, gone).applied(entry.record.tags)))
        _write_tags(catalog, wanted)


@dataclass(frozen=True, slots=True)
class QueuedTag:
    """One tag of one picture that waits for the cloud."""

    tag: str
    present: bool
    made_at: str


def load_queued_tags(catalog: Catalog) -> dict[str, list[QueuedTag]]:
    """What waits for the cloud, by the picture's id."""
    with catalog.connection() as connection:
        rows = connection.execute(
            "SELECT id, tag, present, made_at FROM tag_changes ORDER BY 4"
        )
        found: dict[str, list[QueuedTag]] = {}
        for id, tag, present, made_at in rows:
            found.setdefault(id, []).append(QueuedTag(tag, bool(present), made_at))
        return found


def combine_queued_tags(waiting: Iterable[QueuedTag]) -> TagChange:
    """The queued changes of one picture as one."""
    parts = [*waiting]
    return TagChange(
        tuple(one.tag for one in parts if one.present),
        tuple(one.tag for one in parts if not one.present),
    )


def remove_sent_tags(catalog: Catalog, done: Iterable[tuple[str, QueuedTag]]) -> None:
    """These are in the cloud: forget them, unless they were changed again meanwhile."""
    with catalog.connection() as connection:
        connection.executemany(
            "DELETE FROM tag_changes WHERE id = ? AND tag = ? AND made_at = ?",
            [(id, one.tag, one.made_at) for id, one in done],
        )
