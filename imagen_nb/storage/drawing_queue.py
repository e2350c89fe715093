"""The drawing queue: requests in the catalog, each held by one painter at most.

What a painter holds becomes free when its process dies, however it dies (see
leases.py). So the queue survives a restart, and no two painters ever draw the same
request.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from imagen_nb.request.drawing_settings import DrawingSettings
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import utc_text
from imagen_nb.storage.catalog_schema import MAX_ERROR_CHARS
from imagen_nb.system.leases import Leases

_MAX_UNREADABLE_CHARS = 200
_OTHER_VERSION_ERROR = (
    "this request was written by another version of imagen_nb: remove it"
)


class DrawingRequest(DrawingSettings):
    """One picture to draw, as arguments of `Studio.generate`; None is the default.

    `again` is the id of a picture to reproduce; the other fields then only describe it.
    `init_image` and `mask` are names of files that `save_inputs` wrote into the
    catalog's folder.
    """

    prompt: str
    seed: int | None = None
    init_image: str | None = None
    mask: str | None = None
    cloud: bool | None = None
    again: UUID | None = None


@dataclass(frozen=True, slots=True)
class QueuedDrawing:
    """A request in the queue.

    `error` is why it could not be drawn; `mine` says whether the painter that asks
    holds it.
    """

    id: int
    request: DrawingRequest
    error: str | None = None
    mine: bool = True


class DrawingQueue:
    """One painter's part in the queue of a catalog.

    Invariant: what it holds, no other living painter holds. It sees what it holds and
    what nobody holds, in the order in which that will be drawn.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Become a painter, until `close` or the end of the process."""
        self.catalog = catalog
        self._leases = Leases(catalog.path.parent / "leases", self._free)
        self._open = ExitStack()
        self._name = self._open.enter_context(self._leases.held())

    def close(self) -> None:
        """Release all that is held: other painters can take it."""
        self._open.close()

    def add(self, requests: Iterable[DrawingRequest]) -> None:
        """Append the requests in their order, held by this painter."""
        now = utc_text(datetime.now(UTC))
        texts = [request.model_dump_json() for request in requests]
        with self.catalog.transaction(durable=True) as connection:
            (last,) = connection.execute(
                "SELECT coalesce(max(place), 0) FROM queue"
            ).fetchone()
            rows = [
                (place, text, self._name, now)
                for place, text in enumerate(texts, last + 1)
            ]
            connection.executemany(
                "INSERT INTO queue (place, wish, holder, made_at) VALUES (?, ?, ?, ?)",
                rows,
            )

    def items(self) -> list[QueuedDrawing]:
        """Return what this painter holds and what nobody holds, the next one first."""
        self._leases.free_the_dead(self._other_holders())
        rows = self._select(
            "WHERE holder = ? OR holder IS NULL ORDER BY place", self._name
        )
        return [_queued_drawing_of(row) for row in rows]

    def elsewhere(self) -> int:
        """Return how many requests other painters hold."""
        query = "SELECT count(*) FROM queue WHERE holder <> ?"
        with self.catalog.connection() as connection:
            return int(connection.execute(query, (self._name,)).fetchone()[0])

    def next(self) -> QueuedDrawing | None:
        """Return the first request that this painter holds and can draw, or None."""
        rows = self._select(
            "WHERE holder = ? AND error IS NULL ORDER BY place LIMIT 1", self._name
        )
        return _queued_drawing_of(rows[0]) if rows else None

    def resume(self) -> int:
        """Take all that waits and that nobody holds; return how many."""
        self._leases.free_the_dead(self._other_holders())
        return self._write(
            "UPDATE queue SET holder = ? WHERE holder IS NULL AND error IS NULL",
            self._name,
        )

    def retry(self, id: int) -> bool:
        """Take one that could not be drawn; return whether there was such a one."""
        changed = self._write(
            "UPDATE queue SET holder = ?, error = NULL"
            " WHERE id = ? AND holder IS NULL AND error IS NOT NULL",
            self._name,
            id,
        )
        return changed > 0

    def fail(self, id: int, reason: str) -> None:
        """Note why it could not be drawn; it stays until retried or removed."""
        self._write(
            "UPDATE queue SET error = ?, holder = NULL WHERE id = ? AND holder = ?",
            reason[:MAX_ERROR_CHARS],
            id,
            self._name,
        )

    def remove(self, id: int) -> None:
        """Remove it, whether drawn or not, unless another painter holds it."""
        self._write(
            "DELETE FROM queue WHERE id = ? AND (holder = ? OR holder IS NULL)",
            id,
            self._name,
        )

    def remove_all(self, but: int | None = None) -> None:
        """Remove all that it sees, but the one with this id."""
        self._write(
            "DELETE FROM queue WHERE id <> ? AND (holder = ? OR holder IS NULL)",
            -1 if but is None else but,
            self._name,
        )

    def move(self, id: int, by: int) -> None:
        """Draw it as many places later (or, negative, earlier), as far as there are."""
        with self.catalog.transaction(durable=True) as connection:
            rows = connection.execute(
                "SELECT id, place FROM queue WHERE holder = ? OR holder IS NULL"
                " ORDER BY place",
                (self._name,),
            ).fetchall()
            connection.executemany(
                "UPDATE queue SET place = ? WHERE id = ?", _moved_places(rows, id, by)
            )

    def _other_holders(self) -> list[str]:
        query = "SELECT DISTINCT holder FROM queue WHERE holder <> ?"
        with self.catalog.connection() as connection:
            rows = connection.execute(query, (self._name,)).fetchall()
        return [name for (name,) in rows]

    def _select(self, clauses: str, *values: str) -> list[tuple[Any, ...]]:
        query = f"SELECT id, wish, error, holder IS NOT NULL FROM queue {clauses}"
        with self.catalog.connection() as connection:
            return connection.execute(query, values).fetchall()

    def _write(self, statement: str, *values: str | int) -> int:
        with self.catalog.connection(durable=True) as connection:
            return connection.execute(statement, values).rowcount

    def _free(self, name: str) -> None:
        self._write("UPDATE queue SET holder = NULL WHERE holder = ?", name)


def _moved_places(
    rows: list[tuple[int, int]], id: int, by: int
) -> list[tuple[int, int]]:
    """Return (new place, id) of those whose place changes.

    `rows`: (id, place) in the order of the queue.
    """
    ids = [row_id for row_id, _ in rows]
    if id not in ids:
        return []
    position = ids.index(id)
    ids.insert(max(0, position + by), ids.pop(position))
    moved = zip(ids, rows, strict=True)
    return [(place, row_id) for row_id, (before, place) in moved if row_id != before]


def _queued_drawing_of(row: tuple[Any, ...]) -> QueuedDrawing:
    id, text, error, held = row
    try:
        request = DrawingRequest.model_validate_json(text)
    except ValidationError:
        request = DrawingRequest(prompt=text[:_MAX_UNREADABLE_CHARS])
        error = _OTHER_VERSION_ERROR
    return QueuedDrawing(id, request, error, bool(held))
