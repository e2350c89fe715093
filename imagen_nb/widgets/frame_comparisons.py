"""The part of `df.imagen` that measures and compares the pictures of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:  # importing imagen_nb imports this: nothing heavy
    from uuid import UUID

    import pandas as pd

    from imagen_nb.cloud.client import Cloud
    from imagen_nb.studio.studio import Studio


class FrameComparisons:
    """What can be told of the pictures of a frame, and of what they have in common."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @known_arguments
    def score(self, name: str) -> pd.DataFrame:
        """Return the frame with a column of this name: each picture's score.

        The higher, the better. It is NaN for a picture that cannot be had or that
        nothing can be said of. Scores are kept: a picture is looked at once.

        Args:
            name: "sharpness", the variance of the Laplacian, tells sharp pictures from
                blurred ones. "clip" tells how well a picture shows what its prompt
                says, by the configured embedder (find.embedder), else the best that is
                here; "clip:tiny" by this one, as of `similar`. "aesthetic" tells what
                people like, by a head on CLIP from a file of yours (score.aesthetic),
                or "aesthetic:FILE". Packages may bring others, see docs/plugins.md.

        Raises:
            UsageError: when there is no such scorer, or it has the name of a column of
                the history.
            ImagenError: when the scorer cannot be loaded, or lacks what it needs.

        Example:
            >>> df.imagen.score("sharpness").nlargest(8, "sharpness").imagen.gallery()
            >>> df.imagen.score("clip:tiny")["clip:tiny"].mean()
        """
        return self._studio.score(self._frame, name)

    @known_arguments
    def similar(
        self, i: int | str | UUID, *, n: int = 12, embedder: str | None = None
    ) -> pd.DataFrame:
        """Return the rows of the pictures most like one, the most similar first.

        The column `similarity` is the cosine of the angle between two pictures' vectors:
        1 is the same, and what else it means depends on the embedder. That picture
        itself is left out, and so are those that cannot be had. Vectors are kept: a picture
        is looked at once.

        Args:
            i: the picture, by its position or id.
            n: how many at most.
            embedder: what looks at them: a registered name, like "tiny", or a folder or
                Hugging Face id. None is the configured one (find.embedder), else the
                one of another package if there is one, otherwise the best of ours whose
                weights are here: see docs/plugins.md.

        Raises:
            UsageError: when there is no such picture or embedder.
            ImagenError: when the embedder cannot be loaded, or lacks what it needs.

        Example:
            >>> df.imagen.similar(0, n=8, embedder="tiny")[["similarity", "prompt"]]
        """
        return self._studio.similar(self._frame, i, n=n, embedder=embedder)

    @known_arguments
    def find(
        self,
        what: Any = None,
        *,
        n: int = 50,
        without: str | None = None,
        like: Any = (),
        unlike: Any = (),
        embedder: str | None = None,
    ) -> pd.DataFrame:
        """Return the rows most like what is looked for, the best first; as `im.find`.

        The column `score` is by how many standard deviations a picture lies above the
        average of this frame. Pictures that cannot be had are left out.

        Args:
            what: words, a picture, or an image, as of `im.find`.
            n: how many at most.
            without: words for what should not be seen.
            like: pictures, files or words that count as `what` does.
            unlike: likewise, of what should not be seen.
            embedder: see `similar`.

        Example:
            >>> df.imagen.find("a boat", without="night", n=8)[["score", "prompt"]]
        """
        return self._studio.find_among(
            self._frame,
            what,
            n=n,
            without=without,
            like=like,
            unlike=unlike,
            embedder=embedder,
        )

    @known_arguments
    def diff(
        self, i: int | str | UUID, j: int | str | UUID, *, all: bool = False
    ) -> pd.DataFrame:
        """Return the fields in which two pictures differ, by their positions or ids.

        Fields are the columns, and what the records have besides (guidance,
        versions.torch …): from the column `sidecar`, or the file beside a picture on
        this machine.

        Args:
            i: one picture.
            j: the other.
            all: also the fields in which any two pictures differ: ids, times, paths,
                hashes.

        Returns:
            One row a field, one column a picture, headed by the first 8 digits of its id.

        Example:
            >>> df.imagen.diff(0, 1)
        """
        from imagen_nb.frames.pictures.diff import diff_pictures

        return diff_pictures(self._frame, i, j, all=all)

    def with_usage(self) -> pd.DataFrame:
        """Return the frame with what its prompts were used for, by `mai.imagen_usage`.

        That table is another program's and only read. `uses` counts its rows of the
        same prompt_hash, `usage_cost_usd` adds up their cost, where a column is known
        for it; it is NaN where there is no use.

        Raises:
            CloudError: when there is no such table, or it cannot be read.

        Example:
            >>> try:
            ...     used = df.imagen.with_usage()
            ... except im.CloudError as error:
            ...     print(error)  # where there is no such table
        """
        from imagen_nb.frames.sources.usage import with_usage

        url = self._studio.settings.supabase.database_url
        return with_usage(self._frame, self._cloud, url)

    @property
    def _studio(self) -> Studio:
        from imagen_nb.studio.default import studio

        return studio()

    @property
    def _cloud(self) -> Cloud | None:
        return self._studio.reader()
