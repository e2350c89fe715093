"""What a gallery shows of a picture's family: a small picture of each relative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures
from imagen_nb.widgets.facets import browser_text
from imagen_nb.widgets.thumbnails import thumbnail_or_error

if TYPE_CHECKING:
    import pandas as pd

MAX_RELATIVES_SHOWN = 24  # of one picture that are shown


def family_message(
    family: pd.DataFrame, positions: Mapping[str, int], cloud: Cloud | None
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return what a view is told of relatives, and a thumbnail of each, perhaps empty.

    Args:
        family: as `Studio.lineage` gives it.
        positions: of those that the gallery has, by id: they can be looked at.
        cloud: the client; None if none is configured.
    """
    places = complete_from_cloud(locate_pictures(family), cloud)
    small = [thumbnail_or_error(place, cloud) for place in places]
    relatives = [
        {
            "generation": int(row["generation"]),
            "how": browser_text(row["how"]),
            "prompt": browser_text(row["prompt"]),
            "at": positions.get(str(row["id"])),
        }
        for row in family.to_dict("records")
    ]
    return relatives, [b"" if isinstance(one, ImagenError) else one for one in small]
