"""Votes: which of two pictures is better. Facts that are added, and never changed.

They are kept in `.imagen/votes.jsonl` of an output folder, a vote a line, as JSON. Only what
ends with the end of a line counts. So a line that a crash tore is no vote, and whoever writes
next begins a new one behind it. What was returned from is flushed: it survives a power cut.
A vote is taken back by another one. One that is there twice, by its id, counts once.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Annotated, Literal, Self
from uuid import UUID

from filelock import FileLock, Timeout
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.request.validation import validated_text
from imagen_nb.storage.catalog_schema import LOCK_TIMEOUT_S, CatalogBusyError
from imagen_nb.storage.record import new_id
from imagen_nb.system.atomic import explain_folder_errors, flush_folder, make_folder
from imagen_nb.system.locks import describe_holder

VoteOutcome = Literal["left", "right", "tie", "skip"]

QUESTION = "which is better?"
MAX_QUESTION_CHARS, MAX_VOTER_CHARS = 200, 100
_CONTROL_CATEGORIES = ("Cc", "Zl", "Zp")  # of Unicode: what is not within a line
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_BYTES_BEHIND = 4096  # a place in the file is known again by: more than a line has


def _to_utc_of_calendar(moment: datetime) -> datetime:
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("a time beyond the years 1970 to 9998")
    return moment.astimezone(UTC)


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL, which no database takes")
    text.encode()  # half a character raises a ValueError
    return text


_Text = Annotated[str, AfterValidator(_storable)]


class Vote(BaseModel):
    """Which of two pictures somebody found better; a row of imagen.votes.

    Attributes:
        id: made with the vote.
        question: what was asked.
        voter: who answered; "" for somebody.
        left: the id of the picture that was shown on the left.
        right: the id of the other one.
        outcome: which is better: "left", "right", or "tie"; "skip" is no answer.
        created_at: when, in UTC.
        seconds: between showing the pictures and the answer, if it is known.
        takes_back: the id of a vote that this one takes back, which says the same
            otherwise.

    Example:
        >>> vote = im.vote(pictures[0], pictures[1], "left")
        >>> vote.outcome, vote.question
        ('left', 'which is better?')
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: UUID = Field(default_factory=new_id)
    question: Annotated[_Text, Field(max_length=MAX_QUESTION_CHARS)] = QUESTION
    voter: Annotated[_Text, Field(max_length=MAX_VOTER_CHARS)] = ""
    left: UUID
    right: UUID
    outcome: VoteOutcome
    created_at: Annotated[AwareDatetime, AfterValidator(_to_utc_of_calendar)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    seconds: Annotated[float, Field(ge=0)] | None = None
    takes_back: UUID | None = None

    @model_validator(mode="after")
    def _has_two_pictures(self) -> Self:
        if self.left == self.right:
            raise ValueError("left and right are the same picture")
        return self


@dataclass(frozen=True, slots=True)
class VotesPlace:
    """A place between two lines of a file of votes: how many bytes stand before it.

    `digest`: of the last of them, by which it is known whether that is still so.
    """

    offset: int = 0
    digest: int = 0


class VoteStore:
    """The votes of one output folder, for any number of threads and processes.

    Invariant: what `add` returned from is on the disk, and is never changed. A reader
    takes no lock.

    Example:
        >>> store = VoteStore(Path("pictures"))
        >>> store.add([Vote(left=a, right=b, outcome="left")])
        >>> len(store.all())
        1
    """

    def __init__(self, folder: Path) -> None:
        """Open nothing yet. `folder`: the output folder, as `Catalog.folder`."""
        self.folder = folder
        self.path = folder / ".imagen" / "votes.jsonl"

    def add(self, votes: Sequence[Vote]) -> None:
        """Keep votes, flushed, in one step: after an error none of them is there.

        One that is there already, by its id, changes nothing.

        Raises:
            StorageError: if the folder cannot be written to.
        """
        lines = b"".join(map(_line_of, votes))
        if not lines:
            return
        with explain_folder_errors(self.folder, "votes"):
            make_folder(self.path.parent)
            with self._locked():
                _append(self.path, lines)
                flush_folder(self.path.parent)

    def all(self) -> list[Vote]:
        """Return every vote, in the order in which they were kept, each once.

        Also those that were taken back, and those that take back: see `standing`.

        Raises:
            StorageError: if the file cannot be read.
        """
        data, _ = self._load_from(0)
        return _votes_in(data.split(b"\n")[:-1])

    def parts_after(
        self, place: VotesPlace, most: int
    ) -> Iterator[tuple[list[Vote], VotesPlace]]:
        """Give what stands after a place, at most so many votes at once.

        With each part the place behind it. All, if the place is in another file: one
        that was removed since, or put together with others.

        Raises:
            StorageError: if the file cannot be read.
        """
        data, begin = self._load_from(max(0, place.offset - _BYTES_BEHIND))
        at = place.offset - begin
        if not 0 <= at <= len(data) or _digest_before(data, at) != place.digest:
            data, begin = self._load_from(0)
            at = 0
        lines = data[at:].split(b"\n")[:-1]
        for start in range(0, len(lines), most):
            part = lines[start : start + most]
            at += sum(len(line) + 1 for line in part)
            yield _votes_in(part), VotesPlace(begin + at, _digest_before(data, at))

    def _load_from(self, offset: int) -> tuple[bytes, int]:
        """Return the file's bytes from there on, and where they begin."""
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                return file.read(), offset
        except FileNotFoundError:
            return b"", offset
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"cannot read {self.path}: {reason}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path.with_name("votes.lock"))
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_S)
        except Timeout:
            holder = describe_holder(Path(lock.lock_file))
            raise CatalogBusyError(
                f"{holder} has been keeping votes in {self.folder} for"
                f" {LOCK_TIMEOUT_S} seconds: wait for it or end it"
            ) from None
        try:
            yield
        finally:
            lock.release()


