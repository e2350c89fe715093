"""Tables of jobs as people have them: CSV, JSON lines, YAML, Parquet, frames, lists."""

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

if TYPE_CHECKING:
    import pandas as pd

    Source = Path | str | pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]]

_READERS = ".csv, .tsv, .jsonl, .json, .yaml, .parquet"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table. `place`: where a person finds it; `text`: its values are only text."""

    place: str
    values: dict[str, Any]
    text: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a jobs file, or a grid that stands for many."""

    name: str
    rows: tuple[Row, ...] = ()
    grid: Mapping[str, Any] | None = None


def read(source: Source) -> Table:
    """The table that `source` is or that the file of this name holds.

    What is empty (an empty cell, null, NaN) is not given. Raises `UsageError` for what is no table.
    """
    if isinstance(source, (str, Path)):
        return _file(expand_user(Path(source)))
    if isinstance(source, Mapping):
        return Table("grid", grid=dict(source))
    if hasattr(source, "to_dict"):
        return Table("frame", _numbered(_framed(source), "row"))
    try:
        return Table("list", _numbered(_mappings(source), "job"))
    except TypeError:
        raise UsageError(
            f"jobs are a file, a DataFrame or a list of mappings, not {type(source).__name__}"
        ) from None


def _file(path: Path) -> Table:
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise UsageError(f"{path}: a jobs file ends in one of {_READERS}")
    try:
        return _KINDS[kind](path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not text in UTF-8, at byte {error.start}"
        ) from None


def _csv(path: Path) -> Table:
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(
            file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","
        )
        try:
            names = [name.strip() for name in next(lines, [])]
            _columns(path, names)
            rows = [(lines.line_num, line) for line in lines if any(line)]
        except csv.Error as error:
            raise UsageError(f"{path}, line {lines.line_num}: {error}") from None
    for number, line in rows:
        if len(line) > len(names):
            raise UsageError(
                f"{path}, line {number}: {len(line)} values for {len(names)} columns: "
                'put "quotes" around a text with commas in it'
            )
    return Table(
        path.stem,
        tuple(
            Row(
                f"line {number}",
                _given(dict(zip(names, line, strict=False))),
                text=True,
            )
            for number, line in rows
        ),
    )


def _columns(path: Path, names: Sequence[str]) -> None:
    if not any(names):
        raise UsageError(f"{path} has no header: its first line names the parameters")
    twice = {name for name in names if names.count(name) > 1}
    if twice or "" in names:
        what = (
            f"the column {min(twice)!r} twice"
            if twice - {""}
            else "a column without a name"
        )
        raise UsageError(f"{path} has {what}")


def _json_lines(path: Path) -> Table:
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(
                    Row(f"line {number}", _mapping(_parsed(path, number, line)))
                )
    return Table(path.stem, tuple(rows))


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: no JSON ({error})") from None


def _document(path: Path) -> Table:
    """YAML, of which JSON is a part: a list of jobs, or a mapping, which is a grid."""
    import yaml

    with open(path, encoding="utf-8") as file:
        try:
            found = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    if isinstance(found, dict):
        return Table(path.stem, grid=found)
    if not isinstance(found, list):
        raise UsageError(
            f"{path} holds neither a list of jobs nor a grid (name: values)"
        )
    return Table(path.stem, _numbered(_mappings(found), "job"))


def _parquet(path: Path) -> Table:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ValueError as error:  # pyarrow's own errors among them
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    return Table(path.stem, _numbered(_framed(frame), "row"))


_KINDS = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _document,
    ".yaml": _document,
    ".yml": _document,
    ".parquet": _parquet,
}


def _framed(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.astype(object).to_dict("records")
    return rows


def _mappings(rows: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [_mapping(row) for row in rows]


def _mapping(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise UsageError(f"a job is a mapping of parameters, not {str(row)[:60]!r}")
    return _given(row)


def _numbered(rows: Iterable[Mapping[str, Any]], what: str) -> tuple[Row, ...]:
    return tuple(
        Row(f"{what} {number}", _given(row)) for number, row in enumerate(rows, 1)
    )


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(name): plain
        for name, value in row.items()
        if (plain := _plain(value)) is not None
    }


def _plain(value: Any) -> Any:
    """The value as JSON has it; None for what is empty."""
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, (str, bool, int)) or value is None:
        return value if value != "" else None
    if isinstance(value, float):
        return value if value == value else None  # NaN differs from itself
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    if isinstance(value, date):  # datetimes too; NaT is one
        return value.isoformat() if value == value else None
    text = str(value)
    return None if text in ("<NA>", "NaT") else text
