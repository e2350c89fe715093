"""The queue: pictures that wait to be drawn, kept in the catalog, each held by one painter at most.

What a painter holds is free again when its process dies, however it dies (see leases.py): the queue
survives a restart, and no two painters ever draw the same picture of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from imagen_nb.storage.catalog import Catalog, utc_text
from imagen_nb.system.leases import Leases

_ERROR_LENGTH = 500  # characters
_OTHER_VERSION_ERROR = (
    "this request was written by another version of imagen_nb: remove it"
)


class DrawingRequest(BaseModel):
    """One picture that somebody wants, in the words of `Studio.generate`.

    `again`: a picture that is to be reproduced; what else is given only describes it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: str
    backend: str | None = None
    seed: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    guidance: float | None = None
    tags: tuple[str, ...] = ()
    cloud: bool | None = None
    again: UUID | None = None


@dataclass(frozen=True, slots=True)
class QueuedDrawing:
    """A wish in the queue. `error`: why it could not be drawn; `mine`: held by who asks."""

    id: int
    wish: DrawingRequest
    error: str | None = None
    mine: bool = True


class DrawingQueue:
    """One painter's part in the queue of a catalog.

    Invariant: what it holds, no other living painter holds. It sees what it holds and what nobody
    holds, in the order in which it will be drawn.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Become a painter, until `close` or the end of the process."""
        self.catalog = catalog
        self._leases = Leases(catalog.path.parent / "leases", self._free)
        self._open = ExitStack()
        self._name = self._open.enter_context(self._leases.held())

    def close(self) -> None:
        """Hold nothing any more: what waits can be taken by others."""
        self._open.close()

    def add(self, wishes: Iterable[DrawingRequest]) -> None:
        """Put these at the end, in their order, held by this painter."""
        now = utc_text(datetime.now(UTC))
        texts = [wish.model_dump_json() for wish in wishes]
        with self.catalog.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            (last,) = connection.execute(
                "SELECT coalesce(max(place), 0) FROM queue"
            ).fetchone()
            rows = [
                (last + 1 + n, text, self._name, now) for n, text in enumerate(texts)
            ]
            connection.executemany(
                "INSERT INTO queue (place, wish, holder, made_at) VALUES (?, ?, ?, ?)",
                rows,
            )
            connection.execute("COMMIT")

    def items(self) -> list[QueuedDrawing]:
        """What this painter holds and what nobody does, the next one first."""
        self._leases.free_the_dead(self._others())
        rows = self._select(
            "WHERE holder = ? OR holder IS NULL ORDER BY place", self._name
        )
        return [_queued_drawing_of(row) for row in rows]

    def elsewhere(self) -> int:
        """How many wait for other painters."""
        with self.catalog.connection() as connection:
            query = "SELECT count(*) FROM queue WHERE holder <> ?"
            return int(connection.execute(query, (self._name,)).fetchone()[0])

    def next(self) -> QueuedDrawing | None:
        """The first that this painter holds."""
        rows = self._select(
            "WHERE holder = ? AND error IS NULL ORDER BY place LIMIT 1", self._name
        )
        return _queued_drawing_of(rows[0]) if rows else None

    def resume(self) -> int:
        """Hold all that waits and that nobody holds; gives how many these are."""
        self._leases.free_the_dead(self._others())
        return self._write(
            "UPDATE queue SET holder = ? WHERE holder IS NULL AND error IS NULL",
            self._name,
        )

    def retry(self, id: int) -> bool:
        """Hold one that could not be drawn, without its error; whether there is such a one."""
        return bool(
            self._write(
                "UPDATE queue SET holder = ?, error = NULL"
                " WHERE id = ? AND holder IS NULL AND error IS NOT NULL",
                self._name,
                id,
            )
        )

    def fail(self, id: int, why: str) -> None:
        """It could not be drawn: it stays, held by nobody, until somebody retries or removes it."""
        self._write(
            "UPDATE queue SET error = ?, holder = NULL WHERE id = ? AND holder = ?",
            why[:_ERROR_LENGTH],
            id,
            self._name,
        )

    def remove(self, id: int) -> None:
        """Take it out, drawn or not wanted any more, unless another painter holds it."""
        self._write(
            "DELETE FROM queue WHERE id = ? AND (holder = ? OR holder IS NULL)",
            id,
            self._name,
        )

    def move(self, id: int, by: int) -> None:
        """Let it change places with the one before (-1) or after (1) it."""
        with self.catalog.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            seen = connection.execute(
                "SELECT id, place FROM queue WHERE holder = ? OR holder IS NULL ORDER BY place",
                (self._name,),
            ).fetchall()
            at = next((n for n, (one, _) in enumerate(seen) if one == id), None)
            if at is not None and 0 <= at + by < len(seen):
                (_, here), (other, there) = seen[at], seen[at + by]
                swap = [(there, id), (here, other)]
                connection.executemany("UPDATE queue SET place = ? WHERE id = ?", swap)
            connection.execute("COMMIT")

    def _others(self) -> list[str]:
        with self.catalog.connection() as connection:
            query = "SELECT DISTINCT holder FROM queue WHERE holder <> ?"
            return [
                name for (name,) in connection.execute(query, (self._name,)).fetchall()
            ]

    def _select(self, rest: str, *values: str) -> list[tuple[Any, ...]]:
        query = f"SELECT id, wish, error, holder IS NOT NULL FROM queue {rest}"
        with self.catalog.connection() as connection:
            return connection.execute(query, values).fetchall()

    def _write(self, statement: str, *values: str | int) -> int:
        with self.catalog.connection() as connection:
            return connection.execute(statement, values).rowcount

    def _free(self, name: str) -> None:
        self._write("UPDATE queue SET holder = NULL WHERE holder = ?", name)


def _queued_drawing_of(row: tuple[Any, ...]) -> QueuedDrawing:
    id, text, error, held = row
    try:
        return QueuedDrawing(
            id, DrawingRequest.model_validate_json(text), error, bool(held)
        )
    except ValidationError:
        return QueuedDrawing(
            id, DrawingRequest(prompt=text[:200]), _OTHER_VERSION_ERROR, bool(held)
        )
