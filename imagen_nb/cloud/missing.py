"""What a database may lack, as it was not migrated: told of once, and left at that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import MISSING_CODES, MissingTableError, RefusedError
from imagen_nb.system.terminal import print_notice


@contextmanager
def missing_as(error: MissingTableError) -> Iterator[None]:
    """Raise this error where the database lacks what is asked for."""
    try:
        yield
    except RefusedError as refused:
        if refused.code not in MISSING_CODES:
            raise
        raise error from None


def push_unless_missing(
    cloud: Cloud, kind: type[MissingTableError], parts: Iterable[int]
) -> int:
    """Send parts, each of so many; return how many in all.

    A database without a table for them is told of once, and not asked again by the same
    `cloud`.
    """
    sent = 0
    if kind in cloud.missing:
        return sent
    try:
        for count in parts:
            sent += count
    except kind as error:
        cloud.missing.add(kind)
        print_notice(f"cloud sync: {error}")
    return sent
