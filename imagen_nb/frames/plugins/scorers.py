"""Scorers give each picture a number: the higher, the better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.errors import UsageError
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

    It may have more, which `scorer_version`, `reads_prompts` and `load_scorer` look for:

    version: text of up to 100 characters that changes whenever its numbers do. With it
        they are kept beside the catalog, and each picture is looked at once.
    reads_prompts: False if its numbers are the same whatever the prompts say.
    of: a method that the entry point's object has where a name may go on, as in
        "clip:tiny": called with what stands after the colon, or with None, it returns
        the scorer.
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


def load_scorer(name: str, arguments: Mapping[str, str | None] | None = None) -> Scorer:
    """Return the scorer of this name, "sharpness" or "clip:tiny".

    Args:
        name: as registered, and what else it takes after a colon.
        arguments: what is taken where nothing stands after a name, by name.

    Raises:
        UsageError: for an unknown name, or a colon after one that takes nothing.
        ImagenError: if it cannot be loaded.
    """
    registered, colon, given = name.partition(":")
    found: Any = SCORERS.load(registered)
    make = getattr(found, "of", None)
    if make is not None:
        scorer: Scorer = make(given or (arguments or {}).get(registered))
        return scorer
    if colon:
        raise UsageError(
            f"the scorer {registered} takes nothing after its name: say {registered!r}"
        )
    plain: Scorer = found
    return plain


def scorer_version(scorer: Scorer) -> str | None:
    """Return under which version a scorer's numbers are kept; None: they are not.

    Raise what the scorer raises where its files must be read for it.
    """
    version = getattr(scorer, "version", None)
    return version if isinstance(version, str) else None


def reads_prompts(scorer: Scorer) -> bool:
    """Return whether a picture's number depends on what it was drawn from."""
    return bool(getattr(scorer, "reads_prompts", True))
