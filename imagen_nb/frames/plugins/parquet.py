"""The format `parquet`: tables with the pictures in them, as Hugging Face's datasets read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.plugins.exporters import ExportedPicture
from imagen_nb.frames.plugins.metadata import shared_facts, without_private_columns
from imagen_nb.frames.plugins.shards import write_shards

if TYPE_CHECKING:
    import pyarrow as pa

_TABLE_MB = 500.0
_ROWS_PER_GROUP = 100  # what readers load at a time, as the Hub's own tables have it
_FEATURE_DTYPES = {
    "int": "int64",
    "float": "float64",
    "bool": "bool",
}  # others are text


class Parquet:
    """Writes tables; each picture is a row."""

    def __call__(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        *,
        shard_mb: float = _TABLE_MB,
    ) -> Iterator[Path]:
        """Write `image` (bytes and name), `text` and the frame's columns; yield the file.

        `image` is the feature Image of Hugging Face's datasets, which the schema says:
        `datasets.load_dataset(folder)` gives pictures. What is neither number nor text
        is JSON. A file has at most `shard_mb` MB (of 10⁶ bytes) of pictures, or one
        larger picture.
        """
        return self.resume(pictures, folder, (), shard_mb=shard_mb)

    def resume(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        done: Sequence[Path],
        *,
        shard_mb: float = _TABLE_MB,
    ) -> Iterator[Path]:
        """See `ResumableExporter.resume`: files that are whole stay."""
        return write_shards(pictures, folder, done, ".parquet", shard_mb, _write_table)


def _write_table(pictures: Iterable[ExportedPicture], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for group in _groups(pictures):
            if writer is None:
                kinds = without_private_columns(group[0].kinds)
                schema = _table_schema(kinds)
                # Pictures are compressed already.
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            rows = [_table_row(picture, kinds) for picture in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    finally:
        if writer:
            writer.close()


def _groups(pictures: Iterable[ExportedPicture]) -> Iterator[list[ExportedPicture]]:
    group: list[ExportedPicture] = []
    for picture in pictures:
        group.append(picture)
        if len(group) == _ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def _table_schema(kinds: Mapping[str, str]) -> pa.Schema:
    """Return the columns with what datasets make of them (huggingface: info.features)."""
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", image), ("text", pa.string())]
    features: dict[str, Any] = {"image": {"_type": "Image"}, "text": _value("string")}
    for name, kind in kinds.items():
        dtype = _FEATURE_DTYPES.get(kind, "string")
        arrow, feature = pa.type_for_alias(dtype), _value(dtype)
        if kind == "texts":
            arrow = pa.list_(arrow)
            feature = {"feature": feature, "_type": "Sequence"}
        fields.append((name, arrow))
        features[name] = feature
    info = json.dumps({"info": {"features": features}})
    return pa.schema(fields, {"huggingface": info})


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _table_row(picture: ExportedPicture, kinds: Mapping[str, str]) -> dict[str, Any]:
    image = {"bytes": picture.data, "path": picture.name}
    row = shared_facts(picture)
    values = {name: _cell(row.get(name), kind) for name, kind in kinds.items()}
    return {"image": image, "text": picture.caption, **values}


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value)
    return float(value) if kind == "float" else value


parquet = Parquet()  # the entry point
