"""What prompts were used for elsewhere, and at what cost: the table `mai.imagen_usage`.

Another program writes the table. It is only read, and nothing is known of it but that
it has a column of prompt hashes: the columns are chosen by their names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import READER_CONNECT_S
from imagen_nb.cloud.database_url import (
    explain_connection_error,
    first_line,
    parse_database_url,
)
from imagen_nb.cloud.errors import RefusedError, UnreachableError, decoding
from imagen_nb.cloud.filters import in_filter, url_chunks
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.schema import require_columns, text_or_empty
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd
    from psycopg import Connection
    from pydantic import SecretStr

_USAGE_SCHEMA, _USAGE_TABLE = "mai", "imagen_usage"
_QUALIFIED_TABLE = f"{_USAGE_SCHEMA}.{_USAGE_TABLE}"
_HASHES_PER_REQUEST = 50  # they are longer than ids, and stand in the address
_SAMPLE_ROWS = 100  # rows that tell what the columns hold
_NO_TABLE = (
    f"there is no table {_QUALIFIED_TABLE}, or no right to see it: "
    "nobody's usage can be joined"
)
_NO_RIGHT = (
    f"no right to read {_QUALIFIED_TABLE}: whoever runs it must GRANT USAGE ON SCHEMA "
    f"{_USAGE_SCHEMA} and SELECT ON {_QUALIFIED_TABLE} TO authenticated "
    "(with a secret key: service_role)"
)
_EXPLANATION_OF_CODE = {  # what Supabase's codes mean where the table is not ours
    "PGRST106": f"the API does not show the schema {_USAGE_SCHEMA}: add it to the "
    "exposed schemas (Supabase's settings of the API), or set supabase.database_url",
    "PGRST205": _NO_TABLE,
    "42P01": _NO_TABLE,
    "3F000": _NO_TABLE,
    "42501": _NO_RIGHT,
}
_NUMERIC_TYPES = {
    "numeric",
    "double precision",
    "real",
    "integer",
    "bigint",
    "smallint",
}
_OTHER_UNITS = {
    "cent",
    "cents",
    "micro",
    "micros",
    "eur",
    "gbp",
    "jpy",
    "cny",
    "inr",
    "credits",
}

# By prompt hash: the number of uses, and their cost in all (None if no cost is known).
Usage = dict[str, tuple[int, float | None]]


def with_usage(
    frame: pd.DataFrame, cloud: Cloud | None, url: SecretStr | None
) -> pd.DataFrame:
    """Return the frame with the columns `uses` and `usage_cost_usd`.

    `Accessor.with_usage` documents them; the second one is there if a column has the
    cost.

    Args:
        frame: needs the column `prompt_hash`.
        cloud: the client of the API; None if none is configured.
        url: of the database, which is preferred to the API.

    Raises:
        UsageError: if the frame lacks the column, or no cloud is configured.
        CloudError: if there is no such table, or it cannot be read.
    """
    import pandas as pd

    require_columns(frame, "prompt_hash")
    frame_hashes = [text_or_empty(hash) for hash in frame["prompt_hash"]]
    usage, has_cost = _load_usage(sorted({*frame_hashes} - {""}), cloud, url)
    of_rows = [usage.get(hash, (0, None)) for hash in frame_hashes]
    uses = pd.array([uses for uses, _ in of_rows], dtype="Int64")
    joined = frame.assign(uses=uses)
    if not has_cost:
        return joined
    return joined.assign(usage_cost_usd=_cost_array(cost for _, cost in of_rows))


def _cost_array(costs: Iterable[float | None]) -> Any:
    import numpy as np

    return np.array(
        [np.nan if cost is None else cost for cost in costs], dtype="float64"
    )


def _load_usage(
    hashes: Sequence[str], cloud: Cloud | None, url: SecretStr | None
) -> tuple[Usage, bool]:
    """Return the usage, and whether a column has the cost.

    From the database if it is configured and answers, else through the API.
    """
    if url is not None and (find_spec("psycopg") or cloud is None):
        try:
            return _load_from_database(hashes, url.get_secret_value())
        except UnreachableError:
            if cloud is None:
                raise
    if cloud is None:
        raise UsageError(f"{_QUALIFIED_TABLE} cannot be read: {NOT_CONFIGURED}")
    return _load_from_api(hashes, cloud)


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """The columns that are read; `cost` is None unless exactly one may be it."""

    hash: str
    cost: str | None


def usage_columns_of(numeric: Mapping[str, bool]) -> UsageColumns:
    """Return the columns of the prompt's hash and of the cost in USD, by their names.

    A line on stderr says why the cost is left out, if it is.

    Args:
        numeric: by column, whether it holds numbers.

    Raises:
        CloudError: if not exactly one column may be the one of hashes.
    """
    names = [*numeric]
    hashes = [name for name in names if name.lower() == "prompt_hash"]
    hashes = hashes or [n for n in names if {"prompt", "hash"} <= _words_of_name(n)]
    hashes = hashes or [n for n in names if {"hash", "sha256"} & _words_of_name(n)]
    if len(hashes) != 1:
        raise RefusedError(
            f"which column of {_QUALIFIED_TABLE} has the prompt's hash? "
            f"It has {', '.join(names)}"
        )
    costs = [name for name in names if numeric[name] and _is_cost(name)]
    costs = [name for name in costs if "usd" in _words_of_name(name)] or costs
    if len(costs) == 1:
        return UsageColumns(hashes[0], costs[0])
    why = "no column seems it"
    if costs:
        why = f"several columns may be it ({', '.join(costs)})"
    print_notice(f"{_QUALIFIED_TABLE}: the cost in USD is left out, {why}")
    return UsageColumns(hashes[0], None)


def _words_of_name(name: str) -> set[str]:
    """Return the words of a name in snake_case or camelCase, in lower case."""
    snake_case = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return {*re.findall(r"[a-z]+\d*|\d+", snake_case)}


def _is_cost(name: str) -> bool:
    return "cost" in name.lower() and not _words_of_name(name) & _OTHER_UNITS


def _load_from_api(hashes: Sequence[str], cloud: Cloud) -> tuple[Usage, bool]:
    sample = _request_usage_rows(cloud, [("limit", str(_SAMPLE_ROWS))], "*")
    if not sample:
        print_notice(f"{_QUALIFIED_TABLE} is empty, or has nothing that you may read")
        return {}, False
    with decoding():
        numeric = {name: _is_numeric(row[name] for row in sample) for name in sample[0]}
    columns = usage_columns_of(numeric)
    parts_of_usage = map_in_threads(
        url_chunks(hashes, _HASHES_PER_REQUEST),
        lambda chunk: _load_chunk(cloud, columns, chunk),
        "reading usage",
    )
    usage: Usage = {}
    for part in parts_of_usage:
        if isinstance(part, ImagenError):
            raise part  # the sums would be too small, and nobody would notice
        usage |= part
    return usage, columns.cost is not None


def _request_usage_rows(
    cloud: Cloud, filters: list[tuple[str, str]], columns: str
) -> list[dict[str, Any]]:
    try:
        return cloud.rows(filters, columns, _USAGE_TABLE, _USAGE_SCHEMA)
    except RefusedError as error:
        other = f"{_QUALIFIED_TABLE} cannot be read: {error}"
        raise RefusedError(_EXPLANATION_OF_CODE.get(error.code or "", other)) from None


def _is_numeric(values: Iterable[object]) -> bool:
    return all(value is None or _number_or_none(value) is not None for value in values)


def _number_or_none(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _load_chunk(cloud: Cloud, columns: UsageColumns, hashes: Sequence[str]) -> Usage:
    """Sum up the rows of some hashes, page by page.

    The pages are in the order of all columns that are read: rows that are equal in it
    may change places without a difference to the sums.
    """
    names = [columns.hash, columns.cost] if columns.cost else [columns.hash]
    filters = [(columns.hash, in_filter(hashes)), ("order", ",".join(names))]
    counts: dict[str, int] = defaultdict(int)
    costs: dict[str, list[float]] = defaultdict(list)
    start = 0
    while page := _request_usage_rows(
        cloud, [*filters, ("offset", str(start))], ",".join(names)
    ):
        start += len(page)
        for hash, cost in _uses_on(page, columns, hashes):
            counts[hash] += 1
            if cost is not None:
                costs[hash].append(cost)
    return {
        hash: (count, sum(costs[hash]) if hash in costs else None)
        for hash, count in counts.items()
    }


def _uses_on(
    page: list[dict[str, Any]], columns: UsageColumns, hashes: Sequence[str]
) -> list[tuple[str, float | None]]:
    """Return the hash and the cost of each row.

    Raise UnreachableError where none is of a prompt that was asked for: what answers
    everything alike would be asked for ever.
    """
    with decoding():
        uses = [
            (
                str(row[columns.hash]),
                _number_or_none(row[columns.cost]) if columns.cost else None,
            )
            for row in page
        ]
        if not {hash for hash, _ in uses} & set(hashes):
            raise ValueError("no row of these prompts")
        return uses


def _load_from_database(hashes: Sequence[str], url: str) -> tuple[Usage, bool]:
    if not find_spec("psycopg"):
        raise UsageError(
            f"reading {_QUALIFIED_TABLE} needs psycopg: "
            'pip install "imagen_nb[postgres]"'
        )
    import psycopg

    address = parse_database_url(url)
    try:
        with psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=READER_CONNECT_S,
        ) as connection:
            return _select_usage(connection, hashes)
    except psycopg.OperationalError as error:
        raise UnreachableError(explain_connection_error(str(error), address)) from None
    except psycopg.Error as error:
        message = error.diag.message_primary or first_line(str(error))
        raise RefusedError(f"{_QUALIFIED_TABLE} cannot be read: {message}") from None


def _select_usage(
    connection: Connection[Any], hashes: Sequence[str]
) -> tuple[Usage, bool]:
    from psycopg import sql

    columns = _select_columns(connection)
    cost = sql.Identifier(columns.cost) if columns.cost else sql.SQL("NULL::numeric")
    select = sql.SQL(
        "SELECT {hash}::text, count(*), sum({cost})::float8 FROM {table}"
        " WHERE {hash}::text = ANY (%s) GROUP BY 1"
    ).format(
        hash=sql.Identifier(columns.hash),
        cost=cost,
        table=sql.Identifier(_USAGE_SCHEMA, _USAGE_TABLE),
    )
    rows = connection.execute(select, [[*hashes]])
    usage = {hash: (count, total) for hash, count, total in rows}
    return usage, columns.cost is not None


def _select_columns(connection: Connection[Any]) -> UsageColumns:
    types = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [_USAGE_SCHEMA, _USAGE_TABLE],
    ).fetchall()
    if not types:
        raise RefusedError(_NO_TABLE)
    return usage_columns_of({name: type in _NUMERIC_TYPES for name, type in types})
