"""The settings that only records have, of many rows at once: no column of a history."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from imagen_nb.frames.schema import parse_sidecar
from imagen_nb.storage.catalog import Catalog

if TYPE_CHECKING:
    import pandas as pd

LORA_PREFIX = "LoRA "  # of a column: the weight of that LoRA, 0 where it was not used
INPUTS = "inputs"  # the column of a digest of the images that it was drawn from
IS_KNOWN = "record is known"  # the column that says whose records were found
_PLAIN = (
    "guidance",
    "strength",
    "true_cfg",
    "max_sequence_length",
    "negative_prompt",
    "batch_size",
    "dtype",
    "device",
    "threads",
)
_PARTS = (*_PLAIN, "scheduler_name", "scheduler", "loras", "options", "inputs")
_MOST_LORAS, _MOST_OPTIONS = 20, 20  # that are looked at
_RECORDS_AT_ONCE = 5_000  # for more, the records of all pictures are read
_ROWS_PER_FETCH = 20_000
_LONGEST_OPTION = 60  # characters of a text that is a setting

_RecordParts = Mapping[str, Any]


def load_record_settings(
    frame: pd.DataFrame, catalogs: Sequence[Catalog]
) -> pd.DataFrame:
    """Return the settings in each row's record, with the frame's index.

    From the frame's own sidecars, or else from these catalogs; `IS_KNOWN` is False for
    a picture that is in neither. Each of the most used LoRAs has a column of its own,
    `LORA_PREFIX` and its name; so has each option of a backend that is a number, a truth
    value or a short text.

    Raises:
        StorageError: if a catalog cannot be read.
    """
    import pandas as pd

    rows = [_settings_of(parts) for parts in _parts_of_rows(frame, catalogs)]
    used = Counter(name for row in rows for name in row if name.startswith(LORA_PREFIX))
    loras = sorted(name for name, _ in used.most_common(_MOST_LORAS))
    options = sorted({name for row in rows for name in row["options"]})
    columns: dict[str, list[Any]] = {
        name: [row.get(name) for row in rows] for name in (*_PLAIN, "scheduler", INPUTS)
    }
    for name in loras:
        columns[name] = [row.get(name, 0.0) for row in rows]
    for name in options[:_MOST_OPTIONS]:
        columns.setdefault(name, [row["options"].get(name) for row in rows])
    found = pd.DataFrame(columns, index=frame.index, dtype=object)
    return found.assign(**{IS_KNOWN: [row[IS_KNOWN] for row in rows]})


def _parts_of_rows(
    frame: pd.DataFrame, catalogs: Sequence[Catalog]
) -> Iterator[_RecordParts]:
    """Yield what matters of each row's record; nothing where that is not known."""
    own: list[Any] = [None] * len(frame)
    if "sidecar" in frame.columns:
        own = [parse_sidecar(one) for one in frame["sidecar"]]
    kept: dict[str, _RecordParts] = {}
    if "id" in frame.columns and not all(own):
        ids = {str(id) for id in frame["id"]}
        for catalog in catalogs:
            if catalog.has_any():
                kept.update(_read_parts(catalog, ids))
    all_ids = frame["id"] if "id" in frame.columns else [""] * len(frame)
    for record, id in zip(own, all_ids, strict=True):
        yield record or kept.get(str(id)) or {}


def _read_parts(catalog: Catalog, ids: set[str]) -> Iterator[tuple[str, _RecordParts]]:
    paths = ", ".join(f"'$.{name}'" for name in _PARTS)
    statement, values = f"SELECT id, json_extract(sidecar, {paths}) FROM images", []
    if len(ids) <= _RECORDS_AT_ONCE:
        statement += " WHERE id IN (SELECT value FROM json_each(?))"
        values = [json.dumps(sorted(ids))]
    with catalog.reader() as connection:
        cursor = connection.execute(statement, values)
        while chunk := cursor.fetchmany(_ROWS_PER_FETCH):
            for id, parts in chunk:
                if id in ids and parts:
                    yield id, dict(zip(_PARTS, json.loads(parts), strict=True))


def _settings_of(parts: _RecordParts) -> dict[str, Any]:
    row: dict[str, Any] = {name: parts.get(name) for name in _PLAIN}
    row[IS_KNOWN] = bool(parts)
    row["scheduler"] = parts.get("scheduler_name") or parts.get("scheduler")
    row["options"] = dict(_options_of(parts.get("options")))
    row[INPUTS] = _digest_of(parts.get("inputs"))
    return row | dict(_lora_weights(parts.get("loras")))


def _options_of(options: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(options, Mapping):
        return
    for name, value in options.items():
        is_text = isinstance(value, str) and len(value) <= _LONGEST_OPTION
        if is_text or isinstance(value, bool | int | float):
            yield name, value


def _lora_weights(loras: Any) -> Iterator[tuple[str, float]]:
    for one in loras if isinstance(loras, list) else ():
        path = isinstance(one, Mapping) and (one.get("path") or one.get("name"))
        if path:
            weight = one.get("weight")
            is_number = isinstance(weight, int | float)
            yield (
                LORA_PREFIX + PurePath(str(path)).stem,
                float(weight) if is_number else 1.0,
            )


def _digest_of(inputs: Any) -> str:
    """Return what the images that it was drawn from are told apart by; "" for none."""
    files = [one for one in inputs or () if isinstance(one, Mapping)]
    named = sorted(f"{one.get('name')} {one.get('sha256')}" for one in files)
    return hashlib.sha256("\n".join(named).encode()).hexdigest() if named else ""
