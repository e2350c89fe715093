"""The pictures of a frame, decoded, so many at a time that they fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_image,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

PICTURES_PER_BATCH = 32  # 100 MB of RGB at 1024 × 1024


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """Some pictures of a frame. `positions`: the row number of each; `images`: RGB."""

    positions: Sequence[int]
    images: Sequence[Image]


def decoded_batches(
    frame: pd.DataFrame, cloud: Cloud | None, title: str
) -> Iterator[DecodedBatch]:
    """Yield the pictures of the frame in batches of up to 32, in its order.

    Those that cannot be had are left out, and a line on stderr says how many.

    Args:
        frame: needs the columns `id`, `storage_path` and `local_path`.
        cloud: the client; None if none is configured.
        title: of the progress bar, "scoring pictures".

    Raises:
        UsageError: if the frame lacks columns.
    """
    locations = complete_from_cloud(locate_pictures(frame), cloud)
    failed: list[ImagenError] = []
    with progress_bar(title) as count:
        for start in range(0, len(locations), PICTURES_PER_BATCH):
            part = locations[start : start + PICTURES_PER_BATCH]
            loaded = load_batch(part, cloud)
            failed += [one for one in loaded if isinstance(one, ImagenError)]
            there = [
                (start + place, one)
                for place, one in enumerate(loaded)
                if not isinstance(one, ImagenError)
            ]
            if there:
                yield DecodedBatch(*zip(*there, strict=True))
            count(start + len(part), len(locations))
    if failed:
        print_notice(
            f"{len(failed)} of {len(locations)} pictures cannot be looked at: {failed[0]}"
        )


def load_batch(
    locations: Sequence[PictureLocation], cloud: Cloud | None
) -> list[Image | ImagenError]:
    """Return each picture, decoded as RGB, or the error that says why it cannot be had."""
    return map_in_threads(locations, lambda one: load_image(one, cloud).convert("RGB"))