def standing(votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes that count: not those taken back, nor those that take back.

    Example:
        >>> vote = Vote(left=a, right=b, outcome="left")
        >>> back = vote.model_copy(update={"id": c, "takes_back": vote.id})
        >>> standing([vote, back])
        []
    """
    given = [*votes]
    taken_back = {vote.takes_back for vote in given}
    return [
        vote for vote in given if vote.takes_back is None and vote.id not in taken_back
    ]


def merged_votes(sources: Iterable[Iterable[Vote]]) -> list[Vote]:
    """Return the votes of several places, each once, the oldest first."""
    by_id: dict[UUID, Vote] = {}
    for votes in sources:
        for vote in votes:
            by_id.setdefault(vote.id, vote)
    return sorted(by_id.values(), key=lambda vote: (vote.created_at, vote.id))


def default_voter() -> str:
    """Return the name of whoever is logged in to this machine; "" if it has none."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # by the version of Python
        return ""
    return "".join(filter(str.isprintable, name))[:MAX_VOTER_CHARS].strip()


def checked_question(question: object) -> str:
    """Return the question, stripped. Raise `UsageError` unless it is a line of text."""
    text = _checked_line("question", question, MAX_QUESTION_CHARS)
    if not text:
        raise UsageError(f"question is empty: say what was asked, like {QUESTION!r}")
    return text


def checked_voter(voter: object) -> str:
    """Return the voter's name, stripped. Raise `UsageError` unless it is a line of text."""
    return _checked_line("voter", voter, MAX_VOTER_CHARS)


def _checked_line(name: str, value: object, most: int) -> str:
    text = validated_text(name, value).strip()
    if any(unicodedata.category(one) in _CONTROL_CATEGORIES for one in text):
        raise UsageError(f"{name} must be one line, without control characters")
    if len(text) > most:
        raise UsageError(f"{name} must have at most {most} characters, not {len(text)}")
    return text


def _line_of(vote: Vote) -> bytes:
    return vote.model_dump_json(exclude_none=True).encode() + b"\n"


def _votes_in(lines: Iterable[bytes]) -> list[Vote]:
    """Return the votes that these lines are, each once; what is torn is none."""
    found: dict[UUID, Vote] = {}
    for line in lines:
        with suppress(ValidationError):
            vote = Vote.model_validate_json(line)
            found.setdefault(vote.id, vote)
    return [*found.values()]


def _append(path: Path, lines: bytes) -> None:
    """Write lines at the end of a file, flushed; behind a torn line, begin a new one.

    What is not wholly written is taken away again, as nobody was told that it is there.
    """
    with FileIO(path, "a+") as file:
        end = file.seek(0, 2)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                lines = b"\n" + lines
        try:
            left = memoryview(lines)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def _digest_before(data: bytes, at: int) -> int:
    """Return a digest of the bytes before a place; 0 for none."""
    behind = data[max(0, at - _BYTES_BEHIND) : at]
    return int.from_bytes(hashlib.sha256(behind).digest()[:7]) if behind else 0
