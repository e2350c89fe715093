"""Wildcards: `__animal__` in a prompt stands for each line of a file animal.txt."""

from __future__ import annotations

import re
from pathlib import Path

from imagen_nb.errors import UsageError
from imagen_nb.system.paths import expand_user
from imagen_nb.system.spelling import describe_meant

_WILDCARD = re.compile(r"__([^\W_](?:[\w-]*?[^\W_])?)__")
_MAX_WILDCARD_CHARS = 1_000_000


class Wildcards:
    """The wildcards of a folder of text files, one alternative a line.

    Empty lines, and those that begin with #, are none. A line may have braces.
    """

    def __init__(self, folder: str | None) -> None:
        """`folder`: None has no wildcards: then `__x__` is plain text."""
        self._folder = None if folder is None else expand_user(folder)

    def names(self) -> list[str]:
        """Return what can stand between the underscores, sorted."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob("*.txt"))

    def filled_in(self, prompt: str) -> str:
        """Return the prompt with the lines of each wildcard as alternatives in braces.

        Raises `UsageError` for a wildcard that there is not, or cannot be read.
        """
        if self._folder is None:
            return prompt
        return _WILDCARD.sub(lambda match: self._alternatives(match[1]), prompt)

    def _alternatives(self, name: str) -> str:
        known = self.names()
        if name not in known:
            meant = describe_meant(name, known) or f": there are {', '.join(known)}"
            raise UsageError(
                f"no wildcard {name} in {self._folder}{meant if known else ''}"
            )
        lines = _lines_of(Path(str(self._folder), f"{name}.txt"))
        return "{" + "|".join(lines) + "}"


NO_WILDCARDS = Wildcards(None)


def _lines_of(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MAX_WILDCARD_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(f"wildcard {path.name} cannot be read: {reason}") from None
    if len(text) > _MAX_WILDCARD_CHARS:
        raise UsageError(f"wildcard {path.name} is too large: 1 MB at most")
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(f"wildcard {path.name} has no lines")
    return found
