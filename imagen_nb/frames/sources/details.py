"""What only the records of pictures have, of many rows at once: no column of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.schema import parse_sidecar
from imagen_nb.storage.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_DETAILS = ("guidance", "scheduler", "loras")
_RECORDS_PER_CHUNK = 20_000  # rows that are Python objects at one time
_RECORDS_PER_SELECT = 5_000  # for more, the records of all pictures are read
_SELECT = (
    "SELECT id, json_extract(sidecar, '$.guidance'),"
    " coalesce(json_extract(sidecar, '$.scheduler_name'),"
    " json_extract(sidecar, '$.scheduler')),"
    " json_extract(sidecar, '$.loras') FROM images"
)


def load_record_details(
    frame: pd.DataFrame, catalogs: Sequence[Catalog]
) -> pd.DataFrame:
    """Return guidance, scheduler and the names of `loras` (a list) of each row.

    From the frame's own sidecars, or else from these catalogs; missing for a picture
    that is in neither, and without columns if all are. Raises `StorageError` if a
    catalog cannot be read.
    """
    import pandas as pd

    if "sidecar" in frame.columns and frame["sidecar"].notna().all():
        records = [parse_sidecar(one) or {} for one in frame["sidecar"]]
        rows = [_details_of(record) for record in records]
        return pd.DataFrame(rows, columns=[*_DETAILS])
    found = _in_catalogs(frame, catalogs)
    if not len(found):
        return pd.DataFrame(index=pd.RangeIndex(len(frame)))
    return _joined(frame, found)


def _details_of(record: Mapping[str, Any]) -> tuple[Any, Any, list[str]]:
    scheduler = record.get("scheduler_name") or record.get("scheduler")
    return record.get("guidance"), scheduler, _names_of(record.get("loras"))


def _names_of(loras: Any) -> list[str]:
    if not isinstance(loras, list):
        return []
    paths = [
        one.get("path") or one.get("name") for one in loras if isinstance(one, dict)
    ]
    return [PurePath(str(path)).stem for path in paths if path]


def _in_catalogs(frame: pd.DataFrame, catalogs: Sequence[Catalog]) -> pa.Table:
    import pyarrow as pa

    tables = [
        pa.table(dict(zip(_schema().names, columns, strict=True)), schema=_schema())
        for catalog in catalogs
        if catalog.has_any()
        for columns in _read(catalog, frame["id"])
    ]
    return pa.concat_tables(tables) if tables else _schema().empty_table()


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = pa.large_string()
    return pa.schema(
        [
            ("id", texts),
            ("guidance", pa.float64()),
            ("scheduler", texts),
            ("loras", pa.large_list(texts)),
        ]
    )


def _read(catalog: Catalog, ids: pd.Series[Any]) -> Iterator[list[list[Any]]]:
    statement, values = _SELECT, []
    if len(ids) <= _RECORDS_PER_SELECT:
        statement += " WHERE id IN (SELECT value FROM json_each(?))"
        values = [json.dumps([*map(str, ids)])]
    with catalog.reader() as connection:
        cursor = connection.execute(statement, values)
        while chunk := cursor.fetchmany(_RECORDS_PER_CHUNK):
            *columns, loras = map(list, zip(*chunk, strict=True))
            parsed = [_names_of(json.loads(one)) if one else [] for one in loras]
            yield [*columns, parsed]


def _joined(frame: pd.DataFrame, table: pa.Table) -> pd.DataFrame:
    """Return the table's rows in the order of the frame's ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array([*map(str, frame["id"])], pa.large_string())
    places = pc.index_in(ids, value_set=table["id"])
    found = table.select([*_DETAILS]).take(places)
    details: pd.DataFrame = found.to_pandas()
    return details
