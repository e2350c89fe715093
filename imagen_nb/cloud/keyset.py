"""Pages by key: the rows of a table, the newest first, by a time and an id.

A server gives at most so many rows in an answer and does not say that there are more.
So each page begins below the last row of the one before, until one is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from imagen_nb.cloud.errors import decoding


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """Where a row stands; a newer one is greater."""

    moment: datetime  # in UTC
    id: str

    def filters_below(
        self, time: str = "created_at", id: str = "id"
    ) -> list[tuple[str, str]]:
        """Return PostgREST's filters for the rows after this one, by these columns.

        The first condition is what an index on the time needs. The second one is an
        `and` with one member, as the query may have an `or` already.
        """
        at = moment_in_url(self.moment)
        return [
            (time, f"lte.{at}"),
            ("and", f"(or({time}.lt.{at},{id}.lt.{self.id}))"),
        ]


def key_of(row: Mapping[str, Any], time: str = "created_at", id: str = "id") -> RowKey:
    """Return the key of a row. Raises what a wrong answer raises: see `decoding`."""
    moment = datetime.fromisoformat(row[time]).astimezone(UTC)
    return RowKey(moment, str(UUID(row[id])))


def last_key(
    rows: Sequence[Mapping[str, Any]],
    top: RowKey | None,
    time: str = "created_at",
    id: str = "id",
) -> RowKey:
    """Return the key of a page's last row.

    Raise UnreachableError where it is none, or is not below `top`: what answers
    everything alike would be asked for ever.
    """
    with decoding():
        last = key_of(rows[-1], time, id)
        if top is not None and not last < top:
            raise ValueError("a page that does not go on")
        return last


def moment_in_url(moment: datetime) -> str:
    """Return the moment in UTC, with Z: the + of an offset would be read as a blank."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
