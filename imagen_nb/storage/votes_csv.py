"""Votes in a CSV file: those that `im.votes().to_csv` writes, or of another program."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from imagen_nb.errors import UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.votes import QUESTION, Vote, checked_question, checked_voter
from imagen_nb.system.csv_text import plain_cell

_REQUIRED = ("left", "right", "outcome")
_TAKEN = ("id", "question", "voter", *_REQUIRED, "created_at", "seconds")


def load_votes_text(path: Path) -> str:
    """Return the text of a file of votes. Raise `UsageError` if it has none in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8: no vote is imported") from None


def parse_votes_csv(text: str) -> list[Vote]:
    r"""Return the votes of a CSV file with a line of headings.

    It must have the columns left, right (whole ids) and outcome. It may have question,
    voter, created_at (ISO 8601; without a zone it is local time), seconds and id; what a
    cell leaves out is as `im.vote` has it, but for the voter, who is nobody then. Other
    columns are left alone. Where there is no id, it follows from the line, so that the
    same file has the same votes each time.

    Raises:
        UsageError: for the first line that is no vote, with its number.

    Example:
        >>> (vote,) = parse_votes_csv(f"left,right,outcome\n{a},{b},tie\n")
        >>> vote.outcome
        'tie'
    """
    votes, seen = [], Counter[str]()
    for number, cells in _numbered_votes(text):
        try:
            votes.append(_vote_of(cells, seen))
        except ValidationError as error:
            raise _line_error(number, _describe(error)) from None
        except UsageError as error:
            raise _line_error(number, str(error)) from None
    return votes


def _numbered_votes(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row by its columns, with the number of the line that it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        names = [name.strip() for name in next(reader, [])]
        lacking = [name for name in _REQUIRED if name not in names]
        if lacking:
            raise _line_error(1, f"no column {', '.join(lacking)}")
        number = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(names):
                raise _line_error(number, f"{len(cells)} cells, not {len(names)}")
            if cells:
                row = dict(zip(names, map(plain_cell, cells), strict=True))
                yield number, {name: row.get(name, "").strip() for name in _TAKEN}
            number = reader.line_num + 1
    except csv.Error as error:
        raise _line_error(number, f"this is no CSV ({error})") from None


def _vote_of(cells: Mapping[str, str], seen: Counter[str]) -> Vote:
    values: dict[str, Any] = {name: cells[name] for name in _REQUIRED}
    values["id"] = cells["id"] or _id_of(cells, seen)
    values["question"] = checked_question(cells["question"] or QUESTION)
    values["voter"] = checked_voter(cells["voter"])
    if cells["created_at"]:
        values["created_at"] = _moment_of(cells["created_at"])
    if cells["seconds"]:
        values["seconds"] = cells["seconds"]
    return Vote.model_validate(values)


def _id_of(cells: Mapping[str, str], seen: Counter[str]) -> UUID:
    """Return an id that equal lines have, each by how many such came before it."""
    line = json.dumps([cells[name] for name in _TAKEN])
    seen[line] += 1
    return uuid5(NAMESPACE_URL, f"imagen_nb:vote:{seen[line]}:{line}")


def _moment_of(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"created_at must be a time like 2026-05-11T08:00:00Z, not {short_repr(text)}"
        ) from None


def _describe(error: ValidationError) -> str:
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason
    return f"{first['loc'][0]} {short_repr(first['input'])}: {reason}"


def _line_error(number: int, reason: str) -> UsageError:
    return UsageError(f"line {number}: {reason}; no vote is imported")
