"""The process that is recorded while it keeps votes.

python -m tests.powerloss.vote_scenario ROOT MARKS MUTATION
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from imagen_nb.storage.votes import Vote, VoteStore
from imagen_nb.system.atomic import make_folder
from tests.powerloss.mutations import mutate

FOLDER = "pictures"


def numbered_votes(numbers: Iterable[int]) -> list[Vote]:
    """Votes that are known by their numbers; the lines of some go over a sector of a disk."""
    return [
        Vote(
            id=UUID(int=number),
            question="?" * (1 + 37 * number % 200),
            left=UUID(int=1000 + number),
            right=UUID(int=2000 + number),
            outcome="left",
            created_at=datetime(2026, 5, 11, tzinfo=UTC),
        )
        for number in numbers
    ]


def main(arguments: Sequence[str]) -> None:
    root, marks, mutation = arguments
    mutate(mutation)
    notes = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    make_folder(Path(root) / FOLDER)
    store = VoteStore(Path(root) / FOLDER)
    kept = 0
    for count in (1, 1, 3, 1, 20, 1, 6):
        store.add(numbered_votes(range(kept, kept + count)))
        kept += count
        os.write(notes, (json.dumps({"what": f"{kept} votes", "kept": kept}) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
