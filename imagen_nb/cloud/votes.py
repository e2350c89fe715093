"""Votes in the cloud: added there as they are, and read from there with other machines'.

Adding one twice, as after an answer that was lost, leaves the first as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import NoVotesError, RejectedError, decoding
from imagen_nb.cloud.keyset import RowKey, last_key
from imagen_nb.cloud.missing import missing_as, push_unless_missing
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.sent_votes import mark_votes_sent, unsent_votes
from imagen_nb.storage.votes import Vote
from imagen_nb.system.terminal import print_notice

_VOTES_PER_REQUEST = 500
_VOTES_PER_PAGE = 5_000  # requested; a server may give fewer
_KEY = "owner_user_id,id"
_VOTE_COLUMNS = (
    "id,question,voter,left:left_id,right:right_id,outcome,created_at,seconds,"
    "takes_back"
)


def push_votes(
    catalog: Catalog, cloud: Cloud, may_go_on: Callable[[], bool] = lambda: True
) -> int:
    """Send the votes of a folder that were not sent; return how many.

    A database without a table for them is told of once, and not asked again by the same
    `cloud`.

    Args:
        catalog: of the folder.
        cloud: where to.
        may_go_on: asked before each request; the rest stays for the next time.

    Raises:
        CloudError: what was not sent stays for the next time.
    """
    parts = _send_parts(catalog, cloud, may_go_on)
    return push_unless_missing(cloud, NoVotesError, parts)


def load_cloud_votes(cloud: Cloud) -> list[Vote]:
    """Return all votes of the user, the newest first; also those taken back.

    Raises:
        NoVotesError: if the database has no table for them.
        CloudError: if the cloud does not answer.
    """
    owner, _ = cloud.owner()
    filters = [
        ("owner_user_id", f"eq.{owner}"),
        ("order", "created_at.desc,id.desc"),
        ("limit", str(_VOTES_PER_PAGE)),
    ]
    found: list[Vote] = []
    last: RowKey | None = None
    while True:
        below = last.filters_below() if last else []
        with missing_as(_no_votes_table()):
            rows = cloud.rows([*filters, *below], _VOTE_COLUMNS, "votes")
        if not rows:
            return found
        with decoding():
            found += [Vote.model_validate(row) for row in rows]
        last = last_key(rows, last)


def _send_parts(
    catalog: Catalog, cloud: Cloud, may_go_on: Callable[[], bool]
) -> Iterator[int]:
    for votes, place in unsent_votes(catalog, _VOTES_PER_REQUEST):
        if not may_go_on():
            return
        count = _send_votes(votes, cloud)
        mark_votes_sent(catalog, place)
        yield count


def _send_votes(votes: Sequence[Vote], cloud: Cloud) -> int:
    """Add votes in one request; if that is rejected, each half by itself.

    Return how many the database took, or had. One that it rejects is told of.
    """
    if not votes:
        return 0
    owner, _ = cloud.owner()
    rows = [_row_of_vote(vote, str(owner)) for vote in votes]
    try:
        with missing_as(_no_votes_table()):
            cloud.add(rows, "votes", _KEY, "id")
    except RejectedError as error:
        if len(votes) == 1:
            print_notice(f"cloud sync: the vote {votes[0].id} stays here: {error}")
            return 0
        middle = len(votes) // 2
        return _send_votes(votes[:middle], cloud) + _send_votes(votes[middle:], cloud)
    return len(votes)


def _row_of_vote(vote: Vote, owner: str) -> dict[str, Any]:
    values = vote.model_dump(mode="json")
    left, right = values.pop("left"), values.pop("right")
    return {**values, "left_id": left, "right_id": right, "owner_user_id": owner}


def _no_votes_table() -> NoVotesError:
    return NoVotesError(
        "your Supabase has no table of votes: `imagen db migrate` makes it"
    )
