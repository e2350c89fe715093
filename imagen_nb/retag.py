"""Tags of pictures wherever these are: on this machine, or in the cloud alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imagen_nb.catalog import Catalog
from imagen_nb.cloud.answers import Unreachable
from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import UsageError
from imagen_nb.originals import ids_of
from imagen_nb.tagging import Change, apply, queue

_IN_URL = 100  # ids in one request, whose address must stay short


def retag(what: Any, wanted: Change, catalogs: Sequence[Catalog], cloud: Cloud | None) -> int:
    """Change the tags of these pictures: here at once, for the cloud into the queue; how many.

    Raises `UsageError` for what is no picture, and `StorageError`.
    """
    ids = dict.fromkeys(ids_of(what, catalogs, cloud))
    left = set(ids)
    for catalog in catalogs:
        left -= set(apply(catalog, [id for id in ids if id in left], wanted))
    if left:  # of another machine
        _must_be_there(sorted(left), cloud)
        queue(catalogs[0], left, wanted)
    return len(ids)


def _must_be_there(ids: Sequence[str], cloud: Cloud | None) -> None:
    """Raises `UsageError` for ids that are nowhere; a cloud out of reach is asked later."""
    if cloud is None:
        raise UsageError(f"there is no picture {ids[0]} in this machine's catalog")
    try:
        for start in range(0, len(ids), _IN_URL):
            part = ids[start : start + _IN_URL]
            if lacking := set(part) - set(cloud.paths(part)):
                raise UsageError(f"there is no picture {min(lacking)}, here or in the cloud")
    except Unreachable:
        return
