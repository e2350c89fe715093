"""The history straight from PostgreSQL, through ADBC: Arrow from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import SecretStr

from imagen_nb.cloud.connection import READER_CONNECT_S
from imagen_nb.cloud.database_url import (
    explain_connection_error,
    first_line,
    parse_database_url,
)
from imagen_nb.cloud.errors import RefusedError, UnreachableError
from imagen_nb.cloud.rows import replace_nul
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import empty_table, history_table
from imagen_nb.frames.words import SearchWords
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg import sql

_REMEDY_OF_SQLSTATE = {
    "42P01": ": run `imagen db migrate`",
    "3F000": ": run `imagen db migrate`",
    "42501": ": connect as the role postgres",
}
_POSTGRES_DRIVERS = ("adbc_driver_postgresql", "psycopg")
_CASTS = {  # what Arrow has no type for
    "id": "::text",
    "owner_user_id": "::text",
    "cost_usd_estimate": "::float8",
    "sidecar": "::text",
}


def has_postgres_extra() -> bool:
    """Return whether the extra `postgres` is installed."""
    return all(find_spec(name) for name in _POSTGRES_DRIVERS)


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """A `TableSource`: the database itself.

    Attributes:
        database_url: the address with the password; no error shows it.
        owner: whose rows to load; None loads everybody's.
    """

    database_url: SecretStr
    owner: UUID | None = None

    def load(self, query: Query, *, sidecar: bool = False) -> pa.Table:
        """Return the rows that the query matches, newest first.

        Raises:
            UsageError: if the extra `postgres` is not installed.
            CloudError: if the database cannot be reached, or refuses the statement.
        """
        if not has_postgres_extra():
            raise UsageError(
                "reading from supabase.database_url needs ADBC: "
                'pip install "imagen_nb[postgres]"'
            )
        if query.matches_nothing:
            return empty_table()
        import pyarrow as pa

        with _adbc_cursor(self.database_url) as cursor:
            select = postgres_select(query, self.owner, sidecar)
            tables = [_fetch_table(cursor, select)]
            is_full = query.limit and tables[0].num_rows >= query.limit
            if query.includes_undated and not is_full:
                select = postgres_select(query, self.owner, sidecar, timed=False)
                tables.append(_fetch_table(cursor, select))
        table = pa.concat_tables(tables)
        if query.words:
            table = _table_with_words(table, query.words)
        return table.slice(0, query.limit)


def _fetch_table(cursor: Any, select: sql.Composed) -> pa.Table:
    cursor.execute(select.as_string(None))
    fetched = cursor.fetch_arrow_table()
    columns = {name: fetched.column(name) for name in fetched.column_names}
    return history_table(columns, fetched.num_rows)


def _table_with_words(table: pa.Table, words: SearchWords) -> pa.Table:
    import pyarrow as pa

    matches = [words.found_in(prompt) for prompt in table["prompt"].to_pylist()]
    return table.filter(pa.array(matches, pa.bool_()))


def postgres_select(
    query: Query, owner: UUID | None, sidecar: bool, *, timed: bool = True
) -> sql.Composed:
    """Return the SELECT of PostgreSQL, with what users gave as quoted literals.

    ADBC reads a statement with parameters row by row, and one without through COPY.
    With words it may give rows that do not match, and has no limit.

    Args:
        query: the conditions.
        owner: whose rows; None for everybody's.
        sidecar: whether the column `sidecar` is selected; else it is NULL.
        timed: select the rows that have a time, or those that have none, which other
            programs may write: together, the index on created_at could not give the
            latter last.
    """
    from psycopg import sql

    has_time = sql.SQL("created_at IS NOT NULL" if timed else "created_at IS NULL")
    conditions = [sql.Composed([has_time]), *_postgres_conditions(query, owner)]
    limit = None if query.words else query.limit
    return sql.SQL(
        "SELECT {names} FROM imagen.images WHERE {where}"
        " ORDER BY images.created_at DESC, images.id DESC{limit}"
    ).format(
        names=sql.SQL(", ").join(_selected_columns(sidecar)),
        where=sql.SQL(" AND ").join(conditions),
        limit=sql.SQL("" if limit is None else f" LIMIT {limit:d}"),
    )


def _selected_columns(sidecar: bool) -> Iterator[sql.Composable]:
    from psycopg import sql

    for name in IMAGES_COLUMNS:
        if name == "sidecar" and not sidecar:
            yield sql.SQL("NULL::text AS sidecar")
        else:
            cast = sql.SQL(_CASTS.get(name, ""))
            column = sql.SQL("{name}{cast} AS {name}")
            yield column.format(name=sql.Identifier(name), cast=cast)


def _postgres_conditions(query: Query, owner: UUID | None) -> Iterator[sql.Composed]:
    from psycopg import sql

    def condition(text: str, value: object) -> sql.Composed:
        return sql.SQL(text).format(sql.Literal(replace_nul(value)))

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
        pair = sql.SQL("({}, {})")
        pairs = [pair.format(sql.Literal(w), sql.Literal(h)) for w, h in query.sizes]
        yield sql.SQL("(width, height) IN ({})").format(sql.SQL(", ").join(pairs))
    for pattern in query.words.required_patterns:
        yield condition("prompt ILIKE {}", pattern)
    for pattern in query.words.excluded_patterns:
        yield condition("prompt NOT ILIKE {}", pattern)


@contextmanager
def _adbc_cursor(database_url: SecretStr) -> Iterator[Any]:
    import adbc_driver_manager
    from adbc_driver_postgresql import dbapi

    url = database_url.get_secret_value()
    address = parse_database_url(url)
    if "connect_timeout" not in address:
        url = _with_parameters(url, {"connect_timeout": str(READER_CONNECT_S)})
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            yield cursor
    except adbc_driver_manager.Error as error:
        raise _error_of_adbc(error, address) from None  # its text may hold the URL


def _with_parameters(url: str, parameters: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _error_of_adbc(error: Exception, address: dict[str, str]) -> CloudError:
    code = getattr(error, "sqlstate", None)
    if code is None:
        message = str(error).removeprefix("IO: [libpq] Failed to connect: ")
        return UnreachableError(explain_connection_error(message, address))
    message = first_line(str(error).partition("ERROR:")[2])
    remedy = _REMEDY_OF_SQLSTATE.get(code, "")
    return RefusedError(f"the database says {code}: {message}{remedy}")
