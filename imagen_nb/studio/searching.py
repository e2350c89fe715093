"""The part of a session that finds pictures by meaning and by look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.config.settings import Settings
from imagen_nb.errors import StorageError
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import make_query, validated_count
from imagen_nb.frames.sources.source import require_source
from imagen_nb.studio.collection import Collection
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.frames.plugins.embedders import Embedder


class Searching(Collection):
    """A session's pictures, and the vectors that they are found by."""

    def __init__(self, settings: Settings, *, background: bool) -> None:
        super().__init__(settings, background=background)
        self._told_of_better = False

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

        The history's columns, then `score`: by how many standard deviations a picture
        lies above the average of all pictures, whatever the conditions: 0 is an
        ordinary one, and what is meant stands out with 2 or more. (All are 0 where
        there are fewer than three pictures, or they are all equally like it.)

        What pictures on this machine lack is computed first, with a bar; what is done
        stays after Ctrl-C. Pictures that cannot be read are not found.

        Args:
            what: words; a picture in any form that `reproduce` takes; or the path of
                any image file, a PIL image or an array. A recorded picture itself is
                left out.
            n: how many at most.
            without: words for what should not be seen.
            like: pictures, files or words, one or several, that count as `what` does.
            unlike: likewise, of what should not be seen.
            embedder: what reads and looks, as of `df.imagen.similar`; None is the
                configured one (find.embedder), else the best that is here.
            source: "local", the pictures on this machine; "cloud"; "merged", both; or
                "auto": both, as far as the cloud answers.
            since: this and the following are conditions, as of `history`.
            until: see `history`.
            prompt: see `history`.
            backend: see `history`.
            model: see `history`.
            tags: see `history`.
            any_tags: see `history`.
            seed: see `history`.
            size: see `history`.
            ids: see `history`.

        Raises:
            UsageError: for what cannot be looked for, such as words that the embedder
                does not know.
            CloudError: if source is "cloud" or "merged" and the cloud cannot be asked.
            ImagenError: if the embedder lacks what it needs.

        Example:
            >>> im.find("a boat at sea", without="night", since="7d")[["score", "prompt"]]
            >>> im.find(picture, n=8, like=["boat.jpg"])
        """
        from imagen_nb.frames.finding.looked_for import query_vector
        from imagen_nb.frames.finding.search import Search
        from imagen_nb.studio.examples import Examples, several

        conditions = make_query(
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
        require_source(source)
        chosen = self._chosen_embedder(embedder)
        cloud = None if source == "local" else self.reader()
        examples = Examples(chosen, self._catalogs(), cloud)
        wanted, named = examples.vectors([*several(what), *several(like)])
        unwanted, _ = examples.vectors([*several(without), *several(unlike)])
        direction = query_vector(wanted, unwanted)
        if source != "cloud":
            self._embed_for_find(chosen)
        search = Search(
            self._history, chosen, direction, conditions, count, frozenset(named)
        )
        return search.run(source)

    @known_arguments
    def embed(
        self, *, embedder: str | None = None, progress: bool | None = None
    ) -> int:
        """Compute the vectors that pictures on this machine lack; return how many.

        So that `find` answers at once. What is done stays after Ctrl-C, and a second
        call goes on from there. What cannot be read is counted in a line on stderr.

        Args:
            embedder: see `find`.
            progress: True or False shows or hides the bar.

        Raises:
            ImagenError: if the embedder lacks what it needs, or the folder cannot be
                written to.

        Example:
            >>> im.embed(embedder="tiny")
        """
        return self._embed(self._chosen_embedder(embedder), progress)

    def _embed(self, embedder: Embedder, progress: bool | None = None) -> int:
        from imagen_nb.frames.finding.computing import embed_missing

        return sum(
            embed_missing(catalog, embedder, progress=progress)
            for catalog in self._catalogs()
        )

    def _embed_for_find(self, embedder: Embedder) -> None:
        """Compute what is missing; a folder that cannot be written to is searched as it is."""
        try:
            self._embed(embedder)
        except StorageError as error:
            print_notice(f"find: pictures without a vector are not found: {error}")

    def _chosen_embedder(self, name: str | None) -> Embedder:
        """Return the embedder of this name, or as configured, or else the usual one."""
        from imagen_nb.frames.plugins.embedders import make_embedder

        named = name or self.settings.find.embedder
        embedder = make_embedder(named)
        if named is None and not self._told_of_better:
            self._tell_of_better(embedder)
        return embedder

    def _tell_of_better(self, embedder: Embedder) -> None:
        """Say, once, if only the embedder is here that knows nothing of some pictures."""
        from imagen_nb.frames.finding.coverage import describe_uncovered

        line = describe_uncovered(embedder, self._catalogs())
        if line:
            self._told_of_better = True
            print_notice(f"find: {line}")
