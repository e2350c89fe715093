"""`imagen reproduce`: a picture again, from all that is recorded of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.draw import copied, drawing_settings, report
from imagen_nb.system.terminal import show_picture, shows_pictures

if TYPE_CHECKING:
    from imagen_nb.storage.picture import Picture


def reproduce(
    what: Annotated[
        str, typer.Argument(help="An id (8 digits or more of it), a PNG, or a sidecar.")
    ],
    tag: options.Tag = None,
    output: options.Output = None,
    config: options.Config = None,
    no_cloud: options.NoCloud = False,
    cloud_sync: options.CloudSync = None,
    preview: options.Preview = None,
    as_json: options.Json = False,
) -> None:
    """Draw a picture again and compare it with the first one, pixel by pixel."""
    from imagen_nb.studio.studio import Studio

    settings = drawing_settings(config, cloud_sync, preview)
    cloud = False if no_cloud else None
    with Studio(settings, background=False) as studio:
        picture = studio.reproduce(what, tags=tag or (), cloud=cloud, output=output)
        if as_json:
            copied(studio, [picture], cloud)
            print(json.dumps(_facts(picture), indent=2))
        else:
            report(studio, [picture], cloud, as_json)
            print(f"identical: {_said(picture)}")
        if shows_pictures(settings.preview):
            show_picture(picture.image)


def _said(picture: Picture) -> str:
    if picture.identical is None:
        return "unknown: there is no first picture to compare with"
    if picture.identical:
        return "yes"
    return f"no: {'; '.join(picture.differs) or 'nothing recorded is why'}"


def _facts(picture: Picture) -> dict[str, object]:
    known = {"path": str(picture.path), "cloud": picture.cloud}
    compared = {"identical": picture.identical, "differs": list(picture.differs)}
    return {**picture.record.snapshot(), **known, **compared}
