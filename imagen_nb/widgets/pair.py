"""Two pictures to compare: both files, and what they were not drawn alike with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.frames.pictures.diff import diff
from imagen_nb.frames.pictures.locate import described, places
from imagen_nb.widgets.rows import text_of
from imagen_nb.widgets.small import large

if TYPE_CHECKING:
    import pandas as pd


def pair(frame: pd.DataFrame, cloud: Cloud | None) -> tuple[dict[str, Any], list[bytes]]:
    """What a browser is told of the two rows of this frame, and their pictures.

    Raises `ImagenError` when one of them cannot be had.
    """
    files = [large(place, cloud) for place in described(places(frame), cloud)]
    differing = diff(frame, 0, 1)
    rows = [[str(name), *map(text_of, values)] for name, *values in differing.itertuples()]
    prompts = frame["prompt"] if "prompt" in frame.columns else ["", ""]
    return {"prompts": [*map(text_of, prompts)], "rows": rows}, files
