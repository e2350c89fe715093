"""Scorers give each picture a number: the higher, the better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from imagen_nb.system.plugins import PluginKind

if TYPE_CHECKING:
    from PIL.Image import Image

SCORERS = PluginKind("scorer", "imagen_nb.scorers")


class Scorer(Protocol):
    """Gives each picture a number: the higher, the better.

    The entry point names it: a function, or an object that can be called. Weights are
    loaded with the first call, and nothing is downloaded without the user's asking.

    It may be called from any thread, and from several at once. It raises an
    `ImagenError` that says in one line what to do if weights are missing, and lets
    other errors pass. A picture's number does not depend, but for rounding, on what else
    is in the call.
    """

    def __call__(
        self, images: Sequence[Image], prompts: Sequence[str]
    ) -> Sequence[float]:
        """Return a number for each picture, NaN where nothing can be said.

        Args:
            images: at most 32 pictures, RGB, of any size.
            prompts: what each was drawn from; "" where that is not known.
        """
        ...


def load_scorer(name: str) -> Scorer:
    """Return the scorer registered as `name`.

    Raises:
        UsageError: for an unknown name.
        ImagenError: if it cannot be loaded.
    """
    found: Scorer = SCORERS.load(name)
    return found
