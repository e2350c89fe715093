"""What was once computed of pictures, for the next time; losing it costs time, nothing else."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from imagen_nb.system.terminal import complain

_BUSY_S = 30  # seconds to wait for other processes that write
_MANY = 500  # keys in one question
_TABLE = "CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, bits BLOB) WITHOUT ROWID"

T = TypeVar("T")


class Seen:
    """64 bits for each key, in a file that processes may share. Nothing is raised for its sake."""

    def __init__(self, path: Path) -> None:
        """Creates nothing."""
        self.path = path

    def known(self, keys: Iterable[str]) -> dict[str, int]:
        """Those of the keys that are known."""
        if not self.path.exists():
            return {}
        digests = {_digest(key): key for key in keys}

        def ask(connection: sqlite3.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            asked = [*digests]
            for start in range(0, len(asked), _MANY):
                part = asked[start : start + _MANY]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, bits FROM seen WHERE key IN ({marks})", part
                )
                found |= {digests[key]: int.from_bytes(bits) for key, bits in rows}
            return found

        return self._with(ask) or {}

    def learn(self, values: Mapping[str, int]) -> None:
        """Note these for the next time."""
        rows = [(_digest(key), value.to_bytes(8)) for key, value in values.items()]
        self._with(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?)", rows
            )
        )

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """None when the file cannot be used. A damaged one is begun anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as connection, connection:
                connection.execute(_TABLE)
                return work(connection)
        except (OSError, sqlite3.OperationalError) as error:  # full, locked, not ours
            complain(f"{self.path} cannot be used ({error}): pictures are looked at again")
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self.path.unlink()
        return None


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
