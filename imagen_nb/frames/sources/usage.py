"""What prompts were used for elsewhere, and at what cost: `mai.imagen_usage` of another program.

The table is only read, and nothing is known of it but that it has a column of prompt hashes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud, in_filter, url_chunks
from imagen_nb.cloud.database_url import (
    explain_connection_error,
    first_line,
    parse_database_url,
)
from imagen_nb.cloud.errors import RefusedError, UnreachableError
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.parallel import each
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import text
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd
    from psycopg import Connection
    from pydantic import SecretStr

_SCHEMA, _TABLE = "mai", "imagen_usage"
_NAME = f"{_SCHEMA}.{_TABLE}"
_HASHES_IN_URL = 50  # longer than ids
_LOOKED_AT = 100  # rows that tell what the columns are
_MISSING = (
    f"there is no table {_NAME}, or no right to see it: nobody's usage can be joined"
)
_NO_RIGHT = (
    f"no right to read {_NAME}: whoever runs it must GRANT USAGE ON SCHEMA {_SCHEMA} and SELECT ON "
    f"{_NAME} TO authenticated (with a secret key: service_role)"
)
_LACKS = {  # by code: what Supabase's answer means where the table is not ours
    "PGRST106": f"the API does not show the schema {_SCHEMA}: add it to the exposed schemas "
    "(Supabase's settings of the API), or set supabase.database_url",
    "PGRST205": _MISSING,
    "42P01": _MISSING,
    "3F000": _MISSING,
    "42501": _NO_RIGHT,
}
_NUMBERS = {"numeric", "double precision", "real", "integer", "bigint", "smallint"}
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

Usage = dict[
    str, tuple[int, float | None]
]  # by hash: how often, and what it cost in all


def with_usage(
    frame: pd.DataFrame, cloud: Cloud | None, url: SecretStr | None
) -> pd.DataFrame:
    """The frame with what its prompts were used for, as `Accessor.with_usage` says."""
    import pandas as pd

    require(frame, "prompt_hash")
    hashes = sorted({*map(text, frame["prompt_hash"])} - {""})
    usage, priced = _read(hashes, cloud, url)
    found = [usage.get(text(hash), (0, None)) for hash in frame["prompt_hash"]]
    uses = pd.array([uses for uses, _ in found], dtype="Int64")
    whole = frame.assign(uses=uses)
    return whole.assign(usage_cost_usd=_costs(found)) if priced else whole


def _costs(found: Iterable[tuple[int, float | None]]) -> Any:
    import numpy as np

    return np.array(
        [np.nan if cost is None else cost for _, cost in found], dtype="float64"
    )


def _read(
    hashes: Sequence[str], cloud: Cloud | None, url: SecretStr | None
) -> tuple[Usage, bool]:
    """From the database itself where it is configured, as the history is; else through the API."""
    if url is not None and (find_spec("psycopg") or cloud is None):
        try:
            return _from_database(hashes, url.get_secret_value())
        except UnreachableError:
            if cloud is None:
                raise
    if cloud is None:
        raise UsageError(f"{_NAME} cannot be read: {NOT_CONFIGURED}")
    return _from_api(hashes, cloud)


@dataclass(frozen=True, slots=True)
class Columns:
    """Those that matter; `cost` is None where there is none, or nobody knows which."""

    hash: str
    cost: str | None


def columns_of(numbers: Mapping[str, bool]) -> Columns:
    """Chosen by name; `numbers`: of each column whether it holds numbers.

    Raises `Refused` when none holds prompt hashes. Says it when the cost stays unknown.
    """
    names = [*numbers]
    hashes = [name for name in names if name.lower() == "prompt_hash"]
    hashes = hashes or [name for name in names if {"prompt", "hash"} <= _words(name)]
    hashes = hashes or [name for name in names if {"hash", "sha256"} & _words(name)]
    if len(hashes) != 1:
        raise RefusedError(
            f"which column of {_NAME} has the prompt's hash? It has {', '.join(names)}"
        )
    costs = [name for name in names if numbers[name] and _is_cost(name)]
    costs = [name for name in costs if "usd" in _words(name)] or costs
    if len(costs) != 1:
        why = (
            f"several columns may be it ({', '.join(costs)})"
            if costs
            else "no column seems it"
        )
        complain(f"{_NAME}: the cost in USD is left out, {why}")
    return Columns(hashes[0], costs[0] if len(costs) == 1 else None)


def _words(name: str) -> set[str]:
    return {
        *re.findall(r"[a-z]+\d*|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    }


def _is_cost(name: str) -> bool:
    return "cost" in name.lower() and not _words(name) & _OTHER_UNITS


def _from_api(hashes: Sequence[str], cloud: Cloud) -> tuple[Usage, bool]:
    sample = _rows(cloud, [("limit", str(_LOOKED_AT))], "*")
    if not sample:
        complain(f"{_NAME} is empty, or has nothing that you may read")
        return {}, False
    columns = columns_of(
        {name: _numeric(row[name] for row in sample) for name in sample[0]}
    )
    chunks = url_chunks(hashes, _HASHES_IN_URL)
    usage: dict[str, tuple[int, float | None]] = {}
    for found in each(
        chunks, lambda chunk: _of_chunk(cloud, columns, chunk), "reading usage"
    ):
        if isinstance(found, ImagenError):
            raise found  # a part of the truth would look like all of it
        usage |= found
    return usage, columns.cost is not None


def _rows(
    cloud: Cloud, filters: list[tuple[str, str]], columns: str
) -> list[dict[str, Any]]:
    try:
        return cloud.rows(filters, columns, _TABLE, _SCHEMA)
    except RefusedError as error:
        told = _LACKS.get(error.code or "", f"{_NAME} cannot be read: {error}")
        raise RefusedError(told) from None


def _numeric(values: Iterable[object]) -> bool:
    return all(value is None or _number(value) is not None for value in values)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _of_chunk(cloud: Cloud, columns: Columns, hashes: Sequence[str]) -> Usage:
    """Pages in the order of all that is read, so that rows which change places are alike."""
    read = [columns.hash, columns.cost] if columns.cost else [columns.hash]
    filters = [(columns.hash, in_filter(hashes)), ("order", ",".join(read))]
    counts: dict[str, int] = defaultdict(int)
    costs: dict[str, list[float]] = defaultdict(list)
    start = 0
    while page := _rows(cloud, [*filters, ("offset", str(start))], ",".join(read)):
        start += len(page)
        for row in page:
            hash = row[columns.hash]
            counts[hash] += 1
            cost = _number(row[columns.cost]) if columns.cost else None
            if cost is not None:
                costs[hash].append(cost)
    return {
        hash: (count, sum(costs[hash]) if hash in costs else None)
        for hash, count in counts.items()
    }


def _from_database(hashes: Sequence[str], url: str) -> tuple[Usage, bool]:
    if not find_spec("psycopg"):
        raise UsageError(
            f'reading {_NAME} needs psycopg: pip install "imagen_nb[postgres]"'
        )
    import psycopg

    address = parse_database_url(url)
    try:
        with psycopg.connect(
            url, autocommit=True, prepare_threshold=None, connect_timeout=10
        ) as connection:
            return _asked(connection, hashes)
    except psycopg.OperationalError as error:
        raise UnreachableError(explain_connection_error(str(error), address)) from None
    except psycopg.Error as error:
        said = error.diag.message_primary or first_line(str(error))
        raise RefusedError(f"{_NAME} cannot be read: {said}") from None


def _asked(connection: Connection[Any], hashes: Sequence[str]) -> tuple[Usage, bool]:
    from psycopg import sql

    types = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [_SCHEMA, _TABLE],
    ).fetchall()
    if not types:
        raise RefusedError(_MISSING)
    columns = columns_of({name: kind in _NUMBERS for name, kind in types})
    cost = sql.Identifier(columns.cost) if columns.cost else sql.SQL("NULL::numeric")
    rows = connection.execute(
        sql.SQL(
            "SELECT {hash}::text, count(*), sum({cost})::float8 FROM {table}"
            " WHERE {hash}::text = ANY (%s) GROUP BY 1"
        ).format(
            hash=sql.Identifier(columns.hash),
            cost=cost,
            table=sql.Identifier(_SCHEMA, _TABLE),
        ),
        [[*hashes]],
    )
    return {
        hash: (count, total) for hash, count, total in rows
    }, columns.cost is not None
