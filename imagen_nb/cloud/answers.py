"""PostgREST's answers: asked for with filters and columns, and looked at before use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imagen_nb.cloud.account import Session
from imagen_nb.cloud.errors import decoding


def execute_filtered(builder: Any, filters: Sequence[tuple[str, str]]) -> list[Any]:
    """Return the rows that meet the filters, which are sent as they are.

    The builder's own methods quote too little.
    """
    for name, condition in filters:
        builder.request.params = builder.request.params.add(name, condition)
    return rows_of(builder.execute())


def rows_of(answer: Any) -> list[Any]:
    """Return the rows of an answer. Raise UnreachableError if it has none that are."""
    with decoding():
        rows = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("no list of objects")  # nothing is no empty list
        return rows


def with_columns(rows: list[Any], columns: str) -> list[Any]:
    """Return the rows. Raise UnreachableError if one lacks a column that was asked for.

    `columns`: as PostgREST takes them; `name:expression` comes back under the name.
    """
    names = {column.partition(":")[0] for column in columns.split(",")} - {"*"}
    with decoding():
        if not all(names <= row.keys() for row in rows):
            raise KeyError("a column")
    return rows


def add_missing_rows(
    session: Session,
    rows: list[dict[str, Any]],
    table: str,
    key: str,
    columns: str = "*",
) -> list[Any]:
    """Write rows where none has their `key`; return the `columns` of those written."""
    upsert = session.tables.from_(table).upsert(
        rows, on_conflict=key, ignore_duplicates=True
    )
    shown = [] if columns == "*" else [("select", columns)]
    return with_columns(execute_filtered(upsert, shown), columns)
