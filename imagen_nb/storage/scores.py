"""The scores of a folder's pictures, kept beside its vectors: computed once.

A score can be computed again: one lost is no picture lost. So the file is made anew where
it is damaged, and where it cannot be written, scores are just not kept.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog_schema import LOCK_TIMEOUT_S
from imagen_nb.system.atomic import make_folder

_FILES_PER_QUERY = 400
_TABLE = """
    CREATE TABLE IF NOT EXISTS scores (
      scorer TEXT NOT NULL,         -- name and version
      sha256 TEXT NOT NULL,         -- of the picture's file
      prompt_hash TEXT NOT NULL,    -- '' where prompts are nothing to the scorer
      score REAL,                   -- NULL: nothing can be said
      PRIMARY KEY (scorer, sha256, prompt_hash)
    ) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class ScoredPicture:
    """What a score is of: a file, by its sha256, and a prompt, by its hash, or ""."""

    sha256: str
    prompt_hash: str = ""


class ScoreStore:
    """The scores of a folder's pictures, for any number of processes.

    Invariant: what `add` returned from is found by every process.

    Example:
        >>> store = ScoreStore(Path("pictures"))
        >>> one = ScoredPicture("0" * 64)
        >>> store.add("sharpness 1", {one: 412.5})
        >>> store.load("sharpness 1", [one])[one]
        412.5
    """

    def __init__(self, folder: Path) -> None:
        """Open nothing yet. `folder`: the output folder."""
        self.path = folder / ".imagen" / "scores.sqlite3"

    def load(
        self, scorer: str, pictures: Sequence[ScoredPicture]
    ) -> dict[ScoredPicture, float]:
        """Return the scores that are kept, NaN where nothing can be said.

        Args:
            scorer: its name and version.
            pictures: those that are asked for.
        """
        if not self.path.exists():
            return {}
        wanted = {*pictures}
        files = sorted({one.sha256 for one in wanted})
        found: dict[ScoredPicture, float] = {}
        try:
            with self._opened() as connection:
                for start in range(0, len(files), _FILES_PER_QUERY):
                    part = files[start : start + _FILES_PER_QUERY]
                    found |= _select_scores(connection, scorer, part)
        except (sqlite3.Error, OSError):
            return {}  # computed again
        return {one: score for one, score in found.items() if one in wanted}

    def add(self, scorer: str, scores: Mapping[ScoredPicture, float]) -> None:
        """Keep scores; those that are there stay. NaN: nothing can be said.

        Raise `StorageError` if they cannot be written.
        """
        rows = [
            (scorer, one.sha256, one.prompt_hash, None if score != score else score)
            for one, score in scores.items()
        ]
        try:
            self._insert(rows)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot write {self.path}: {error}") from error

    def _insert(self, rows: Sequence[tuple[str, str, str, float | None]]) -> None:
        make_folder(self.path.parent)
        try:
            self._insert_into_whole(rows)
        except sqlite3.OperationalError:  # locked, full, read-only
            raise
        except sqlite3.DatabaseError:  # damaged, or no database
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            self._insert_into_whole(rows)

    def _insert_into_whole(
        self, rows: Sequence[tuple[str, str, str, float | None]]
    ) -> None:
        with self._opened() as connection, connection:
            connection.execute(_TABLE)
            connection.executemany(
                "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?)", rows
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        opened = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S)
        with closing(opened) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection


def _select_scores(
    connection: sqlite3.Connection, scorer: str, files: Sequence[str]
) -> dict[ScoredPicture, float]:
    marks = ", ".join("?" * len(files))
    rows = connection.execute(
        "SELECT sha256, prompt_hash, score FROM scores"
        f" WHERE scorer = ? AND sha256 IN ({marks})",
        (scorer, *files),
    )
    return {
        ScoredPicture(sha256, prompt): math.nan if score is None else score
        for sha256, prompt, score in rows
    }
