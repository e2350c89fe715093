"""The part of a session that finds pictures by meaning and by look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import make_query, validated_count
from imagen_nb.studio.collection import Collection
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd


class Searching(Collection):
    """A session's pictures, and the vectors that they are found by."""

    @known_arguments
    def find(
        self,
        what: Any = None,
        /,
        n: int = 50,
        *,
        without: str | None = None,
        like: Any = (),
        unlike: Any = (),
        embedder: str | None = None,
        source: str = "auto",
        since: Moment | None = None,
        until: Moment | None = None,
        prompt: str | None = None,
        backend: str | Iterable[str] | None = None,
        model: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        any_tags: str | Iterable[str] | None = None,
        seed: int | Iterable[int] | None = None,
        size: str | tuple[int, int] | Iterable[tuple[int, int]] | None = None,
        ids: str | UUID | Iterable[str | UUID] | None = None,
    ) -> pd.DataFrame:
        """Return the pictures that are most like what is looked for, the best first.

        Args:
            what: words; a picture in any form that `reproduce` takes, which itself is
                left out; or the path of any image file, a PIL image or an array.
            n: how many at most.
            without: words for what should not be seen.
            like: pictures, files or words, one or several, that count as `what` does.
            unlike: likewise, of what should not be seen.
            embedder: what looks at them, as of `df.imagen.similar`.
            source: see `history`.
            since: this and the arguments after it are conditions as of `history`.
            until: see `history`.
            prompt: see `history`.
            backend: see `history`.
            model: see `history`.
            tags: see `history`.
            any_tags: see `history`.
            seed: see `history`.
            size: see `history`.
            ids: see `history`.

        Example:
            >>> im.find("a red boat", n=8)[["score", "prompt"]]
        """
        from imagen_nb.frames.finding.looked_for import query_vector
        from imagen_nb.frames.finding.search import find_pictures
        from imagen_nb.frames.plugins.embedders import make_embedder
        from imagen_nb.studio.examples import Examples, several

        query = make_query(
            since=since,
            until=until,
            prompt=prompt,
            backend=backend,
            model=model,
            tags=tags,
            any_tags=any_tags,
            seed=seed,
            size=size,
            ids=ids,
        )
        count = validated_count(n)
        chosen = make_embedder(embedder)
        self.embed(embedder=embedder)
        examples = Examples(chosen, self._catalogs(), self.reader())
        wanted, named = examples.vectors([*several(what), *several(like)])
        unwanted, _ = examples.vectors([*several(without), *several(unlike)])
        looked_for = query_vector(wanted, unwanted)
        return find_pictures(looked_for, chosen, self._history, query, count, named)

    @known_arguments
    def embed(
        self, *, embedder: str | None = None, progress: bool | None = None
    ) -> int:
        """Compute the vectors that the pictures on this machine lack; return how many.

        Example:
            >>> im.embed()
        """
        from imagen_nb.frames.finding.computing import embed_missing
        from imagen_nb.frames.plugins.embedders import make_embedder

        chosen = make_embedder(embedder)
        return sum(
            embed_missing(catalog, chosen, progress=progress)
            for catalog in self._catalogs()
        )
