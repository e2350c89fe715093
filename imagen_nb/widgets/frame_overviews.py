"""The part of `df.imagen` that looks at all pictures of a frame together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.system.spelling import known_arguments
from imagen_nb.widgets.frame_comparisons import FrameComparisons

if TYPE_CHECKING:  # importing imagen_nb imports this: nothing heavy
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from imagen_nb.frames.plugins.embedders import Embedder


class FrameOverviews(FrameComparisons):
    """What the pictures of a frame are together: groups, families, places on a map."""

    @known_arguments
    def duplicates(
        self,
        near: int | str = 0,
        *,
        alike: float = 0.995,
        embedder: str | None = None,
    ) -> pd.DataFrame:
        """Return the rows of pictures that are there twice or more, by `group`.

        Any two pictures of a group are that near (complete linkage).

        Args:
            near: 0 compares the files (sha256). A picture drawn again is another file,
                for its id is inside; `near=1` finds it: up to 24 bits in which the
                perceptual hashes (of 64 bits) may differ. That needs the extra
                `similar`; each picture is looked at once, and remembered. "look"
                compares what an embedder sees: no file is opened of a picture whose
                vector is kept (`im.embed`).
            alike: with "look", the cosine from which on two pictures count as one.
                0.995 finds what was saved as JPEG, made smaller or a little brighter;
                less finds variations too. Embedders differ: see docs/find.md.
            embedder: with "look", as of `similar`.

        Raises:
            UsageError: for a `near` or `alike` that is none, or where imagehash lacks.

        Example:
            >>> df.imagen.duplicates()[["group", "prompt"]]
            >>> df.imagen.duplicates(near="look", embedder="tiny")
        """
        from imagen_nb.frames.pictures.duplicates import find_alike, find_duplicates

        if near == "look":
            _, vectors = self._vectors(embedder)
            return find_alike(self._frame, vectors, alike)
        return find_duplicates(self._frame, near, self._cloud)

    def lineage(self) -> pd.DataFrame:
        """Return the families of the frame's pictures; as `imagen_nb.lineage` of it.

        All pictures, of the frame or not, that they were drawn from or that were drawn
        from them, with the columns `family`, `generation` (0 the oldest), `how` and
        `via`, the parent. Pictures without relatives are left out.

        Example:
            >>> df.imagen.lineage()[["family", "generation", "how", "prompt"]]
        """
        return self._studio.lineage(self._frame)

    @known_arguments
    def clusters(
        self, n: int | None = None, *, embedder: str | None = None
    ) -> pd.DataFrame:
        """Return the frame with a column `cluster`: which pictures look alike, in words.

        Clusters are k-means of the pictures' vectors. Each is named by up to three words
        by which its prompts differ from the others', no two alike. Rows stay in their
        order; it is NaN for a picture that cannot be had or that nothing can be said of.
        The same pictures give the same clusters.

        Args:
            n: how many; None takes the number, up to 32, that tells them apart best (by
                the silhouette).
            embedder: what looks at the pictures, as of `similar`.

        Raises:
            UsageError: for an `n` below 1, or without scikit-learn (extra `umap`).

        Example:
            >>> df.imagen.clusters(embedder="tiny")["cluster"].value_counts()
        """
        from imagen_nb.frames.mapping.clusters import add_clusters

        return add_clusters(self._frame, self._vectors(embedder)[1], n)

    @known_arguments
    def map(
        self,
        n: int | None = None,
        *,
        embedder: str | None = None,
        layout: str = "auto",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the pictures on a map, where those that look alike lie together.

        Thumbnails stand in the cells of a grid, so that none hides another, each at its
        place or at most two cells beside it; there are up to 576, and a dot for every
        picture. Clusters' names stand above their pictures; without scikit-learn, which
        the extra `umap` brings, there are none. The same pictures give the same map.

        Args:
            n: how many clusters, as of `clusters`.
            embedder: what looks at the pictures, as of `similar`.
            layout: "umap", "pca", or "auto", UMAP where it is installed; the figure says
                which. UMAP compiles itself for half a minute in each new process, and
                is not used for fewer than 30 pictures.
            ax: the axes to draw on; None makes a new figure.

        Example:
            >>> df.imagen.map(embedder="tiny", layout="pca").figure.savefig("map.png")
        """
        from imagen_nb.analysis.picture_map import draw_map

        chosen, vectors = self._vectors(embedder)
        return draw_map(self._frame, vectors, chosen.model, n, layout, ax, self._cloud)

    @known_arguments
    def atlas(
        self,
        n: int | None = None,
        *,
        embedder: str | None = None,
        thumbnails: int = 5000,
    ) -> Any:
        """Return a map to zoom, search and filter in, for up to 100,000 pictures.

        It is the widget of embedding-atlas (extra `map`), with the frame's columns, the
        places of `map` and the names of `clusters`; its `selection()` is a frame.

        Args:
            n: how many clusters, as of `clusters`.
            embedder: what looks at the pictures, as of `similar`.
            thumbnails: how many pictures are shown small, the first ones; some 3 kB
                each.

        Raises:
            UsageError: without embedding-atlas.

        Example:
            >>> try:
            ...     atlas = df.imagen.atlas(embedder="tiny")
            ... except im.UsageError as error:
            ...     print(error)  # where the extra is not installed
        """
        from imagen_nb.widgets.atlas import make_atlas, require_atlas

        widget = require_atlas()
        _, vectors = self._vectors(embedder)
        return make_atlas(widget, self._frame, vectors, n, thumbnails, self._cloud)

    def _vectors(self, embedder: str | None) -> tuple[Embedder, NDArray[np.float32]]:
        """Return the embedder, and its vector of each picture of the frame."""
        from imagen_nb.frames.finding.computing import vectors_of_frame

        chosen, catalogs = (
            self._studio.embedder(embedder),
            self._studio.lookup.catalogs(),
        )
        return chosen, vectors_of_frame(self._frame, chosen, catalogs, self._cloud)
