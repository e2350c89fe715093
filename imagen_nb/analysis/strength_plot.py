"""The figure of a ranking: how strong each picture is, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagen_nb.analysis.style import (
    GROUP_COLOURS,
    category_texts,
    ink_of,
    label,
    mark_empty,
    titled_axes,
)
from imagen_nb.frames.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_ROW_INCHES, _ROW_INCHES_WITH_PICTURE = 0.28, 0.55
_THUMBNAIL_POINTS = 34  # of the longer side
_SMALL_PIXELS = 96
_LABEL_CHARS = 34


def strengths(
    df: pd.DataFrame,
    most: int = 30,
    ax: Axes | None = None,
    thumbnails: bool = False,
    cloud: Cloud | None = None,
) -> Axes:
    """Draw the strongest pictures of a ranking, a dot each with its 90 % interval.

    The line at 0 is the average of the pictures that were compared with each other.
    Strengths of pictures of different colours cannot be compared. Two pictures whose
    intervals overlap may still stand in a sure order, and the other way round.

    Args:
        df: pictures with the columns of `im.ranking`.
        most: how many pictures.
        ax: the axes to draw on; None makes a new figure, as large as needed.
        thumbnails: whether the pictures themselves stand beside their dots.
        cloud: the client that fetches pictures that are not on this machine; None
            fetches none.

    Raises:
        UsageError: if the frame lacks a column.

    Example:
        >>> analysis.strengths(im.ranking(df.assign(likes=range(len(df))), by="likes"))
    """
    require_columns(df, "strength", "low", "high")
    known = df[df["strength"].notna()].sort_values(
        "strength", ascending=False, kind="stable"
    )
    shown = known.head(most)
    height = _ROW_INCHES_WITH_PICTURE if thumbnails else _ROW_INCHES
    ax = titled_axes(
        ax, "Strengths", "strength", "", (7.0, 1.2 + height * max(4, len(shown)))
    )
    if shown.empty:
        return mark_empty(ax, "no strengths")
    _draw_dots_with_intervals(ax, shown)
    places = range(len(shown))
    pad = _THUMBNAIL_POINTS + 8 if thumbnails else 4
    ax.set_yticks(places, _row_labels(shown))
    ax.tick_params(axis="y", length=0, pad=pad)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    if thumbnails:
        _draw_small_pictures(ax, shown, cloud)
    left_out = len(df) - len(shown)
    if left_out:
        ax.set_xlabel(f"strength ({left_out:,} of {len(df):,} pictures are not shown)")
    return ax


def _draw_dots_with_intervals(ax: Axes, shown: pd.DataFrame) -> None:
    colours = _colours_of(shown)
    places = list(range(len(shown)))
    values = shown["strength"].astype(float).tolist()
    low = shown["low"].astype(float).fillna(shown["strength"]).tolist()
    high = shown["high"].astype(float).fillna(shown["strength"]).tolist()
    if shown["low"].notna().any():  # those of votes have 0 as their average
        ax.axvline(0, color=ink_of(ax), linewidth=0.8, alpha=0.4, zorder=1)
    ax.hlines(places, low, high, colors=colours, linewidth=2, alpha=0.6, zorder=2)
    ax.scatter(values, places, c=colours, s=28, zorder=3)


def _colours_of(shown: pd.DataFrame) -> list[str]:
    """Return the colour of each picture: those that were compared have the same."""
    if "component" not in shown.columns:
        return [GROUP_COLOURS[0]] * len(shown)
    numbers = shown["component"].fillna(0).astype(int)
    return [GROUP_COLOURS[number % len(GROUP_COLOURS)] for number in numbers]


def _row_labels(shown: pd.DataFrame) -> list[str]:
    """Return each picture's prompt and seed, and its steps if they differ."""
    names = [name for name in ("prompt", "seed", "steps") if name in shown.columns]
    if "steps" in names and shown["steps"].nunique() < 2:
        names.remove("steps")
    columns = [category_texts(shown, name) for name in names]
    known = [shown[name].notna() for name in names]
    labels = []
    for place in range(len(shown)):
        texts = [
            label(column.iloc[place], _LABEL_CHARS)
            for column, is_known in zip(columns, known, strict=True)
            if is_known.iloc[place]
        ]
        labels.append(" · ".join(texts))
    return labels


def _draw_small_pictures(ax: Axes, shown: pd.DataFrame, cloud: Cloud | None) -> None:
    """Draw each picture left of its row, between the axis and the label."""
    from imagen_nb.frames.pictures.contact_sheet import load_reduced_images
    from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures

    require_columns(shown, "id", "storage_path", "local_path")
    locations = complete_from_cloud(locate_pictures(shown), cloud)
    images = load_reduced_images(locations, cloud, _SMALL_PIXELS)
    for place, image in enumerate(images):
        _draw_beside_axis(ax, image, place)


def _draw_beside_axis(ax: Axes, image: Image, place: int) -> None:
    import numpy as np
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    points = _THUMBNAIL_POINTS / max(image.size)
    picture = OffsetImage(np.asarray(image), zoom=points, dpi_cor=True)
    box = AnnotationBbox(
        picture,
        (0, place),
        xybox=(-4, 0),
        xycoords=("axes fraction", "data"),
        boxcoords="offset points",
        box_alignment=(1, 0.5),
        frameon=False,
        pad=0,
    )
    ax.add_artist(box)
