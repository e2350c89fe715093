"""The figure of the pictures themselves: seeds across, settings down."""

from __future__ import annotations

import functools
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
from imagen_nb.frames.schema import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_MAX_SEEDS, _MAX_PICTURES = 8, 64  # seeds, and pictures, at most
_MAX_PICTURE_PIXELS = 192  # pixels of a picture
_HALF_CELL = 0.47  # of a cell
_SETTING_SEPARATOR = (
    "\x1f"  # between settings: the unit separator, which hardly any text has
)


def grid(df: pd.DataFrame, ax: Axes | None = None, cloud: Cloud | None = None) -> Axes:
    """The pictures themselves, seeds across and settings down; what was not drawn is left empty.

    Settings are prompt, backend, model, size and steps, those of them that differ. Of several
    pictures of one seed and setting the first is shown; at most 8 seeds, those with most settings,
    and 64 pictures; below stands how many are left out. A picture that cannot be had is grey and
    says why. Raises `UsageError` when the frame lacks a column.

    Args:
        df: the pictures.
        ax: where to draw; a figure of its own, as large as it needs, unless given.
        cloud: who fetches pictures that are not on this machine (`studio.reader()`).
    """
    require(
        df,
        "id",
        "storage_path",
        "local_path",
        "prompt",
        "seed",
        "steps",
        "width",
        "height",
    )
    known = df[df["seed"].notna()].sort_values(
        ["prompt", "width", "height", "steps"], kind="stable"
    )
    cells = known.assign(setting=_setting_texts(known)).drop_duplicates(
        ["seed", "setting"]
    )
    seeds, rows = _seeds_and_settings(cells)
    size = (2.8 + 1.1 * len(seeds), 0.9 + 1.1 * len(rows)) if rows else FIGURE_INCHES
    ax = titled_axes(ax, "Seeds × settings", "seed", "", size)
    if not rows:
        return mark_empty(ax)
    shown = cells[cells["seed"].isin(seeds) & cells["setting"].isin(rows)]
    images = zip(
        shown["seed"], shown["setting"], _load_small_images(shown, cloud), strict=True
    )
    for seed, setting, image in images:
        _draw_in_cell(ax, image, seeds.index(seed), rows.index(setting))
    _label_rows_and_columns(ax, seeds, rows)
    if len(shown) < len(df):
        ax.set_xlabel(
            f"seed ({len(df) - len(shown)} of {len(df)} pictures are not shown)"
        )
    return ax


def _setting_texts(df: pd.DataFrame) -> pd.Series[Any]:
    """What each picture was drawn from, in words: those settings that are not all the same."""
    names = [name for name in ("prompt", "backend", "model") if name in df.columns]
    texts = [df[name].astype(str) for name in names]
    texts += [category_texts(df, "size"), category_texts(df, "steps")]
    differ = [text for text in texts if text.nunique() > 1] or texts[:1]
    return functools.reduce(lambda one, other: one + _SETTING_SEPARATOR + other, differ)


def _seeds_and_settings(cells: pd.DataFrame) -> tuple[list[int], list[str]]:
    """The seeds with most settings, and the settings with most of these; each in their order."""
    columns = sorted(_most_frequent_values(cells["seed"].sort_values(), _MAX_SEEDS))
    within = cells["setting"][cells["seed"].isin(columns)]
    fullest = _most_frequent_values(within, _MAX_PICTURES // max(1, len(columns)))
    return columns, [
        setting for setting in within.drop_duplicates() if setting in fullest
    ]


def _most_frequent_values(values: pd.Series[Any], count: int) -> list[Any]:
    """The most frequent values; of equally frequent ones the first."""
    counts = values.value_counts(sort=False).sort_values(ascending=False, kind="stable")
    return counts.index[:count].tolist()


def _load_small_images(shown: pd.DataFrame, cloud: Cloud | None) -> list[Image]:
    from imagen_nb.frames.pictures.contact_sheet import small
    from imagen_nb.frames.pictures.locate import described, places

    return small(described(places(shown), cloud), cloud, _MAX_PICTURE_PIXELS)


def _draw_in_cell(ax: Axes, image: Image, column: int, row: int) -> None:
    """Draw a picture into its cell, as wide and high as it is."""
    wide, high = (_HALF_CELL * side / max(image.size) for side in image.size)
    ax.imshow(image, extent=(column - wide, column + wide, row + high, row - high))


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
    """In a few lines; a long prompt is cut, so that what it was drawn with is seen."""
    prompt, *others = setting.split(_SETTING_SEPARATOR)
    whole = [label(text).replace(" ", "\N{NO-BREAK SPACE}") for text in others]
    text = " · ".join([label(prompt, 40 if others else 80), *whole])
    return "\n".join(textwrap.wrap(text, 26, break_on_hyphens=False)[:5])
