"""Two pictures of a frame, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.errors import StorageError
from imagen_nb.frames.pictures.locate import at
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import plain, sidecar, text
from imagen_nb.storage.output import load_record

if TYPE_CHECKING:
    import pandas as pd

_OF_ITSELF = {  # what any two pictures differ in
    "id", "created_at", "storage_path", "local_path", "latency_ms", "prompt_hash", "sha256",
    "bytes", "cloud",
}  # fmt: skip


def diff(
    frame: pd.DataFrame,
    one: int | str | UUID,
    other: int | str | UUID,
    *,
    all: bool = False,
) -> pd.DataFrame:
    """The fields in which two pictures differ, as `Accessor.diff` says."""
    import pandas as pd

    require(frame, "id")
    positions = [at(frame, one), at(frame, other)]
    left, right = (_fields(frame.iloc[position]) for position in positions)
    names = [
        name
        for name in dict.fromkeys([*left, *right])
        if (all or name not in _OF_ITSELF) and left.get(name) != right.get(name)
    ]
    values = [[left.get(name), right.get(name)] for name in names]
    ids = [text(frame["id"].iloc[position]) for position in positions]
    heads: list[Any] = ids if len({"", *ids}) == 3 else positions
    return pd.DataFrame(
        values, index=pd.Index(names, name="field"), columns=heads, dtype=object
    )


def _fields(row: pd.Series[Any]) -> dict[str, Any]:
    """The columns, and what its record has besides."""
    columns = {
        str(name): plain(value) for name, value in row.items() if name != "sidecar"
    }
    record = dict(_flat(_record(row)))
    return columns | {
        name: value for name, value in record.items() if name not in columns
    }


def _record(row: pd.Series[Any]) -> dict[str, Any]:
    """From the frame, or from the file beside the picture on this machine."""
    if found := sidecar(row.get("sidecar")):
        return found
    if path := text(row.get("local_path")):
        try:
            return load_record(Path(path)).snapshot()
        except StorageError:  # moved, or torn: the columns are still there
            return {}
    return {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
