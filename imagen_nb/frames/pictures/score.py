"""A number for each picture of a frame, by a scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.batches import decoded_batches
from imagen_nb.frames.plugins.scorers import load_scorer
from imagen_nb.frames.schema import HISTORY_COLUMNS, prompts_of

if TYPE_CHECKING:
    import pandas as pd


def score_pictures(frame: pd.DataFrame, name: str, cloud: Cloud | None) -> pd.DataFrame:
    """Return the frame with the column `name`, as `Accessor.score` documents.

    Raises:
        UsageError: for an unknown scorer, one named as a column of the history, or a
            frame that lacks columns.
        ImagenError: if the scorer cannot be loaded, or gives no numbers.
    """
    import numpy as np

    scorer = load_scorer(name)
    if name in HISTORY_COLUMNS:
        raise UsageError(f"the scorer {name} would replace the column {name}")
    texts = prompts_of(frame)
    scores = np.full(len(frame), np.nan)
    for batch in decoded_batches(frame, cloud, "scoring pictures"):
        of_batch = [texts[position] for position in batch.positions]
        found = np.asarray(scorer(batch.images, of_batch), dtype=np.float64)
        if found.shape != (len(batch.images),):
            raise ImagenError(
                f"the scorer {name} gave numbers of the shape {found.shape} for"
                f" {len(batch.images)} pictures: tell those who wrote it"
            )
        scores[[*batch.positions]] = found
    return frame.assign(**{name: scores})
