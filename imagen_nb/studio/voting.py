"""The part of a session that keeps votes: which of two pictures is better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.votes import load_cloud_votes
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.sources.source import require_source
from imagen_nb.request.validation import short_repr, validated_float
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.record import new_id
from imagen_nb.storage.votes import (
    QUESTION,
    Vote,
    VoteOutcome,
    VoteStore,
    checked_question,
    checked_voter,
    default_voter,
    merged_votes,
    standing,
)
from imagen_nb.storage.votes_csv import load_votes_text, parse_votes_csv
from imagen_nb.studio.searching import Searching
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.spelling import describe_meant, known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.lookup import PictureRef

_OUTCOMES = get_args(VoteOutcome)
_LONGEST_VOTE_S = 1e9
_VOTE_ID_DIGITS = 8  # of a vote's id, that are enough to name it


class Voting(Searching):
    """A session's votes, on this machine and in the cloud."""

    _told_of_votes: str | None = None  # what `votes` said the last time

    @known_arguments
    def vote(
        self,
        left: PictureRef,
        right: PictureRef,
        outcome: VoteOutcome,
        *,
        question: str = QUESTION,
        voter: str | None = None,
        seconds: float | None = None,
    ) -> Vote:
        """Keep a vote on two pictures: here at once, in the cloud when it can be reached.

        Votes stay when their pictures are deleted.

        Args:
            left: the picture that was shown on the left, in any form that `reproduce`
                takes. Of a whole id, it need not be on this machine.
            right: the other picture, likewise.
            outcome: which is better: "left", "right", or "tie"; "skip" is no answer.
            question: what was asked; votes on different ones are kept apart.
            voter: who answers; None is who is logged in, "" is nobody in particular.
            seconds: between showing the pictures and the answer.

        Returns:
            The vote, for `unvote`.

        Raises:
            UsageError: for what is no picture, twice the same one, or no outcome.
            StorageError: if it cannot be kept.

        Example:
            >>> im.vote(pictures[0], pictures[1], "left", question="which is calmer?")
        """
        if outcome not in _OUTCOMES:
            raise UsageError(
                f"outcome must be one of {', '.join(_OUTCOMES)}, not"
                f" {short_repr(outcome)}{describe_meant(outcome, _OUTCOMES)}"
            )
        ids = [self._id_of("left", left), self._id_of("right", right)]
        if ids[0] == ids[1]:
            raise UsageError(f"left and right are the same picture, {ids[0]}")
        given = Vote(
            question=checked_question(question),
            voter=default_voter() if voter is None else checked_voter(voter),
            left=ids[0],
            right=ids[1],
            outcome=outcome,
            created_at=self.catalog().clock.now(),
            seconds=None
            if seconds is None
            else validated_float("seconds", seconds, 0, _LONGEST_VOTE_S),
        )
        self._keep_vote(given)
        return given

    @known_arguments
    def unvote(self, vote: Any, /) -> Vote:
        """Take a vote back, by another one; it no longer counts. Doing so twice is once.

        Args:
            vote: a vote, its id (or its first 8 digits), or a row of `im.votes()`.

        Returns:
            The vote that takes it back.

        Raises:
            UsageError: for what is no vote, here or in the cloud.
            StorageError: if it cannot be kept.
            CloudError: if it must be looked up in the cloud, and that cannot be read.

        Example:
            >>> vote = im.vote(pictures[0], pictures[1], "left")
            >>> im.unvote(vote).takes_back == vote.id
            True
        """
        here = self._votes_here()
        found = vote if isinstance(vote, Vote) else _the_vote(vote, here)
        if found is None:
            cloud = self._uplink.reader()
            found = _the_vote(vote, load_cloud_votes(cloud)) if cloud else None
        if found is None:
            raise UsageError(
                f"there is no vote {short_repr(_name_of_vote(vote))}: give one of"
                " `im.votes()`, its id, or the first 8 digits of that"
            )
        if found.takes_back:
            raise UsageError(
                f"{found.id} takes a vote back, which stays so: vote again"
            )
        for one in here:
            if one.takes_back == found.id:
                return one
        now = self.catalog().clock.now()
        changed = {"id": new_id(), "takes_back": found.id, "created_at": now}
        taking_back = found.model_copy(update=changed | {"seconds": None})
        self._keep_vote(taking_back)
        return taking_back

    @known_arguments
    def votes(
        self,
        question: str | Iterable[str] | None = None,
        voter: str | Iterable[str] | None = None,
        *,
        source: str = "auto",
    ) -> pd.DataFrame:
        """Return the votes that were not taken back, one row each, the oldest first.

        The columns are id, question, voter, left, right (ids of pictures), outcome
        (left, right, tie or skip), winner and loser (ids; missing unless one is
        better), created_at (UTC) and seconds (between showing and the answer).

        Args:
            question: only votes on this one, or on these.
            voter: only the votes of this one, or of these.
            source: "local", this machine's; "cloud"; "merged", both; or "auto", both if
                the cloud is configured and answers, else local: then a line on stderr
                says so.

        Raises:
            UsageError: if there is no such source.
            CloudError: if source is "cloud" or "merged" and the cloud cannot be read.

        Example:
            >>> im.votes()[["left", "right", "outcome"]]
            >>> im.votes().to_csv("votes.csv", index=False)  # `imagen vote --import`
        """
        from imagen_nb.frames.votes import votes_frame

        require_source(source)
        questions, voters = _set_of(question), _set_of(voter)
        return votes_frame(
            vote
            for vote in standing(self._load_votes(source))
            if (questions is None or vote.question in questions)
            and (voters is None or vote.voter in voters)
        )

    @known_arguments
    def import_votes(self, file: str | Path, /) -> int:
        """Keep the votes of a CSV file, as `im.votes().to_csv` writes it; return how many.

        Those that are there already are not counted: importing twice is once. The
        columns left, right and outcome must be there; question, voter, created_at,
        seconds and id may be.

        Args:
            file: its path.

        Raises:
            UsageError: for a line that is no vote, with its number; none is kept then.
            StorageError: if they cannot be kept.

        Example:
            >>> im.votes().to_csv("votes.csv")
            >>> studio.import_votes("votes.csv")
            0
        """
        return self.add_votes(parse_votes_csv(load_votes_text(absolute_path(file))))

    def add_votes(self, votes: Sequence[Vote]) -> int:
        """Keep votes that were made elsewhere; return how many were not here.

        Example:
            >>> studio.add_votes([im.vote(pictures[0], pictures[1], "tie")])
            0
        """
        known = {vote.id for vote in self._votes_here()}
        new = [vote for vote in votes if vote.id not in known]
        if new:
            catalog = self.catalog()
            VoteStore(catalog.folder).add(new)
            self._uplink.changed(catalog)
        return len({vote.id for vote in new})

    def _keep_vote(self, vote: Vote) -> None:
        catalog = self._catalog_for(vote)
        VoteStore(catalog.folder).add([vote])
        self._uplink.changed(catalog)

    def _catalog_for(self, vote: Vote) -> Catalog:
        """Return the configured folder's; or that of a picture which is not to go up.

        There it is known that the vote is not to go up either.
        """
        for catalog in self._catalogs():
            entries = catalog.get_many([vote.left, vote.right])
            if any(entry.cloud_state == "off" for entry in entries):
                return catalog
        return self.catalog()

    def _votes_here(self) -> list[Vote]:
        stores = [VoteStore(catalog.folder) for catalog in self._folders.catalogs()]
        return merged_votes(store.all() for store in stores)

    def _load_votes(self, source: str) -> list[Vote]:
        if source == "local":
            return self._votes_here()
        cloud = self._uplink.reader()
        if cloud is None and source != "auto":
            raise UsageError(f"no votes in the cloud: {NOT_CONFIGURED}")
        told = None
        there: list[Vote] = []
        try:
            there = load_cloud_votes(cloud) if cloud else []
        except CloudError as error:
            if source != "auto":
                raise
            told = (
                f"votes: this machine's alone, as the cloud's cannot be read: {error}"
            )
        if told and told != self._told_of_votes:
            print_notice(told)
        self._told_of_votes = told
        return merged_votes([[] if source == "cloud" else self._votes_here(), there])

    def _id_of(self, name: str, picture: PictureRef) -> UUID:
        ids = self.lookup.ids(picture)
        if len(ids) != 1:
            raise UsageError(f"{name} must be one picture, not {len(ids)}")
        try:
            return UUID(ids[0])
        except ValueError:
            raise UsageError(
                f"{name} is a picture of another program: its id, {short_repr(ids[0])},"
                " is no UUID"
            ) from None


def _set_of(values: str | Iterable[str] | None) -> set[str] | None:
    if values is None:
        return None
    return {values} if isinstance(values, str) else {*values}


def _name_of_vote(vote: Any) -> str:
    """Return the id, or its beginning, that a row, a text or a UUID is."""
    is_row = hasattr(vote, "index") and not isinstance(vote, str) and "id" in vote
    return str(vote["id"] if is_row else vote).strip().lower()


def _the_vote(vote: Any, votes: Sequence[Vote]) -> Vote | None:
    """Return the one whose id begins so; None if there is none, or several."""
    name = _name_of_vote(vote)
    if len(name) < _VOTE_ID_DIGITS:
        return None
    found = [one for one in votes if str(one.id).startswith(name)]
    return found[0] if len(found) == 1 else None
