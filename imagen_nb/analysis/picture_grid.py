"""The figure that shows the pictures themselves: seeds across, settings down."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.style import (
    FIGURE_INCHES,
    category_texts,
    label,
    mark_empty,
    titled_axes,
)
from imagen_nb.frames.judging.ranking import column_or_stars
from imagen_nb.frames.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_MAX_SEEDS, _MAX_PICTURES = 8, 64
_MAX_PICTURE_PIXELS = 192  # of the longer side
_HALF_CELL = 0.47  # half of a picture's longer side, if a cell is 1 wide
_NUMBER_COLUMN = "\x1fnumber"  # a column that no frame has
_SETTING_SEPARATOR = "\x1f"  # the unit separator, which hardly any text has


def grid(
    df: pd.DataFrame,
    ax: Axes | None = None,
    cloud: Cloud | None = None,
    number: str | None = None,
) -> Axes:
    """Draw the pictures themselves, seeds across and settings down.

    What was not drawn is a gap. Settings are prompt, backend, model, size and steps, as
    far as they differ. Of several pictures of one seed and setting the first is shown.
    At most 8 seeds, those with most settings, and 64 pictures are shown; a line below
    says how many are left out. A picture that cannot be loaded is grey and says why.

    Args:
        df: a history.
        ax: the axes to draw on; None makes a new figure, as large as needed.
        cloud: the client that fetches pictures that are not on this machine
            (`studio.reader()`); None fetches none.
        number: a column of numbers that are written on the pictures, such as `strength`
            of `im.ranking`; "rating" is the stars of their tags.

    Raises:
        UsageError: if the frame lacks a column, or the column is not one of numbers.

    Example:
        >>> analysis.grid(im.history(prompt="boat"), number="rating")
    """
    needed = ("id", "storage_path", "local_path", "prompt", "seed", "steps")
    require_columns(df, *needed, "width", "height")
    order = ["prompt", "width", "height", "steps"]
    if number is not None:
        df = df.assign(**{_NUMBER_COLUMN: column_or_stars(df, number)})
    known = df[df["seed"].notna()].sort_values(order, kind="stable")
    setting = _setting_texts(known)
    cells = known.assign(setting=setting).drop_duplicates(["seed", "setting"])
    seeds, rows = _seeds_and_settings(cells)
    size = (2.8 + 1.1 * len(seeds), 0.9 + 1.1 * len(rows)) if rows else FIGURE_INCHES
    ax = titled_axes(ax, "Seeds × settings", "seed", "", size)
    if not rows:
        return mark_empty(ax)
    shown = cells[cells["seed"].isin(seeds) & cells["setting"].isin(rows)]
    images = _load_small_images(shown, cloud)
    numbers = shown[_NUMBER_COLUMN] if number is not None else [math.nan] * len(shown)
    cell_rows = zip(shown["seed"], shown["setting"], images, numbers, strict=True)
    for seed, row, image, value in cell_rows:
        _draw_in_cell(ax, image, value, seeds.index(seed), rows.index(row))
    _label_rows_and_columns(ax, seeds, rows)
    if len(shown) < len(df):
        left_out = len(df) - len(shown)
        ax.set_xlabel(f"seed ({left_out} of {len(df)} pictures are not shown)")
    return ax


def _setting_texts(df: pd.DataFrame) -> pd.Series[Any]:
    """Return each picture's settings, those that differ among the pictures, as text."""
    names = [name for name in ("prompt", "backend", "model") if name in df.columns]
    texts = [df[name].astype(str) for name in names]
    texts += [category_texts(df, "size"), category_texts(df, "steps")]
    differ = [text for text in texts if text.nunique() > 1] or texts[:1]
    return functools.reduce(lambda one, other: one + _SETTING_SEPARATOR + other, differ)


def _seeds_and_settings(cells: pd.DataFrame) -> tuple[list[int], list[str]]:
    """Return the seeds with most settings, and the settings with most of these seeds.

    Each in the order in which they are shown.
    """
    seeds = sorted(_most_frequent_values(cells["seed"].sort_values(), _MAX_SEEDS))
    settings = cells["setting"][cells["seed"].isin(seeds)]
    chosen = _most_frequent_values(settings, _MAX_PICTURES // max(1, len(seeds)))
    return seeds, [one for one in settings.drop_duplicates() if one in chosen]


def _most_frequent_values(values: pd.Series[Any], count: int) -> list[Any]:
    """Return the most frequent values; of equally frequent ones the first."""
    counts = values.value_counts(sort=False).sort_values(ascending=False, kind="stable")
    return counts.index[:count].tolist()


def _load_small_images(shown: pd.DataFrame, cloud: Cloud | None) -> list[Image]:
    from imagen_nb.frames.pictures.contact_sheet import load_reduced_images
    from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures

    return load_reduced_images(
        complete_from_cloud(locate_pictures(shown), cloud), cloud, _MAX_PICTURE_PIXELS
    )


def _draw_in_cell(ax: Axes, image: Image, value: float, column: int, row: int) -> None:
    """Draw a picture into its cell, as wide and high as it is, with its number if any."""
    wide, high = (_HALF_CELL * side / max(image.size) for side in image.size)
    ax.imshow(image, extent=(column - wide, column + wide, row + high, row - high))
    if value != value:
        return
    text = f"{value:.0f}" if value == round(value) else f"{round(value, 1) + 0.0:.1f}"
    place: Any = {"ha": "center", "va": "bottom", "fontsize": 8}
    box: Any = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    ax.text(column, row + high - 0.04, text, place, color="black", bbox=box)


def _label_rows_and_columns(
    ax: Axes, seeds: Sequence[int], rows: Sequence[str]
) -> None:
    ax.set_xlim(-0.5, len(seeds) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    ax.set_yticks(range(len(rows)), [_describe_setting(row) for row in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _describe_setting(setting: str) -> str:
    """Return the setting in a few lines, a long prompt cut so that the rest fits in."""
    prompt, *others = setting.split(_SETTING_SEPARATOR)
    whole = [label(text).replace(" ", "\N{NO-BREAK SPACE}") for text in others]
    text = " · ".join([label(prompt, 40 if others else 80), *whole])
    return "\n".join(textwrap.wrap(text, 26, break_on_hyphens=False)[:5])
