"""The pictures of a frame that are like one of them, by an embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.frames.pictures.batches import decoded_batches
from imagen_nb.frames.pictures.locate import open_picture, position_of
from imagen_nb.frames.plugins.embedders import make_embedder, unit_vectors
from imagen_nb.frames.query import validated_count

if TYPE_CHECKING:
    import pandas as pd

SIMILARITY = "similarity"  # the column


def similar_pictures(
    frame: pd.DataFrame,
    picture: int | str | UUID,
    n: int,
    embedder: str | None,
    cloud: Cloud | None,
) -> pd.DataFrame:
    """Return the rows most like one, as `Accessor.similar` documents.

    Every picture is embedded anew: nothing is kept.

    Raises:
        UsageError: for a picture that is not in the frame, an `n` that is no number
            from 1 on, or an unknown embedder.
        ImagenError: if that one picture cannot be had, or the embedder cannot be
            loaded.
    """
    import numpy as np

    position, count = position_of(frame, picture), validated_count(n)
    chosen = make_embedder(embedder)
    image = open_picture(frame, position, cloud).convert("RGB")
    (looked_for,) = unit_vectors(chosen.embed_images([image]), chosen, 1)
    likeness = np.full(len(frame), np.nan)
    for batch in decoded_batches(frame, cloud, "comparing pictures"):
        vectors = chosen.embed_images(batch.images)
        rows = unit_vectors(vectors, chosen, len(batch.images))
        likeness[[*batch.positions]] = rows @ looked_for
    likeness[position] = np.nan  # it is most like itself
    order = np.argsort(-likeness, kind="stable")  # NaN comes last
    best = [place for place in order[:count] if not np.isnan(likeness[place])]
    return frame.iloc[best].assign(**{SIMILARITY: likeness[best]})
