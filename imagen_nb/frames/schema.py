"""The history's columns and their types: the one definition, for every source."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NAMES = (*IMAGES_COLUMNS, "local_path", "cloud")
_WHOLE = {"seed", "steps", "width", "height", "latency_ms"}
_FEW = {"backend", "model"}  # few different values


@functools.cache
def arrow_schema() -> pa.Schema:
    """What every source gives: `NAMES` in their order; `sidecar` is JSON text, null if not read."""
    import pyarrow as pa

    types = {name: pa.int64() for name in _WHOLE} | {
        "cost_usd_estimate": pa.float64(),
        "tags": pa.list_(pa.string()),
        "created_at": pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in NAMES])


def empty() -> pa.Table:
    """No rows."""
    return arrow_schema().empty_table()


def table_of(
    columns: Mapping[str, pa.Array | pa.ChunkedArray | list[Any]], rows: int
) -> pa.Table:
    """Columns by name as a table of `arrow_schema`; times may be ISO text, what lacks is null."""
    import pyarrow as pa

    def column(field: pa.Field) -> pa.Array | pa.ChunkedArray:
        values = columns.get(field.name)
        if values is None:
            return pa.nulls(rows, field.type)
        if isinstance(values, list):
            text = field.name == "created_at"
            values = pa.array(values, pa.string() if text else field.type)
        return values if values.type == field.type else values.cast(field.type)

    schema = arrow_schema()
    return pa.table([column(field) for field in schema], schema=schema)


def newest_first(table: pa.Table, limit: int | None = None) -> pa.Table:
    """The rows in the history's order, at most `limit` of them."""
    table = table.sort_by([("created_at", "descending"), ("id", "descending")])
    return table if limit is None else table.slice(0, limit)


def framed(table: pa.Table) -> pd.DataFrame:
    """The table as a history frame.

    Texts are `str`, whole numbers `Int64`, times `datetime64[us, UTC]`, backend and model
    categories, tags lists, sidecars dicts (None where they were not asked for).
    """
    import pandas as pd

    columns = {name: _column(name, table.column(name)) for name in NAMES}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)


def _column(name: str, values: pa.ChunkedArray) -> Any:
    import pandas as pd

    if name in _WHOLE:
        return pd.Int64Dtype().__from_arrow__(values)  # type: ignore[attr-defined]
    if name in _FEW:
        return _category(values)
    if name in _MADE:
        return _objects(map(_MADE[name], values.to_pylist()), len(values))
    if name in ("cost_usd_estimate", "created_at"):
        return values.to_pandas()
    return _text(values)


def _text(values: pa.ChunkedArray) -> Any:
    import numpy as np
    import pandas as pd

    return pd.StringDtype(na_value=np.nan).__from_arrow__(values)  # type: ignore[attr-defined]


def _category(values: pa.ChunkedArray) -> pd.Categorical:
    import pandas as pd

    encoded = values.dictionary_encode().unify_dictionaries().combine_chunks()
    chunk = encoded.chunk(0) if hasattr(encoded, "chunk") else encoded
    codes = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    kinds = pd.Index(chunk.dictionary.to_pylist(), dtype="str")
    return pd.Categorical.from_codes(codes, kinds)


def _objects(values: Iterable[Any], count: int) -> Any:
    """An array of Python objects: pandas would take lists of one length for a second dimension."""
    import numpy as np

    made = np.empty(count, dtype=object)
    for place, value in enumerate(values):
        made[place] = value
    return made


def _list(value: list[str] | None) -> list[str]:
    return [] if value is None else value


def _dict(text: str | None) -> Any:
    return None if text is None else json.loads(text)


_MADE: dict[str, Callable[[Any], Any]] = {"tags": _list, "sidecar": _dict}


def as_json(values: Iterable[Any]) -> list[str | None]:
    """Each value as JSON text; None stays."""
    return [None if value is None else json.dumps(value) for value in values]


def require(frame: pd.DataFrame, *columns: str) -> None:
    """Raises `UsageError` naming those of these columns that the frame lacks."""
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise UsageError(
            f"this frame lacks {', '.join(lacking)}: start from `im.history()` and keep "
            f"{'that column' if len(lacking) == 1 else 'those columns'}"
        )
