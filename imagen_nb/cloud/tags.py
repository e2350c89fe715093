"""Writing queued tags to their rows, merged tag by tag with what others wrote there.

A row is only written if its tags are still those that were read; otherwise it is read
again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.filters import array_literal, in_filter, url_chunks
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.record import UnsentTag
from imagen_nb.storage.tags import (
    combine_queued_tags,
    load_queued_tags,
    merge_cloud_tags,
    remove_sent_tags,
)
from imagen_nb.system.terminal import print_notice

_MAX_ROUNDS = 5  # how often a row is read again that others write at the same time

Tags = tuple[str, ...]


def push_tags(catalog: Catalog, cloud: Cloud) -> int:
    """Write the queued tags of pictures whose rows exist; return how many pictures.

    Pictures that still wait for the cloud keep their changes queued. Raise CloudError;
    what is not written stays queued.
    """
    changes = load_queued_tags(catalog)
    if not changes:
        return 0
    waiting = {
        str(entry.record.id)
        for entry in catalog.get_many(changes)
        if entry.cloud_state != "synced"
    }
    changes = {id: them for id, them in changes.items() if id not in waiting}
    for ids in url_chunks([*changes]):
        _push_chunk({id: changes[id] for id in ids}, catalog, cloud)
    return len(changes)


def _push_chunk(
    changes: dict[str, list[UnsentTag]], catalog: Catalog, cloud: Cloud
) -> None:
    left = changes
    for _ in range(_MAX_ROUNDS):
        before = _load_cloud_tags(cloud, [*left])
        for id in set(left) - set(before):
            print_notice(f"cloud sync: no row {id} to tag: its tags are dropped")
            remove_sent_tags(catalog, [(id, change) for change in left[id]])
        after = {
            id: combine_queued_tags(left[id]).apply_to(tags or ())
            for id, tags in before.items()
        }
        written = _write_cloud_tags(cloud, before, after)
        sent = {id: left[id] for id in written}
        # First in the sidecars: a catalog built anew queues what they have as unsent.
        merge_cloud_tags(catalog, {id: after[id] for id in written}, sent)
        remove_sent_tags(catalog, [(id, mark) for id in sent for mark in sent[id]])
        left = {id: left[id] for id in before if id not in written}
        if not left:
            return


def _load_cloud_tags(cloud: Cloud, ids: Sequence[str]) -> dict[str, Tags | None]:
    rows = cloud.rows_by_id(ids, "id,tags")
    with decoding():
        if not rows.keys() <= set(ids):
            raise ValueError("rows that were not asked for")
    return {id: _tags_of(row["tags"]) for id, row in rows.items()}


def _tags_of(value: object) -> Tags | None:
    """Return an array of texts. Raise UnreachableError for any other value."""
    with decoding():
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(t, str) for t in value):
            raise TypeError("no array of texts")
        return tuple(value)


def _write_cloud_tags(
    cloud: Cloud, before: dict[str, Tags | None], after: dict[str, Tags]
) -> set[str]:
    """Write rows with the same tags before and after in one request; the ids done."""
    groups: dict[tuple[Tags | None, Tags], list[str]] = defaultdict(list)
    for id, tags in before.items():
        groups[tags, after[id]].append(id)
    done: set[str] = set()
    for (old, new), ids in groups.items():
        if old == new:
            done.update(ids)
            continue
        unchanged = "is.null" if old is None else f"eq.{array_literal(old)}"
        filters = [("id", in_filter(ids)), ("tags", unchanged)]
        rows = cloud.update({"tags": [*new]}, filters)
        done.update(row["id"] for row in rows)
    return done
