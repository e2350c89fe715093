"""Pictures on this machine, and galleries of them that are closed afterwards."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from views import View

import imagen_nb as im
from imagen_nb.output import Output
from imagen_nb.picture import Picture, Pictures
from imagen_nb.record import Record
from imagen_nb.studio import Studio

DAY = datetime.date(2026, 5, 11)


@pytest.fixture
def made(
    folder: Path, session: Callable[[Studio], Studio], make_record: Callable[..., Record],
    make_image: Callable[..., Image.Image],
) -> Callable[..., pd.DataFrame]:  # fmt: skip
    """The history of pictures with these prompts, on this machine."""
    studio = session(Studio({"output": {"dir": str(folder)}}))

    def make(*prompts: str, **fields: Any) -> pd.DataFrame:
        pictures = []
        for seed, prompt in enumerate(prompts):
            record = make_record(prompt=prompt, seed=2**53 - 1 - seed, **fields)
            kept = Output(folder).keep(make_image(seed, (300, 200)), record, DAY)
            studio.catalog().add(kept, "off")
            pictures.append(Picture(kept.record, kept.path, kept.sidecar_path, studio.catalog()))
        return Pictures(pictures).frame()

    return make


@pytest.fixture
def view() -> Iterator[Callable[..., View]]:
    galleries = []

    def open_(frame: pd.DataFrame, **options: Any) -> View:
        galleries.append(im.Gallery(frame, **options))
        return View(galleries[-1])

    yield open_
    for gallery in galleries:
        gallery.close()
