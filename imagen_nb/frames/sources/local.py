"""The history of this machine: the catalogs of output folders, as Arrow tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import (
    arrow_schema,
    empty_table,
    history_table,
    newest_first,
)
from imagen_nb.frames.words import SearchWords
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa

_ROWS_PER_CHUNK = 20_000  # rows that are Python objects at one time
_IDS_PER_SELECT = 500  # for more, the paths of all pictures are read
_NOT_SYNCED_STATES = ("pending", "failed", "off")


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """A `TableSource`: the catalogs of some folders.

    Attributes:
        catalogs: of these folders; catalogs that do not exist are not created.
        states: only pictures in these cloud states; None for all.
    """

    catalogs: Sequence[Catalog]
    states: Sequence[str] | None = None

    def not_synced(self) -> CatalogSource:
        """Return the source of the pictures whose rows the cloud does not have yet."""
        return replace(self, states=_NOT_SYNCED_STATES)

    def load(self, query: Query, *, sidecar: bool = False) -> pa.Table:
        """Return the pictures that the query matches, newest first.

        Raises:
            StorageError: if a catalog cannot be read.
        """
        import pyarrow as pa

        if query.matches_nothing:
            return empty_table()
        tables = [
            _load_catalog(catalog, query, sidecar, self.states)
            for catalog in self._existing()
        ]
        if not tables:
            return empty_table()
        if len(tables) == 1:
            return tables[0]
        return newest_first(pa.concat_tables(_each_once(tables)), query.limit)

    def local_paths(self, ids: Sequence[str]) -> dict[str, str]:
        """Return by id the files of those pictures that a catalog knows."""
        requested = set(ids)
        paths: dict[str, str] = {}
        for catalog in self._existing():
            with catalog.reader() as connection:
                for id, path in _select_paths(connection, ids):
                    if id in requested:
                        paths.setdefault(id, str(catalog.folder / path))
        return paths

    def _existing(self) -> Iterator[Catalog]:
        """Those that have pictures: asking another one would create it."""
        return (catalog for catalog in self.catalogs if catalog.has_any())


def _each_once(tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables without pictures that one before them has: copies, in two folders."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seen = pa.array([], pa.string())
    for table in tables:
        ids = table["id"].combine_chunks().cast(pa.string())
        yield table.filter(pc.invert(pc.is_in(ids, value_set=seen)))
        seen = pa.concat_arrays([seen, ids])


def _select_paths(
    connection: sqlite3.Connection, ids: Sequence[str]
) -> Iterable[tuple[str, str]]:
    if len(ids) > _IDS_PER_SELECT:
        return connection.execute("SELECT id, path FROM images")
    marks = ", ".join("?" * len(ids))
    return connection.execute(f"SELECT id, path FROM images WHERE id IN ({marks})", ids)


def _load_catalog(
    catalog: Catalog, query: Query, sidecar: bool, states: Sequence[str] | None
) -> pa.Table:
    import pyarrow as pa

    statement, values = catalog_select(query, states, sidecar)
    tables: list[pa.Table] = []
    with catalog.reader() as connection:
        cursor = connection.execute(statement, values)
        left = query.limit
        while left != 0:
            chunk = cursor.fetchmany(_ROWS_PER_CHUNK)
            if not chunk:
                break
            rows = _rows_with_words(chunk, query.words)[:left]
            left = None if left is None else left - len(rows)
            if rows:
                tables.append(_table_of_rows(rows, f"{catalog.folder}/", sidecar))
    return pa.concat_tables(tables) if tables else empty_table()


def _rows_with_words(rows: list[Any], words: SearchWords) -> list[Any]:
    prompt = IMAGES_COLUMNS.index("prompt")
    return [row for row in rows if words.found_in(row[prompt])] if words else rows


def catalog_select(
    query: Query, states: Sequence[str] | None, sidecar: bool
) -> tuple[str, list[Any]]:
    """Return a SELECT of SQLite and the values of its marks.

    It gives `RESULT_COLUMNS`, then path, cloud_state and cloud_error, newest first by the
    index on (created_at, id). With words it may give rows that do not match, and has no
    limit.

    Args:
        query: the conditions.
        states: only pictures in these cloud states; None for all.
        sidecar: whether the column `sidecar` is selected; else it is NULL.
    """
    names = [
        name if name != "sidecar" or sidecar else "NULL" for name in IMAGES_COLUMNS
    ]
    conditions = [*_catalog_conditions(query, states)]
    where = " AND ".join(text for text, _ in conditions)
    values = [value for _, some in conditions for value in some]
    statement = (
        f"SELECT {', '.join(names)}, path, cloud_state, cloud_error FROM images"
        f"{f' WHERE {where}' if where else ''} ORDER BY created_at DESC, id DESC"
    )
    if query.limit is not None and not query.words:
        return f"{statement} LIMIT ?", [*values, query.limit]
    return statement, values


def _catalog_conditions(
    query: Query, states: Sequence[str] | None
) -> Iterator[tuple[str, Sequence[Any]]]:
    if query.since:
        yield "created_at >= ?", [utc_text(query.since)]
    if query.until:
        yield "created_at < ?", [utc_text(query.until)]
    lists: dict[str, Sequence[str | int] | None] = {
        "backend": query.backends,
        "model": query.models,
        "seed": query.seeds,
        "id": query.ids,
        "cloud_state": states,
    }
    for name, values in lists.items():
        if values is not None:
            yield f"{name} IN {_JSON_VALUES}", [json.dumps(values)]
    if query.sizes is not None:
        pairs = ", ".join(["(?, ?)"] * len(query.sizes))
        sides = [side for size in query.sizes for side in size]
        yield f"(width, height) IN (VALUES {pairs})", sides
    for tag in query.tags:
        yield _HAS_A_TAG, [json.dumps([tag])]
    if query.any_tags is not None:
        yield _HAS_A_TAG, [json.dumps(query.any_tags)]
    for pattern in query.words.required_patterns:
        # LIKE looks no further than a NUL.
        yield r"(prompt LIKE ? ESCAPE '\' OR instr(prompt, char(0)))", [pattern]
    for pattern in query.words.excluded_patterns:
        yield r"prompt NOT LIKE ? ESCAPE '\'", [pattern]


_JSON_VALUES = "(SELECT value FROM json_each(?))"  # one mark, however long the list is
_HAS_A_TAG = (
    f"EXISTS (SELECT 1 FROM json_each(tags) AS one WHERE one.value IN {_JSON_VALUES})"
)


def _table_of_rows(rows: list[Any], folder: str, sidecar: bool) -> pa.Table:
    names = (*IMAGES_COLUMNS, "path", "state", "error")
    selected = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns: dict[str, Any] = {
        name: list(values)
        for name, values in selected.items()
        if name in arrow_schema().names
    }
    columns["tags"] = _tag_lists(columns["tags"])
    if not sidecar:
        del columns["sidecar"]
    columns["local_path"] = [folder + path for path in selected["path"]]
    columns["cloud"] = [
        f"failed: {error}" if state == "failed" else state
        for state, error in zip(selected["state"], selected["error"], strict=True)
    ]
    return history_table(columns, len(rows))


def _tag_lists(texts: list[str]) -> pa.Array:
    """Return JSON arrays as lists; each distinct text is parsed once."""
    import pyarrow as pa

    encoded = pa.array(texts, pa.string()).dictionary_encode()
    lists = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(lists, pa.list_(pa.string())).take(encoded.indices)
