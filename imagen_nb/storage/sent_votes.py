"""Up to where a folder's votes were sent to the cloud, as its catalog notes it.

A note that is lost, with the catalog or by a crash, is votes sent again, which changes
nothing there. Votes on pictures that were made with the cloud switched off stay here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import get_mark, ids_in_state, set_mark
from imagen_nb.storage.votes import Vote, VotesPlace, VoteStore

_MARKS = ("votes_sent_bytes", "votes_sent_digest")  # names in the table marks


def unsent_votes(
    catalog: Catalog, most: int
) -> Iterator[tuple[list[Vote], VotesPlace]]:
    """Give the votes that are to be sent, at most so many at once.

    With each part the place to note by `mark_votes_sent` once they are there.

    Raises:
        StorageError: if the votes or the catalog cannot be read.
    """
    store = VoteStore(catalog.folder)
    if not store.path.exists():
        return
    for votes, place in store.parts_after(_sent_place(catalog), most):
        yield _without_private(catalog, votes), place


def mark_votes_sent(catalog: Catalog, place: VotesPlace) -> None:
    """Note that the cloud has what stands before this place, as far as it is to go."""
    with catalog.transaction() as connection:
        for name, value in zip(_MARKS, (place.offset, place.digest), strict=True):
            set_mark(connection, name, value)


def forget_sent_votes(connection: sqlite3.Connection) -> None:
    """Have all votes sent again, as some may have stayed here until now."""
    connection.executemany("DELETE FROM marks WHERE name = ?", [(m,) for m in _MARKS])


def _sent_place(catalog: Catalog) -> VotesPlace:
    with catalog.connection() as connection:
        offset, digest = (get_mark(connection, name) or 0 for name in _MARKS)
    return VotesPlace(offset, digest)


def _without_private(catalog: Catalog, votes: Sequence[Vote]) -> list[Vote]:
    """Return those of which neither picture was made with the cloud switched off."""
    ids = [str(id) for vote in votes for id in (vote.left, vote.right)]
    with catalog.connection() as connection:
        private = {*ids_in_state(connection, "off", ids)}
    return [
        vote
        for vote in votes
        if str(vote.left) not in private and str(vote.right) not in private
    ]
