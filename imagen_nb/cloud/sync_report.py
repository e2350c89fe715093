"""SyncReport: what a sync did, as figures, a few lines of text, or a small table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagen_nb.system.markup import (
    NO_FORMULAS_CLASS,
    bidi_isolated,
    escaped_html,
    one_line,
)

_MAX_FAILED_LISTED = 20
_MAX_ID_CHARS, _MAX_REASON_CHARS = 40, 300


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did. In a notebook it shows as a line, with a table of what failed.

    Attributes:
        synced: How many pictures were sent.
        failed: The ids of those that cannot go up, each with the reason.
        pending: How many still wait.
        trouble: Why it stopped before the end, or None.
        seconds: How long it took.
        tagged: Of how many pictures the tags were written.
        postponed: The ids of those that took too long, each with the reason; they still
            wait.
        removed: How many deleted pictures were removed from the cloud.
        unremoved: The ids of deleted pictures that stay there, each with the reason.
        vectors: How many vectors were sent, for finding pictures there.
        votes: How many votes were sent.

    Example:
        >>> report = im.SyncReport(synced=3, pending=1, seconds=0.5)
        >>> report.summary
        '3 synced, 0 failed, 1 pending (0.5 s)'
    """

    synced: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    pending: int = 0
    trouble: str | None = None
    seconds: float = 0.0
    tagged: int = 0
    postponed: tuple[tuple[str, str], ...] = ()
    removed: int = 0
    unremoved: tuple[tuple[str, str], ...] = ()
    vectors: int = 0
    votes: int = 0

    def __add__(self, other: SyncReport) -> SyncReport:
        return SyncReport(
            self.synced + other.synced,
            self.failed + other.failed,
            self.pending + other.pending,
            self.trouble or other.trouble,
            self.seconds + other.seconds,
            self.tagged + other.tagged,
            self.postponed + other.postponed,
            self.removed + other.removed,
            self.unremoved + other.unremoved,
            self.vectors + other.vectors,
            self.votes + other.votes,
        )

    @property
    def unsent(self) -> tuple[tuple[str, str], ...]:
        """The ids of what was tried in vain, sent or removed, with reasons.

        Example:
            >>> im.SyncReport(failed=(("3c23b027", "the picture is too large"),)).unsent
            (('3c23b027', 'the picture is too large'),)
        """
        return self.failed + self.postponed + self.unremoved

    @property
    def summary(self) -> str:
        """The figures on one line.

        Example:
            >>> im.SyncReport(synced=2, removed=1).summary
            '2 synced, 0 failed, 0 pending, 1 removed (0.0 s)'
        """
        tagged = f", {self.tagged} tagged" if self.tagged else ""
        figures = (
            f"{self.synced} synced, {len(self.failed)} failed, {self.pending} pending"
        )
        votes = f", {self.votes} votes" if self.votes else ""
        vectors = f", {self.vectors} vectors" if self.vectors else ""
        removed = f", {self.removed} removed" if self.removed else ""
        left = f", {len(self.unremoved)} not removed" if self.unremoved else ""
        return (
            f"{figures}{tagged}{votes}{vectors}{removed}{left} ({self.seconds:.1f} s)"
        )

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        return {"text/plain": "\n".join(self._lines()), "text/html": self._page()}

    def _lines(self) -> Iterator[str]:
        yield self.summary
        if self.trouble:
            yield f"stopped: {one_line(self.trouble, _MAX_REASON_CHARS)}"
        for id, reason in self.unsent[:_MAX_FAILED_LISTED]:
            id = one_line(id, _MAX_ID_CHARS)
            yield f"{id}: {one_line(reason, _MAX_REASON_CHARS)}"
        if left := self._describe_unlisted():
            yield left

    def _page(self) -> str:
        parts = [f"<div>{escaped_html(self.summary)}</div>"]
        if self.trouble:
            trouble = bidi_isolated(self.trouble, _MAX_REASON_CHARS)
            parts.append(f"<div><b>stopped:</b> {trouble}</div>")
        if self.unsent:
            parts.append(self._failed_table())
        if left := self._describe_unlisted():
            parts.append(f"<div>{escaped_html(left)}</div>")
        return f"<div {NO_FORMULAS_CLASS}>{''.join(parts)}</div>"

    def _failed_table(self) -> str:
        rows = "".join(
            f"<tr><td><code>{bidi_isolated(id, _MAX_ID_CHARS)}</code></td>"
            f'<td style="text-align:left">{bidi_isolated(reason, _MAX_REASON_CHARS)}</td></tr>'
            for id, reason in self.unsent[:_MAX_FAILED_LISTED]
        )
        head = '<tr><th>failed</th><th style="text-align:left">why</th></tr>'
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"

    def _describe_unlisted(self) -> str:
        left = len(self.unsent) - _MAX_FAILED_LISTED
        return f"and {left} more: imagen_nb.pending() lists all" if left > 0 else ""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair of copies in the cloud did.

    Attributes:
        repaired: A line for each picture whose copy was lost or another, and is not now.
        left: A line for each picture whose copy still is.
        sync: What was sent.
    """

    repaired: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    sync: SyncReport = SyncReport()

    def __add__(self, other: RepairReport) -> RepairReport:
        return RepairReport(
            self.repaired + other.repaired,
            self.left + other.left,
            self.sync + other.sync,
        )
