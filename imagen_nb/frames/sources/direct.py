"""The history straight from PostgreSQL, through ADBC: Arrow from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import SecretStr

from imagen_nb.cloud.database_url import first_line, parts, unreachable
from imagen_nb.cloud.errors import Refused, Unreachable
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import empty, table_of
from imagen_nb.frames.words import Words
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg import sql

_REMEDIES = {
    "42P01": ": run `imagen db migrate`",
    "3F000": ": run `imagen db migrate`",
    "42501": ": connect as the role postgres",
}
_DRIVERS = ("adbc_driver_postgresql", "psycopg")
_CASTS = {  # what Arrow has no type for
    "id": "::text",
    "owner_user_id": "::text",
    "cost_usd_estimate": "::float8",
    "sidecar": "::text",
}


def available() -> bool:
    """Whether the extra `postgres` is installed."""
    return all(find_spec(name) for name in _DRIVERS)


def read(
    database_url: SecretStr,
    query: Query,
    *,
    owner: UUID | None = None,
    sidecar: bool = False,
) -> pa.Table:
    """The rows that the query finds, newest first; `local_path` and `cloud` are null.

    `owner`: whose; None reads everybody's. Raises `Unreachable` and `Refused`, whose texts never
    hold the URL, and `UsageError` when the extra is missing.
    """
    if not available():
        raise UsageError(
            'reading from supabase.database_url needs ADBC: pip install "imagen_nb[postgres]"'
        )
    if query.nothing:
        return empty()
    import pyarrow as pa

    with _connected(database_url) as cursor:
        tables = [_table(cursor, statement(query, owner, sidecar))]
        if query.ever and not (query.limit and tables[0].num_rows >= query.limit):
            tables.append(_table(cursor, statement(query, owner, sidecar, timed=False)))
    whole = pa.concat_tables(tables)
    return (_found(whole, query.words) if query.words else whole).slice(0, query.limit)


def _table(cursor: Any, question: sql.Composed) -> pa.Table:
    cursor.execute(question.as_string(None))
    found = cursor.fetch_arrow_table()
    return table_of(
        {name: found.column(name) for name in found.column_names}, found.num_rows
    )


def statement(
    query: Query, owner: UUID | None, sidecar: bool, *, timed: bool = True
) -> sql.Composed:
    """The question with what users gave as quoted literals.

    Rows without a time, which other programs may write, are asked for by themselves (`timed`):
    among the others the index on created_at could not give them last.

    ADBC reads a statement with parameters row by row, and one without through COPY.
    """
    from psycopg import sql

    names = [
        sql.SQL("NULL::text AS sidecar")
        if name == "sidecar" and not sidecar
        else sql.SQL("{name}{cast} AS {name}").format(
            name=sql.Identifier(name), cast=sql.SQL(_CASTS.get(name, ""))
        )
        for name in IMAGES_COLUMNS
    ]
    known = sql.SQL("created_at IS NOT NULL" if timed else "created_at IS NULL")
    conditions = [sql.Composed([known]), *_conditions(query, owner)]
    limit = None if query.words else query.limit
    return sql.SQL(
        "SELECT {names} FROM imagen.images{where} ORDER BY images.created_at DESC, images.id DESC"
        "{limit}"
    ).format(
        names=sql.SQL(", ").join(names),
        where=sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions),
        limit=sql.SQL("" if limit is None else f" LIMIT {limit:d}"),
    )


def _conditions(query: Query, owner: UUID | None) -> Iterator[sql.Composed]:
    from psycopg import sql

    def condition(text: str, value: object) -> sql.Composed:
        return sql.SQL(text).format(sql.Literal(_without_nul(value)))

    simple = {
        "owner_user_id = {}": owner,
        "created_at >= {}": query.since,
        "created_at < {}": query.until,
    }
    lists = {
        "backend = ANY ({})": query.backends,
        "model = ANY ({})": query.models,
        "seed = ANY ({}::bigint[])": query.seeds,
        "id = ANY ({}::uuid[])": query.ids,
        "tags && {}::text[]": query.any_tags,
        "tags @> {}::text[]": query.tags or None,
    }
    for text, value in simple.items():
        if value is not None:
            yield condition(text, value)
    for text, values in lists.items():
        if values is not None:
            yield condition(text, [*values])
    if query.sizes is not None:
        pairs = [
            sql.SQL("({}, {})").format(width, height)
            for width, height in (
                (sql.Literal(w), sql.Literal(h)) for w, h in query.sizes
            )
        ]
        yield sql.SQL("(width, height) IN ({})").format(sql.SQL(", ").join(pairs))
    for pattern in query.words.patterns:
        yield condition("prompt ILIKE {}", pattern)
    for pattern in query.words.unwanted_patterns:
        yield condition("prompt NOT ILIKE {}", pattern)


def _without_nul(value: object) -> object:
    """As rows have it: PostgreSQL takes no NUL."""
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return (
        value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if isinstance(value, str)
        else value
    )


def _found(table: pa.Table, words: Words) -> pa.Table:
    import pyarrow as pa

    found = [words.found_in(text) for text in table["prompt"].to_pylist()]
    return table.filter(pa.array(found, pa.bool_()))


@contextmanager
def _connected(database_url: SecretStr) -> Iterator[Any]:
    import adbc_driver_manager
    from adbc_driver_postgresql import dbapi

    url = database_url.get_secret_value()
    address = parts(url)
    timeout = (
        {} if "connect_timeout" in address else {"connect_timeout": "10"}
    )  # seconds
    try:
        with (
            dbapi.connect(_with(url, timeout)) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor
    except adbc_driver_manager.Error as error:
        raise _understood(error, address) from None  # whose text may hold the URL


def _with(url: str, parameters: dict[str, str]) -> str:
    more = urlencode(parameters)
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


def _understood(error: Exception, address: dict[str, str]) -> CloudError:
    code = getattr(error, "sqlstate", None)
    if code is None:
        said = str(error).removeprefix("IO: [libpq] Failed to connect: ")
        return Unreachable(unreachable(said, address))
    said = first_line(str(error).partition("ERROR:")[2])
    return Refused(f"the database says {code}: {said}{_REMEDIES.get(code, '')}")
