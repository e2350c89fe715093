"""The part of a session that finds pictures by meaning and by look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.config.settings import Settings
from imagen_nb.errors import StorageError
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import make_query, validated_count
from imagen_nb.frames.sources.source import require_source
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.vectors import stores_in
from imagen_nb.studio.collection import Collection
from imagen_nb.studio.looking_ahead import LookingAhead
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.frames.plugins.embedders import Embedder

_AHEAD_BATCH = 4  # pictures looked at before a drawing is noticed


class Searching(Collection):
    """A session's pictures, and the vectors that they are found by."""

    def __init__(self, settings: Settings, *, background: bool) -> None:
        super().__init__(settings, background=background)
        self._told_of_better = False
        self._looking = LookingAhead(self._compute_ahead)
        self._looks_ahead = background and settings.find.background != "off"

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
            >>> im.find(picture, n=8, like=[picture.path])
        """
        from imagen_nb.frames.finding.search import Search
        from imagen_nb.studio.examples import LookedFor

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
        chosen = self.embedder(embedder)
        looked_for = LookedFor(what, without, like, unlike)
        cloud = None if source == "local" else self.reader()
        direction, named = looked_for.direction(chosen, self._catalogs(), cloud)
        if source != "cloud":
            self._embed_for_find(chosen)
        search = Search(self._history, chosen, direction, conditions, count, named)
        return search.run(source)

    @known_arguments
    def find_among(
        self,
        frame: pd.DataFrame,
        what: Any = None,
        /,
        n: int = 50,
        *,
        without: str | None = None,
        like: Any = (),
        unlike: Any = (),
        embedder: str | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a frame that are most like what is looked for.

        As `find`, with scores within the frame. Pictures that are not on this machine
        are fetched from the cloud.

        Example:
            >>> studio.find_among(df, "a boat", n=8)
        """
        from imagen_nb.frames.finding.computing import vectors_of_frame
        from imagen_nb.frames.finding.in_frame import find_in_frame
        from imagen_nb.studio.examples import LookedFor

        count, chosen = validated_count(n), self.embedder(embedder)
        looked_for = LookedFor(what, without, like, unlike)
        catalogs, cloud = self._catalogs(), self.reader()
        direction, named = looked_for.direction(chosen, catalogs, cloud)
        vectors = vectors_of_frame(frame, chosen, catalogs, cloud)
        return find_in_frame(frame, vectors, direction, count, named)

    @known_arguments
    def similar(
        self,
        frame: pd.DataFrame,
        i: int | str | UUID,
        /,
        *,
        n: int = 12,
        embedder: str | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a frame most like one of them; as `df.imagen.similar`.

        Example:
            >>> studio.similar(df, 0, n=8)
        """
        from imagen_nb.frames.finding.in_frame import similar_pictures

        chosen = self.embedder(embedder)
        return similar_pictures(frame, i, n, chosen, self._catalogs(), self.reader())

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
        return self._embed(self.embedder(embedder), progress)

    @known_arguments
    def score(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return a frame with a column of this name, a score; as `df.imagen.score`.

        Example:
            >>> studio.score(df, "clip:tiny").nlargest(3, "clip:tiny")
        """
        from imagen_nb.frames.pictures.score import find_scorer, score_pictures

        scorer = find_scorer(name, self.settings)
        return score_pictures(frame, scorer, self._catalogs(), self.reader())

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let the background wait while something else than this session draws.

        Example:
            >>> with studio.drawing():
            ...     image = picture.image.resize((256, 256))
        """
        with self._uplink.drawing(), self._looking.drawing():
            yield

    def close(self, *, cloud_seconds: float | None = None) -> None:
        """Finish writing, copy to the cloud for a few last seconds, close the catalogs.

        Args:
            cloud_seconds: how long to copy; None is the configured time.

        Example:
            >>> session = im.Studio({"backend": "flux-tiny-local"})
            >>> session.close(cloud_seconds=0)
        """
        self._looking.close()
        super().close(cloud_seconds=cloud_seconds)

    def _announce(
        self, catalog: Catalog, ids: Sequence[UUID], cloud: bool | None
    ) -> None:
        """Have new pictures sent and looked at in the background. Takes microseconds."""
        self._uplink.drawn(catalog, ids, cloud)
        if self._looks_ahead:
            self._looking.drawn(catalog)

    def _compute_ahead(self, catalog: Catalog, goes_on: Callable[[], bool]) -> None:
        """Look at new pictures: always, or only where this embedder has looked before."""
        from imagen_nb.frames.finding.computing import embed_missing
        from imagen_nb.frames.plugins.embedders import make_embedder

        asked = self.settings.find.background == "on"
        models = {store.model for store in stores_in(catalog.folder)}
        if not asked and not models:
            return
        embedder = make_embedder(self.settings.find.embedder)
        if asked or embedder.model in models:
            embed_missing(
                catalog, embedder, progress=False, goes_on=goes_on, batch=_AHEAD_BATCH
            )

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

    def embedder(self, name: str | None = None) -> Embedder:
        """Return the embedder of this name, or as configured, or else the usual one.

        A line on stderr says, once, if only the embedder `tiny` is here and knows
        nothing of some pictures. Raises what `find` raises.

        Example:
            >>> studio.embedder("tiny").dimensions
            256
        """
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
