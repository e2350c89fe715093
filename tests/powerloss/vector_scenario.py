"""The process that is recorded at work with a store of vectors.

python -m tests.powerloss.vector_scenario ROOT MARKS MUTATION
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from imagen_nb.storage.vectors import VectorStore
from imagen_nb.system.atomic import make_folder
from tests.fixtures.vectors import DIMENSIONS, add_numbered, numbered_ids
from tests.powerloss.mutations import mutate

FOLDER = "pictures"


class VectorScenario:
    """A store, and the notes of what is promised of it from then on.

    `kept` are ids that are there, `unsent` those of which it must not be believed that the
    cloud has them.
    """

    def __init__(self, root: Path, marks: Path) -> None:
        self._descriptor = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.store = VectorStore(root / FOLDER, "m", DIMENSIONS)
        make_folder(root / FOLDER)
        self.kept: list[str] = []
        self.sent: set[str] = set()

    def note(self, what: str) -> None:
        unsent = [id for id in self.kept if id not in self.sent]
        promise = {"what": what, "kept": self.kept, "unsent": unsent}
        os.write(self._descriptor, (json.dumps(promise) + "\n").encode())

    def add(self, start: int, count: int) -> None:
        self.kept += add_numbered(self.store, range(start, start + count))
        self.note(f"added {count} from {start} on")

    def mark(self, numbers: Sequence[int]) -> None:
        ids = numbered_ids(numbers)
        self.sent |= {*ids}
        self.note("to be marked")
        self.store.mark_sent(ids)
        self.note("marked")

    def forget(self, numbers: Sequence[int]) -> None:
        ids = numbered_ids(numbers)
        self.store.forget_sent(ids)
        self.sent -= {*ids}
        self.note("forgotten")

    def keep_only(self, numbers: Sequence[int]) -> None:
        self.kept = [id for id in self.kept if id in numbered_ids(numbers)]
        self.note("to be removed")
        assert self.store.keep_only(self.kept)
        self.note("removed")


def main(arguments: Sequence[str]) -> None:
    root, marks, mutation = arguments
    mutate(mutation)
    scenario = VectorScenario(Path(root), Path(marks))
    scenario.add(0, 32)
    scenario.add(32, 100)
    scenario.mark(range(20, 60))
    scenario.add(132, 32)
    scenario.forget(range(50, 55))
    scenario.keep_only(range(40, 140))
    scenario.add(200, 64)
    scenario.mark(range(200, 230))
    scenario.keep_only(range(100, 220))
    scenario.add(300, 32)


if __name__ == "__main__":
    main(sys.argv[1:])
