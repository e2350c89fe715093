"""What a panel drew: the pictures, with thumbnails of the newest ones."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from imagen_nb.errors import UsageError
from imagen_nb.storage.picture import Picture, summary
from imagen_nb.system.thumbnails import webp

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Result:
    """One picture. `small`: a WebP, empty for one of long ago; `verdict`: of a reproduction."""

    picture: Picture
    small: bytes
    verdict: str = ""

    @property
    def id(self) -> str:
        """Of the picture."""
        return str(self.picture.record.id)

    def described(self) -> dict[str, Any]:
        """What is told of it besides the thumbnail."""
        record = self.picture.record
        return {
            "id": self.id, "prompt": record.prompt, "summary": summary(record),
            "path": str(self.picture.path), "tags": record.tags, "verdict": self.verdict,
        }  # fmt: skip


def result(picture: Picture, reproduced: bool) -> Result:
    """A picture that was just drawn."""
    return Result(picture, webp(picture.image), _verdict(picture) if reproduced else "")


class Results:
    """The pictures in the order in which they were drawn, each once; for any number of threads.

    Invariant: thumbnails are of the newest `SHOWN` only; of others there is the record.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Result] = {}

    def add(self, new: Result) -> None:
        """The newest one, from now on; of a picture drawn again it is the last drawing."""
        with self._lock:
            self._all.pop(new.id, None)
            self._all[new.id] = new
            if len(self._all) > SHOWN:
                old = [*self._all.values()][-SHOWN - 1]
                self._all[old.id] = replace(old, small=b"")

    def get(self, id: str) -> Result:
        """The one with this id. Raises `UsageError` when there is none."""
        with self._lock:
            if id not in self._all:
                raise UsageError(f"this panel drew no picture {id}")
            return self._all[id]

    def tag(self, id: str, tags: Iterable[str]) -> Result:
        """It has these tags now."""
        old = self.get(id)
        record = old.picture.record.model_copy(update={"tags": tuple(tags)})
        new = replace(old, picture=replace(old.picture, record=record))
        with self._lock:
            self._all[id] = new
        return new

    def pictures(self) -> list[Picture]:
        """All of them."""
        with self._lock:
            return [one.picture for one in self._all.values()]

    def newest(self, count: int = SHOWN) -> list[Result]:
        """The newest ones, in the order in which they were drawn."""
        with self._lock:
            return [*self._all.values()][-count:]


def _verdict(picture: Picture) -> str:
    if picture.identical is None:
        return "reproduced; there is nothing to compare it with"
    if picture.identical:
        return "identical"
    return f"differs: {'; '.join(picture.differs) or 'and nothing recorded is why'}"
