"""Queued tags into their rows: merged tag by tag with what others wrote there.

A row is only written if its tags are still those that were read; otherwise it is read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from imagen_nb.cloud.client import Cloud, any_of, array, url_chunks
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.tags import (
    QueuedTag,
    combine_queued_tags,
    load_queued_tags,
    merge_cloud_tags,
    remove_sent_tags,
)
from imagen_nb.system.faults import reach
from imagen_nb.system.terminal import complain

_ROUNDS = 5  # how often a row is read again that others write at the same time

Tags = tuple[str, ...]


def push(catalog: Catalog, cloud: Cloud) -> int:
    """Write what is queued of pictures whose rows are there; how many pictures that were.

    Pictures that still wait for the cloud keep their changes queued. Raises `CloudError`; what is
    not written stays queued.
    """
    if not (changes := load_queued_tags(catalog)):
        return 0
    waiting = {
        str(e.record.id) for e in catalog.get_many(changes) if e.cloud_state != "synced"
    }
    changes = {id: them for id, them in changes.items() if id not in waiting}
    for ids in url_chunks([*changes]):
        _push({id: changes[id] for id in ids}, catalog, cloud)
    return len(changes)


def _push(changes: dict[str, list[QueuedTag]], catalog: Catalog, cloud: Cloud) -> None:
    left = changes
    for _ in range(_ROUNDS):
        there = _read(cloud, [*left])
        for id in set(left) - set(there):
            complain(f"cloud sync: no row {id} to tag: its tags are dropped")
            remove_sent_tags(catalog, [(id, one) for one in left[id]])
        after = {
            id: combine_queued_tags(left[id]).apply_to(tags or ())
            for id, tags in there.items()
        }
        written = _write(cloud, there, after)
        reach("after-tags")
        remove_sent_tags(catalog, [(id, one) for id in written for one in left[id]])
        merge_cloud_tags(catalog, {id: after[id] for id in written})
        left = {id: left[id] for id in there if id not in written}
        if not left:
            return


def _read(cloud: Cloud, ids: Sequence[str]) -> dict[str, Tags | None]:
    rows = cloud.rows_by_id(ids, "id,tags")
    return {
        id: None if row["tags"] is None else tuple(row["tags"])
        for id, row in rows.items()
    }


def _write(
    cloud: Cloud, before: dict[str, Tags | None], after: dict[str, Tags]
) -> set[str]:
    """Rows with the same tags before and after go in one request; gives the ids that are done."""
    groups: dict[tuple[Tags | None, Tags], list[str]] = defaultdict(list)
    for id, tags in before.items():
        groups[tags, after[id]].append(id)
    done: set[str] = set()
    for (old, new), ids in groups.items():
        if old == new:
            done.update(ids)
            continue
        same = "is.null" if old is None else f"eq.{array(old)}"
        rows = cloud.update({"tags": [*new]}, [("id", any_of(ids)), ("tags", same)])
        done.update(row["id"] for row in rows)
    return done
