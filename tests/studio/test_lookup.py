"""What counts as a picture, and which ones are meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

import imagen_nb as im
from imagen_nb.studio.studio import Studio


def test_a_column_of_ids_means_all_of_these_pictures(made: Callable[..., pd.DataFrame]) -> None:
    frame = made("a boat", "a house", "a moon")
    assert im.tag(frame["id"].iloc[:2], "sea") == 2
    assert sorted(im.history(source="local", tags="sea")["prompt"]) == ["a boat", "a house"]


def test_an_image_may_be_the_bytes_of_its_file(
    made: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    row = made("a boat", size=(128, 128)).iloc[0]
    data = Path(row["local_path"]).read_bytes()
    with Studio({"backend": "flux-tiny-local", "output": {"dir": str(tmp_path)}}) as studio:
        drawn = studio.generate("a red boat", init_image=data, steps=2, progress=False)
    assert drawn.record.strength is not None
