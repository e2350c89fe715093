"""The vectors of pictures in the cloud: sent there after their pictures, and searched there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import NoVectorsError, RefusedError, decoding
from imagen_nb.cloud.filters import url_chunks
from imagen_nb.cloud.missing import missing_as, push_unless_missing
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import ids_in_state
from imagen_nb.storage.vectors import Nearest, VectorStore, stores_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VECTORS_PER_REQUEST = 100
_IDS_PER_SEARCH = 10_000
_DIGITS_SENT = 5  # of a component, which the database keeps as float16
_NO_PICTURE_CODES = ("42501", "23503")  # PostgreSQL's: refused by policy, by key


def find_in_cloud(
    cloud: Cloud,
    model: str,
    query: NDArray[np.float32],
    count: int,
    ids: Sequence[str] | None = None,
) -> Nearest:
    """Return those of the user's pictures in the cloud that are nearest to a query.

    Args:
        cloud: whose.
        model: the embedder's, as `Embedder.model`.
        query: a vector of this model, of any length but 0.
        count: how many at most.
        ids: compare only these pictures, all of them. Otherwise an index is asked,
            which may miss a few where there are very many.

    Returns:
        The nearest. Average and deviation are by a sample of the user's vectors of this
        model, of which there are `total`.

    Raises:
        NoVectorsError: if the database has no vectors.
        RejectedError: if the query has other dimensions than the vectors, or no length.
        CloudError: if the cloud does not answer.
    """
    if ids is None:
        return _search(cloud, model, query, count, None)
    parts = [
        _search(cloud, model, query, count, part)
        for part in url_chunks(ids, _IDS_PER_SEARCH) or [[]]
    ]
    return _best_of(parts, count)


def push_vectors(
    catalog: Catalog, cloud: Cloud, may_go_on: Callable[[], bool] = lambda: True
) -> int:
    """Send the vectors of synced pictures that were not sent; return how many.

    A database without a table for them is told of once, and not asked again by the
    same `cloud`.

    Args:
        catalog: of the pictures; the stores of its folder are looked through.
        cloud: where to.
        may_go_on: asked before each request; the rest stays for the next time.

    Raises:
        CloudError: what was not sent stays for the next time.
    """
    parts = _push_parts(catalog, cloud, may_go_on)
    return push_unless_missing(cloud, NoVectorsError, parts)


def forget_sent_vectors(catalog: Catalog, ids: Sequence[str]) -> None:
    """Note that the cloud may no longer have the vectors of these pictures.

    They go with the picture's row. When it is there again they are sent again.
    """
    for store in stores_in(catalog.folder) if ids else ():
        store.forget_sent(ids)


def _search(
    cloud: Cloud,
    model: str,
    query: NDArray[np.float32],
    count: int,
    ids: Sequence[str] | None,
) -> Nearest:
    import numpy as np

    owner, _ = cloud.owner()
    unit = query / (np.linalg.norm(query) or 1)  # in float16, small ones would be none
    values = {
        "model": model,
        "query": [float(x) for x in unit],
        "count": count,
        "ids": None if ids is None else [*ids],
        "owner": str(owner),  # a secret key sees everybody's
    }
    with missing_as(_no_vectors()):
        rows = cloud.call("find", values)
    with decoding():
        (row,) = rows
        return _hits_of(row)


def _hits_of(row: dict[str, Any]) -> Nearest:
    import numpy as np

    ids = [str(id) for id in row["image_ids"]]
    cosines = np.array(row["cosines"], np.float32)
    if len(ids) != len(cosines):
        raise ValueError("other cosines than ids")
    mean, std = (
        np.nan if row[name] is None else float(row[name])
        for name in ("mean", "deviation")
    )
    return Nearest(ids, cosines, mean, std, int(row["total"]))


def _best_of(parts: Sequence[Nearest], count: int) -> Nearest:
    import numpy as np

    ids = [id for part in parts for id in part.ids]
    cosines = np.concatenate([part.cosines for part in parts])
    best = np.argsort(-cosines, kind="stable")[:count]
    first = parts[0]
    return Nearest(
        [ids[place] for place in best],
        cosines[best],
        first.mean,
        first.std,
        first.total,
    )


def _push_parts(
    catalog: Catalog, cloud: Cloud, may_go_on: Callable[[], bool]
) -> Iterator[int]:
    for store in stores_in(catalog.folder):
        waiting = _synced_of(catalog, store.unsent())
        for ids in url_chunks(waiting, _VECTORS_PER_REQUEST):
            if not may_go_on():
                return
            yield _push_vectors_of(store, ids, cloud)


def _synced_of(catalog: Catalog, ids: Sequence[str]) -> list[str]:
    """Return those of these pictures that are in the cloud and wanted there."""
    if not ids:
        return []
    with catalog.connection() as connection:
        return ids_in_state(connection, "synced", ids)


def _push_vectors_of(store: VectorStore, ids: Sequence[str], cloud: Cloud) -> int:
    import numpy as np

    owner, _ = cloud.owner()
    vectors = dict(zip(ids, store.vectors(ids), strict=True))
    rows = [
        {
            "image_id": id,
            "owner_user_id": str(owner),
            "model": store.model,
            "embedding": _literal(vector),
        }
        for id, vector in vectors.items()
        if np.isfinite(vector).all() and vector.any()  # else it has no direction
    ]
    if rows:
        _send(rows, cloud)
    store.mark_sent(ids)
    return len(rows)


def _send(rows: list[dict[str, Any]], cloud: Cloud) -> None:
    """Write rows; without those whose picture was removed by another machine.

    Whoever sends such a picture again has its vectors forgotten before.
    """
    try:
        _write_vectors(rows, cloud)
    except RefusedError as error:
        if error.code not in _NO_PICTURE_CODES:
            raise
        left = _with_picture(rows, cloud)
        if len(left) == len(rows):
            raise
        if left:
            _write_vectors(left, cloud)


def _write_vectors(rows: list[dict[str, Any]], cloud: Cloud) -> None:
    with missing_as(_no_vectors()):
        cloud.add(rows, "embeddings", "image_id,model", "image_id")


def _with_picture(rows: list[dict[str, Any]], cloud: Cloud) -> list[dict[str, Any]]:
    owner, _ = cloud.owner()
    found = cloud.rows_by_id([row["image_id"] for row in rows], "id,owner_user_id")
    with decoding():
        own = {id for id, row in found.items() if row["owner_user_id"] == str(owner)}
    return [row for row in rows if row["image_id"] in own]


def _literal(vector: NDArray[np.float32]) -> str:
    """As pgvector reads it."""
    return "[" + ",".join(f"{x:.{_DIGITS_SENT}g}" for x in vector) + "]"


def _no_vectors() -> NoVectorsError:
    return NoVectorsError(
        "your Supabase has no vectors: `imagen db migrate` makes a place for them, "
        "where pgvector 0.8 is to be had"
    )
