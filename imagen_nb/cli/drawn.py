"""What the commands that draw print: paths, records, and what the cloud has of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.studio import Studio


def note_pictures_of_today(
    pictures: Sequence[Picture], began: datetime, again: bool
) -> None:
    """Say on stderr which pictures of today were given instead of being drawn.

    `began`: when the command began; what is older was not drawn by it.
    """
    old = [picture for picture in pictures if picture.record.created_at < began]
    if again or not old:
        return
    which = f"{len(old)} of {len(pictures)} pictures" if len(old) > 1 else old[0].path
    print_notice(f"drawn today already: {which} (--again draws anew)")


def print_drawn(
    studio: Studio,
    pictures: Sequence[Picture],
    cloud: bool | None,
    as_json: bool,
    sheet: Path | None = None,
) -> None:
    """Print what was drawn: paths for people and pipes, whole records for programs.

    Paths come first and at once; then what the cloud has, as soon as it has it. One
    record is an object, several are an array, as are those of a sweep (with a `sheet`).
    """
    if not as_json:
        for picture in pictures:
            print(picture.path)
            print(f"sidecar: {picture.sidecar_path}")
        if sheet:
            print(f"contact sheet: {sheet}")
        sys.stdout.flush()
    copy_to_cloud(studio, pictures, cloud)
    if as_json:
        rows = [_picture_as_json(picture) for picture in pictures]
        print(json.dumps(rows if len(rows) > 1 or sheet else rows[0], indent=2))
        return
    for picture in pictures:
        entry = picture.catalog_entry()
        if entry and entry.cloud == "synced":
            id, path = entry.record.id, entry.record.storage_path
            print(f"cloud: imagen.images.id={id} storage_path={path}")


def copy_to_cloud(
    studio: Studio, pictures: Sequence[Picture], cloud: bool | None
) -> None:
    """Try to copy the pictures where that is configured, and say what failed."""
    if not studio.copies(cloud):
        return
    result = studio.sync(pictures=pictures)
    reasons = [result.trouble, *(reason for _, reason in result.unsent)]
    for reason in filter(None, reasons):
        print_notice(
            f"cloud sync: {reason}; the picture is kept, `imagen sync` tries again"
        )


def _picture_as_json(picture: Picture) -> dict[str, object]:
    """Return the record by the catalog, or as it was drawn if its entry is gone."""
    kept = picture.catalog_entry() or picture
    return {**kept.record.snapshot(), "path": str(kept.path), "cloud": kept.cloud}


def describe_identical(picture: Picture) -> str:
    """Return whether the pixels are those of the first picture, and if not, why."""
    if picture.identical is None:
        return "unknown: there is no first picture to compare with"
    if picture.identical:
        return "yes"
    return f"no: {'; '.join(picture.differs) or 'nothing recorded is why'}"


def comparison_as_json(picture: Picture) -> dict[str, object]:
    """Return the record of a picture that was drawn again, and how it compares."""
    return {
        **picture.record.snapshot(),
        "path": str(picture.path),
        "cloud": picture.cloud,
        "identical": picture.identical,
        "differs": list(picture.differs),
    }
