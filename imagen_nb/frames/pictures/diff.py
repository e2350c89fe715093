"""Two or more pictures of a frame, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.errors import StorageError
from imagen_nb.frames.pictures.locate import position_of
from imagen_nb.frames.schema import (
    parse_sidecar,
    plain_value,
    require_columns,
    text_or_empty,
)
from imagen_nb.storage.output import load_record
from imagen_nb.storage.record import short_id

if TYPE_CHECKING:
    import pandas as pd

_ALWAYS_DIFFERENT = {  # fields in which any two pictures differ
    "id",
    "created_at",
    "storage_path",
    "local_path",
    "latency_ms",
    "prompt_hash",
    "sha256",
    "bytes",
    "cloud",
}


def diff_pictures(
    frame: pd.DataFrame,
    one: int | str | UUID,
    other: int | str | UUID,
    *,
    all: bool = False,
) -> pd.DataFrame:
    """Return the fields in which two pictures differ, as `Accessor.diff` documents.

    Args:
        frame: needs the column `id`.
        one: a picture's position or id.
        other: that of the other one.
        all: include the fields in which any two pictures differ.

    Returns:
        One row a field, one column a picture: named by the first 8 digits of its id,
        by the whole id if those are the same, or by its position if both ids are.

    Raises:
        UsageError: if the frame has no such picture.
    """
    import pandas as pd

    require_columns(frame, "id")
    positions = [position_of(frame, one), position_of(frame, other)]
    differing = differing_fields(frame, positions, all=all)
    return pd.DataFrame(
        [*differing.values()],
        index=pd.Index([*differing], name="field"),
        columns=_column_names(frame, positions),
        dtype=object,
    )


def differing_fields(
    frame: pd.DataFrame, positions: Sequence[int], *, all: bool = False
) -> dict[str, list[Any]]:
    """Return the fields in which these pictures are not all the same, and their values.

    `all`: also the fields in which any two pictures differ.
    """
    pictures = [_fields_of_row(frame.iloc[position]) for position in positions]
    values = {
        name: [picture.get(name) for picture in pictures]
        for name in dict.fromkeys(name for picture in pictures for name in picture)
        if all or name not in _ALWAYS_DIFFERENT
    }
    return {
        name: several
        for name, several in values.items()
        if any(value != several[0] for value in several[1:])
    }


def _column_names(frame: pd.DataFrame, positions: list[int]) -> list[Any]:
    """Return the shortest names that tell the two pictures apart."""
    ids = [text_or_empty(frame["id"].iloc[position]) for position in positions]
    short = [short_id(id) for id in ids]
    for names in (short, ids):
        if len({"", *names}) == 3:
            return [*names]
    return [*positions]


def _fields_of_row(row: pd.Series[Any]) -> dict[str, Any]:
    """Return the columns, and those fields of the record that are no columns."""
    columns = {
        str(name): plain_value(value)
        for name, value in row.items()
        if name != "sidecar"
    }
    record = dict(_flat_fields(_record_of_row(row)))
    others = {name: value for name, value in record.items() if name not in columns}
    return columns | others


def _record_of_row(row: pd.Series[Any]) -> dict[str, Any]:
    """Return the record from the frame, or from the file beside the local picture."""
    sidecar = parse_sidecar(row.get("sidecar"))
    if sidecar:
        return sidecar
    path = text_or_empty(row.get("local_path"))
    if not path:
        return {}
    try:
        return load_record(Path(path)).snapshot()
    except StorageError:  # moved, or torn: the columns are still there
        return {}


def _flat_fields(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted names: versions.torch."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
