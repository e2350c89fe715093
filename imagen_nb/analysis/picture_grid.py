"""The figure of the pictures themselves: seeds across, settings down."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.style import SIZE, axes, kinds, label, nothing
from imagen_nb.frames.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_ACROSS, _CELLS = 8, 64  # seeds, and pictures, at most
_SIDE = 192  # pixels of a picture
_HALF = 0.47  # of a cell
_AND = "\x1f"  # between settings: the unit separator, which hardly any text has


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
    require_columns(
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
    cells = known.assign(setting=_settings(known)).drop_duplicates(["seed", "setting"])
    seeds, rows = _chosen(cells)
    size = (2.8 + 1.1 * len(seeds), 0.9 + 1.1 * len(rows)) if rows else SIZE
    ax = axes(ax, "Seeds × settings", "seed", "", size)
    if not rows:
        return nothing(ax)
    shown = cells[cells["seed"].isin(seeds) & cells["setting"].isin(rows)]
    images = zip(shown["seed"], shown["setting"], _images(shown, cloud), strict=True)
    for seed, setting, image in images:
        _place(ax, image, seeds.index(seed), rows.index(setting))
    _rule(ax, seeds, rows)
    if len(shown) < len(df):
        ax.set_xlabel(
            f"seed ({len(df) - len(shown)} of {len(df)} pictures are not shown)"
        )
    return ax


def _settings(df: pd.DataFrame) -> pd.Series[Any]:
    """What each picture was drawn from, in words: those settings that are not all the same."""
    names = [name for name in ("prompt", "backend", "model") if name in df.columns]
    texts = [df[name].astype(str) for name in names]
    texts += [kinds(df, "size"), kinds(df, "steps")]
    differ = [text for text in texts if text.nunique() > 1] or texts[:1]
    return functools.reduce(lambda one, other: one + _AND + other, differ)


def _chosen(cells: pd.DataFrame) -> tuple[list[int], list[str]]:
    """The seeds with most settings, and the settings with most of these; each in their order."""
    columns = sorted(_most(cells["seed"].sort_values(), _ACROSS))
    within = cells["setting"][cells["seed"].isin(columns)]
    fullest = _most(within, _CELLS // max(1, len(columns)))
    return columns, [
        setting for setting in within.drop_duplicates() if setting in fullest
    ]


def _most(values: pd.Series[Any], count: int) -> list[Any]:
    """The most frequent values; of equally frequent ones the first."""
    counts = values.value_counts(sort=False).sort_values(ascending=False, kind="stable")
    return counts.index[:count].tolist()


def _images(shown: pd.DataFrame, cloud: Cloud | None) -> list[Image]:
    from imagen_nb.frames.pictures.contact_sheet import load_reduced_images
    from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures

    return load_reduced_images(
        complete_from_cloud(locate_pictures(shown), cloud), cloud, _SIDE
    )


def _place(ax: Axes, image: Image, column: int, row: int) -> None:
    """Draw a picture into its cell, as wide and high as it is."""
    wide, high = (_HALF * side / max(image.size) for side in image.size)
    ax.imshow(image, extent=(column - wide, column + wide, row + high, row - high))


def _rule(ax: Axes, seeds: Sequence[int], rows: Sequence[str]) -> None:
    ax.set_xlim(-0.5, len(seeds) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    ax.set_yticks(range(len(rows)), [_lines(row) for row in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _lines(setting: str) -> str:
    """In a few lines; a long prompt is cut, so that what it was drawn with is seen."""
    prompt, *others = setting.split(_AND)
    whole = [label(text).replace(" ", "\N{NO-BREAK SPACE}") for text in others]
    text = " · ".join([label(prompt, 40 if others else 80), *whole])
    return "\n".join(textwrap.wrap(text, 26, break_on_hyphens=False)[:5])
