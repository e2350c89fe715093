"""The history of this machine: the catalogs of output folders, as Arrow tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import arrow_schema, empty, newest_first, table_of
from imagen_nb.frames.words import Words
from imagen_nb.storage.catalog import Catalog, utc_text
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa

_CHUNK = 20_000  # rows that are Python objects at one time
_WAITING = ("pending", "failed", "off")


def read(
    catalogs: Iterable[Catalog],
    query: Query,
    *,
    sidecar: bool = False,
    states: Sequence[str] | None = None,
) -> pa.Table:
    """The pictures of these catalogs that the query finds, newest first.

    `states`: only those that the cloud has in these states. Raises `StorageError`.
    """
    import pyarrow as pa

    if query.nothing:
        return empty()
    there = [
        catalog for catalog in catalogs if catalog.path.exists()
    ]  # asking would make it
    tables = [_of_one(catalog, query, sidecar, states) for catalog in there]
    if len(tables) == 1:
        return tables[0]
    return newest_first(pa.concat_tables(tables), query.limit) if tables else empty()


def not_synced(
    catalogs: Iterable[Catalog], query: Query, *, sidecar: bool = False
) -> pa.Table:
    """As `read`, but only pictures whose rows the cloud does not have yet."""
    return read(catalogs, query, sidecar=sidecar, states=_WAITING)


def known(catalogs: Iterable[Catalog], ids: Sequence[str]) -> dict[str, str]:
    """The file of each of these pictures that a catalog knows, by id."""
    found: dict[str, str] = {}
    wanted = set(ids)
    for catalog in catalogs:
        if catalog.path.exists():
            with catalog.reader() as connection:
                for id, path in _paths(connection, ids):
                    if id in wanted:
                        found.setdefault(id, str(catalog.folder / path))
    return found


def _paths(
    connection: sqlite3.Connection, ids: Sequence[str]
) -> Iterator[tuple[str, str]]:
    few = len(ids) <= 500
    where = f" WHERE id IN ({', '.join('?' * len(ids))})" if few else ""
    yield from connection.execute(
        f"SELECT id, path FROM images{where}", ids if few else ()
    )


def _of_one(
    catalog: Catalog, query: Query, sidecar: bool, states: Sequence[str] | None
) -> pa.Table:
    import pyarrow as pa

    statement, values = sql(query, states, sidecar)
    tables: list[pa.Table] = []
    with catalog.reader() as connection:
        rows = connection.execute(statement, values)
        left = query.limit
        while (chunk := rows.fetchmany(_CHUNK)) and left != 0:
            found = _found(chunk, query.words, left)
            left = None if left is None else left - len(found)
            if found:
                tables.append(_table(found, f"{catalog.folder}/", sidecar))
    return pa.concat_tables(tables) if tables else empty()


def _found(rows: list[Any], words: Words, limit: int | None) -> list[Any]:
    place = IMAGES_COLUMNS.index("prompt")
    if words:
        rows = [row for row in rows if words.found_in(row[place])]
    return rows[:limit]


def sql(
    query: Query, states: Sequence[str] | None, sidecar: bool
) -> tuple[str, list[Any]]:
    """The statement and its values: `COLUMNS` (sidecar only if wanted), path, what the cloud has.

    Newest first by the index on (created_at, id). With words the rows may be too many.
    """
    names = [
        name if name != "sidecar" or sidecar else "NULL" for name in IMAGES_COLUMNS
    ]
    conditions = [*_conditions(query, states)]
    where = " AND ".join(text for text, _ in conditions)
    values = [value for _, given in conditions for value in given]
    statement = (
        f"SELECT {', '.join(names)}, path, cloud_state, cloud_error FROM images"
        f"{f' WHERE {where}' if where else ''} ORDER BY created_at DESC, id DESC"
    )
    if query.limit is not None and not query.words:
        return f"{statement} LIMIT ?", [*values, query.limit]
    return statement, values


def _conditions(
    query: Query, states: Sequence[str] | None
) -> Iterator[tuple[str, Sequence[Any]]]:
    if query.since:
        yield "created_at >= ?", [utc_text(query.since)]
    if query.until:
        yield "created_at < ?", [utc_text(query.until)]
    yield from _lists(
        {"backend": query.backends, "model": query.models, "seed": query.seeds, "id": query.ids,
         "cloud_state": states}
    )  # fmt: skip
    if query.sizes is not None:
        pairs = [side for size in query.sizes for side in size]
        yield (
            f"(width, height) IN (VALUES {', '.join(['(?, ?)'] * len(query.sizes))})",
            pairs,
        )
    for tag in query.tags:
        yield _HAS_ONE, [json.dumps([tag])]
    if query.any_tags is not None:
        yield _HAS_ONE, [json.dumps(query.any_tags)]
    for pattern in query.words.patterns:
        # LIKE looks no further than a NUL.
        yield r"(prompt LIKE ? ESCAPE '\' OR instr(prompt, char(0)))", [pattern]
    for pattern in query.words.unwanted_patterns:
        yield r"prompt NOT LIKE ? ESCAPE '\'", [pattern]


_ANY = "(SELECT value FROM json_each(?))"  # one value however long the list is
_HAS_ONE = f"EXISTS (SELECT 1 FROM json_each(tags) AS one WHERE one.value IN {_ANY})"


def _lists(
    lists: Mapping[str, Sequence[str | int] | None],
) -> Iterator[tuple[str, Sequence[Any]]]:
    for name, values in lists.items():
        if values is not None:
            yield f"{name} IN {_ANY}", [json.dumps(values)]


def _table(rows: list[Any], folder: str, sidecar: bool) -> pa.Table:
    columns = dict(
        zip(
            (*IMAGES_COLUMNS, "path", "state", "error"),
            zip(*rows, strict=True),
            strict=True,
        )
    )
    lists: dict[str, Any] = {
        name: list(values)
        for name, values in columns.items()
        if name in arrow_schema().names
    }
    lists["tags"] = _tags(lists["tags"])
    if not sidecar:
        del lists["sidecar"]
    lists["local_path"] = [folder + path for path in columns["path"]]
    lists["cloud"] = [
        f"failed: {error}" if state == "failed" else state
        for state, error in zip(columns["state"], columns["error"], strict=True)
    ]
    return table_of(lists, len(rows))


def _tags(texts: list[str]) -> pa.Array:
    """JSON arrays as lists; each distinct text is read once."""
    import pyarrow as pa

    encoded = pa.array(texts, pa.string()).dictionary_encode()
    lists = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(encoded.indices)
