"""The pictures of a frame that are most like one of them, or what is looked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import StorageError
from imagen_nb.frames.finding.computing import vectors_of_frame
from imagen_nb.frames.finding.hits import z_scores
from imagen_nb.frames.finding.search import SCORE
from imagen_nb.frames.pictures.locate import open_picture, position_of
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.frames.query import validated_count
from imagen_nb.storage.catalog import Catalog

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SIMILARITY = "similarity"  # the column


def similar_pictures(
    frame: pd.DataFrame,
    picture: int | str | UUID,
    n: int,
    embedder: Embedder,
    catalogs: Sequence[Catalog],
    cloud: Cloud | None,
) -> pd.DataFrame:
    """Return the rows most like one, as `Accessor.similar` documents.

    `catalogs` and `cloud`: see `vectors_of_frame`.

    Raises:
        UsageError: for a picture that is not in the frame, or an `n` that is no number
            from 1 on.
        ImagenError: if that one picture cannot be had, or the embedder lacks what it
            needs.
    """
    import numpy as np

    position, count = position_of(frame, picture), validated_count(n)
    vectors = vectors_of_frame(frame, embedder, catalogs, cloud)
    if np.isnan(vectors[position, 0]):
        open_picture(frame, position, cloud)  # raises what is wrong with it
        raise StorageError("the picture could not be read before: try again")
    likeness = vectors @ vectors[position]
    likeness[position] = np.nan  # it is most like itself
    best = _best(likeness, count)
    return frame.iloc[best].assign(**{SIMILARITY: likeness[best].astype(np.float64)})


def find_in_frame(
    frame: pd.DataFrame,
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    n: int,
    left_out: Collection[str] = (),
) -> pd.DataFrame:
    """Return the rows of a frame that are most like a vector, with the column `score`.

    Average and deviation are those of the frame's pictures.

    Args:
        frame: needs the column `id`.
        vectors: of its pictures, as `vectors_of_frame` gives them.
        query: of the same embedder, of length 1.
        n: how many at most.
        left_out: ids of pictures that are not to be found.
    """
    import numpy as np

    likeness = np.where(vectors.any(axis=1), vectors @ query, np.float32(np.nan))
    known = likeness[~np.isnan(likeness)].astype(np.float64)
    mean, std = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    named = [str(id) in left_out for id in frame["id"]]
    likeness[np.array(named, bool)] = np.nan
    best = _best(likeness, n)
    scores = z_scores(likeness[best], float(mean), float(std), len(known))
    return frame.iloc[best].assign(**{SCORE: np.array(scores, np.float64)})


def _best(likeness: NDArray[np.float32], count: int) -> list[int]:
    """Return the positions of the best, best first, without those of NaN."""
    import numpy as np

    order = np.argsort(-likeness, kind="stable")[:count]  # NaN comes last
    return [place for place in order.tolist() if not np.isnan(likeness[place])]
