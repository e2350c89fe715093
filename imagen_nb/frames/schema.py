"""A history frame: its columns, their types, and their values as Python has them.

One definition for every source. Values are parsed back too, since a frame may have been
in a CSV or Parquet file meanwhile.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.storage.record import IMAGES_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

HISTORY_COLUMNS = (*IMAGES_COLUMNS, "local_path", "cloud")
_WHOLE_NUMBER_COLUMNS = {"seed", "steps", "width", "height", "latency_ms"}
_CATEGORY_COLUMNS = {"backend", "model"}  # few different values
_ROWS_PER_JSON_CHUNK = 10_000  # or all rows would be in memory a second time


@functools.cache
def arrow_schema() -> pa.Schema:
    """Return the schema of every source's tables: `HISTORY_COLUMNS` in their order.

    `sidecar` is JSON text, and null where it was not requested.
    """
    import pyarrow as pa

    types = {name: pa.int64() for name in _WHOLE_NUMBER_COLUMNS} | {
        "cost_usd_estimate": pa.float64(),
        "tags": pa.list_(pa.string()),
        "created_at": pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in HISTORY_COLUMNS])


def empty_table() -> pa.Table:
    """Return a table of `arrow_schema` without rows."""
    return arrow_schema().empty_table()


def history_table(
    columns: Mapping[str, pa.Array | pa.ChunkedArray | list[Any]], rows: int
) -> pa.Table:
    """Return columns as a table of `arrow_schema`.

    Args:
        columns: values by column, each `rows` long. Times may be ISO text; a missing
            column is null, one that `arrow_schema` lacks is left out.
        rows: the number of rows.
    """
    import pyarrow as pa

    def column(field: pa.Field) -> pa.Array | pa.ChunkedArray:
        values = columns.get(field.name)
        if values is None:
            return pa.nulls(rows, field.type)
        if isinstance(values, list):
            is_time = field.name == "created_at"
            values = pa.array(values, pa.string() if is_time else field.type)
        return values if values.type == field.type else values.cast(field.type)

    schema = arrow_schema()
    return pa.table([column(field) for field in schema], schema=schema)


def newest_first(table: pa.Table, limit: int | None = None) -> pa.Table:
    """Return the rows by time and id, the newest first, and at most `limit` of them."""
    table = table.sort_by([("created_at", "descending"), ("id", "descending")])
    return table if limit is None else table.slice(0, limit)


def history_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table of `arrow_schema` as the data frame that users get.

    Texts are `str`, whole numbers `Int64`, times `datetime64[us, UTC]`, backend and
    model categories, tags lists, sidecars dicts (None where they were not requested).
    """
    import pandas as pd

    columns = {
        name: _pandas_column(name, table.column(name)) for name in HISTORY_COLUMNS
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)


def _pandas_column(name: str, values: pa.ChunkedArray) -> Any:
    import pandas as pd

    if name in _WHOLE_NUMBER_COLUMNS:
        return pd.Int64Dtype().__from_arrow__(values)  # type: ignore[attr-defined]
    if name in _CATEGORY_COLUMNS:
        return _category_column(values)
    if name in _OBJECT_CONVERTERS:
        objects = map(_OBJECT_CONVERTERS[name], values.to_pylist())
        return _object_array(objects, len(values))
    if name in ("cost_usd_estimate", "created_at"):
        return values.to_pandas()
    return _string_column(values)


def _string_column(values: pa.ChunkedArray) -> Any:
    import numpy as np
    import pandas as pd

    return pd.StringDtype(na_value=np.nan).__from_arrow__(values)  # type: ignore[attr-defined]


def _category_column(values: pa.ChunkedArray) -> pd.Categorical:
    import pandas as pd

    encoded = values.dictionary_encode().unify_dictionaries().combine_chunks()
    chunk = encoded.chunk(0) if hasattr(encoded, "chunk") else encoded
    codes = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    categories = pd.Index(chunk.dictionary.to_pylist(), dtype="str")
    return pd.Categorical.from_codes(codes, categories)


def _object_array(values: Iterable[Any], count: int) -> Any:
    """Return an array of objects; numpy would take lists for a second dimension."""
    import numpy as np

    array = np.empty(count, dtype=object)
    for position, value in enumerate(values):
        array[position] = value
    return array


def _list_or_empty(value: list[str] | None) -> list[str]:
    return [] if value is None else value


def _parsed_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


_OBJECT_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "tags": _list_or_empty,
    "sidecar": _parsed_json,
}


def json_texts(values: Iterable[Any]) -> list[str | None]:
    """Return each value as JSON text; None stays None."""
    return [None if value is None else json.dumps(value) for value in values]


def json_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows as JSON values: times in ISO 8601, what is missing as None."""
    for start in range(0, len(frame), _ROWS_PER_JSON_CHUNK):
        chunk = frame.iloc[start : start + _ROWS_PER_JSON_CHUNK]
        if "created_at" in chunk.columns:
            moments = chunk["created_at"].astype(object)
            chunk = chunk.assign(created_at=[*map(_iso_text, moments)])
        values = chunk.astype(object)
        yield from values.where(chunk.notna(), None).to_dict("records")  # type: ignore[misc]


def _iso_text(moment: Any) -> Any:
    """Return a time as text; in a frame that was in a file it is text already."""
    known = plain_value(moment)
    return known.isoformat() if hasattr(known, "isoformat") else known


def require_columns(frame: pd.DataFrame, *columns: str) -> None:
    """Raise `UsageError` if the frame lacks some of these columns, and name them."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UsageError(
            "expected a DataFrame of pictures: give `im.history()`, some of its rows, "
            f"or `pictures.frame()`, not {type(frame).__name__}"
        )
    lacking = [name for name in columns if name not in frame.columns]
    if not lacking:
        return
    them = "that column" if len(lacking) == 1 else "those columns"
    raise UsageError(
        f"this frame lacks {', '.join(lacking)}: "
        f"start from `im.history()` and keep {them}"
    )


def text_or_empty(value: object) -> str:
    """Return the value if it is text, else "": for None, NaN and NA."""
    return value if isinstance(value, str) else ""


def prompts_of(frame: pd.DataFrame) -> list[str]:
    """Return a frame's prompts; "" for what is none, or where there is no such column."""
    if "prompt" not in frame.columns:
        return [""] * len(frame)
    return [text_or_empty(prompt) for prompt in frame["prompt"]]


def parse_sidecar(value: object) -> dict[str, Any] | None:
    """Return a sidecar (a dict, or JSON) as plain values; None for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return plain_value(value) if isinstance(value, Mapping) else None


def parse_tags(value: object) -> list[str]:
    """Return tags (a list, an array of numpy, or JSON); [] for anything else."""
    tags = value
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            tags = json.loads(value)
    if hasattr(tags, "tolist"):  # an array of numpy
        tags = tags.tolist()
    if not isinstance(tags, list):
        return []
    return [tag for tag in tags if isinstance(tag, str)]


def plain_value(value: Any) -> Any:
    """Return the value without numpy's types, and None for NaN, NA and NaT.

    Arrays and tuples become lists; mappings and lists are converted throughout.
    """
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return plain_value(value.tolist())
    return None if _is_missing(value) else value


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in ("NAType", "NaTType") or value != value
