"""Loads tables of jobs: CSV, JSON lines, YAML, Parquet, DataFrames, lists."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.system.paths import expand_user
from imagen_nb.system.yaml_text import parse_yaml

if TYPE_CHECKING:
    import pandas as pd

    JobsSource = (
        Path | str | pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]]
    )

_TOO_DEEP = "nested too deeply for jobs: a parameter is a value, or a list of values"
_NO_PARQUET = (ValueError, LookupError, TypeError, NotImplementedError)
_TABLE_SUFFIXES = ".csv, .tsv, .jsonl, .json, .yaml, .parquet"


@dataclass(frozen=True, slots=True)
class JobRow:
    """One row of a table.

    Attributes:
        location: where a person finds it, such as `line 3`.
        values: by the column's name, without those that are empty.
        is_text: whether all values are text, as in a CSV file, and are to be parsed.
    """

    location: str
    values: dict[str, Any]
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class JobTable:
    """The rows of a jobs file, or a grid, which is a mapping of names to values."""

    rows: tuple[JobRow, ...] = ()
    grid: Mapping[str, Any] | None = None


def load_table(source: JobsSource) -> JobTable:
    """Load the table from a file's path, a DataFrame, a list of mappings, or a grid.

    Empty values (an empty cell, null, NaN) are left out. Raises `UsageError` if it
    cannot be read as a table.
    """
    try:
        return _table_of(source)
    except RecursionError:
        place = f"{source}: " if isinstance(source, (str, Path)) else ""
        raise UsageError(f"{place}{_TOO_DEEP}") from None


def _table_of(source: JobsSource) -> JobTable:
    if isinstance(source, (str, Path)):
        return _table_from_file(expand_user(Path(source)))
    if isinstance(source, Mapping):
        return JobTable(grid=dict(source))
    if hasattr(source, "to_dict"):
        return _numbered_rows(_records_of_frame(source), "row")
    try:
        return _numbered_rows(_validated_mappings(source), "job")
    except TypeError:
        raise UsageError(
            "jobs are a file, a DataFrame or a list of mappings, "
            f"not {type(source).__name__}"
        ) from None


def _table_from_file(path: Path) -> JobTable:
    suffix = path.suffix.lower()
    if suffix not in _LOADER_BY_SUFFIX:
        raise UsageError(f"{path}: a jobs file ends in one of {_TABLE_SUFFIXES}")
    try:
        return _LOADER_BY_SUFFIX[suffix](path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UsageError(f"{path}: {reason}") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not text in UTF-8, at byte {error.start}"
        ) from None


def _table_from_csv(path: Path) -> JobTable:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter)
        try:
            names = [name.strip() for name in next(lines, [])]
            _require_column_names(path, names)
            numbered = [(lines.line_num, line) for line in lines if any(line)]
        except csv.Error as error:
            raise UsageError(f"{path}, line {lines.line_num}: {error}") from None
    rows = []
    for number, line in numbered:
        if len(line) > len(names):
            raise UsageError(
                f"{path}, line {number}: {len(line)} values for {len(names)} columns: "
                'put "quotes" around a text with commas in it'
            )
        values = _without_empty_values(dict(zip(names, line, strict=False)))
        rows.append(JobRow(f"line {number}", values, is_text=True))
    return JobTable(tuple(rows))


def _require_column_names(path: Path, names: Sequence[str]) -> None:
    if not any(names):
        raise UsageError(f"{path} has no header: its first line names the parameters")
    repeated = {name for name in names if name and names.count(name) > 1}
    if repeated:
        raise UsageError(f"{path} has the column {min(repeated)!r} twice")
    if "" in names:
        raise UsageError(f"{path} has a column without a name")


def _table_from_json_lines(path: Path) -> JobTable:
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                values = _validated_mapping(_parse_json_line(path, number, line))
                rows.append(JobRow(f"line {number}", values))
    return JobTable(tuple(rows))


def _parse_json_line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: no JSON ({error})") from None
    except RecursionError:
        raise UsageError(f"{path}, line {number}: {_TOO_DEEP}") from None


def _table_from_yaml(path: Path) -> JobTable:
    """Load a list of jobs, or a mapping, which is a grid; JSON is a part of YAML."""
    import yaml

    text = path.read_text(encoding="utf-8")
    try:
        _, document = parse_yaml(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    if isinstance(document, dict):
        return JobTable(grid=_json_value(document))
    if not isinstance(document, list):
        raise UsageError(
            f"{path} holds neither a list of jobs nor a grid (name: values)"
        )
    return _numbered_rows(_validated_mappings(document), "job")


def _table_from_parquet(path: Path) -> JobTable:
    import pandas as pd
    import pyarrow as pa

    try:
        records = _records_of_frame(pd.read_parquet(path))
    except (pa.ArrowException, *_NO_PARQUET) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    return _numbered_rows(records, "row")


_LOADER_BY_SUFFIX = {
    ".csv": _table_from_csv,
    ".tsv": _table_from_csv,
    ".jsonl": _table_from_json_lines,
    ".ndjson": _table_from_json_lines,
    ".json": _table_from_yaml,
    ".yaml": _table_from_yaml,
    ".yml": _table_from_yaml,
    ".parquet": _table_from_parquet,
}


def _records_of_frame(frame: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.astype(object).to_dict("records")
    return records


def _validated_mappings(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [_validated_mapping(row) for row in rows]


def _validated_mapping(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise UsageError(f"a job is a mapping of parameters, not {str(row)[:60]!r}")
    return _without_empty_values(row)


def _numbered_rows(rows: Iterable[Mapping[str, Any]], noun: str) -> JobTable:
    return JobTable(
        tuple(
            JobRow(f"{noun} {number}", _without_empty_values(row))
            for number, row in enumerate(rows, 1)
        )
    )


def _without_empty_values(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {str(name): _json_value(value) for name, value in row.items()}
    return {name: value for name, value in values.items() if value is not None}


def can_be_written(value: Any) -> bool:
    """Return whether a notebook's file, which is JSON in UTF-8, can hold a value."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _json_value(value: Any) -> Any:
    """Return the value in the types of JSON; None if it is empty."""
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, (str, bool, int)) or value is None:
        return value if value != "" else None
    if isinstance(value, float):
        return value if value == value else None  # NaN differs from itself
    if isinstance(value, Mapping):
        return {str(name): _json_value(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(part) for part in value]
    if isinstance(value, date):  # datetimes too; NaT is one
        return value.isoformat() if value == value else None
    text = str(value)
    return None if text in ("<NA>", "NaT") else text
