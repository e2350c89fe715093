"""How figures look: axes, dates, colours, and untrusted text as labels."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.system.terminal import in_notebook

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GROUP_COLOURS = (  # Okabe and Ito's, which colour-blind people tell apart
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000",
)  # fmt: skip
FIGURE_INCHES = (7.0, 4.0)  # inches
_MAX_GROUPS = len(GROUP_COLOURS)  # groups that a figure tells apart; the others are one


def titled_axes(
    ax: Axes | None,
    title: str,
    x: str,
    y: str,
    size: tuple[float, float] = FIGURE_INCHES,
) -> Axes:
    """Axes to draw on, with a title and the names of both directions; new ones unless given."""
    ax = ax or (_pyplot_axes(size) if in_notebook() else detached_axes(size))
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def detached_axes(size: tuple[float, float] = FIGURE_INCHES) -> Axes:
    """Axes of a figure that pyplot does not know: nothing shows it, and nothing keeps it."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _pyplot_axes(size: tuple[float, float]) -> Axes:
    """Axes of a figure of pyplot's, which a notebook shows below the cell."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def mark_empty(ax: Axes, what: str = "no pictures") -> Axes:
    """The axes of a figure that has nothing to show, and says so."""
    ax.text(0.5, 0.5, what, ha="center", va="center", transform=ax.transAxes)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def format_date_axis(ax: Axes) -> None:
    """Days and months along the x axis; a week at least, or matplotlib would tell hours."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    low, high = ax.get_xlim()
    spare = max(0.0, 7 - (high - low)) / 2
    ax.set_xlim(low - spare, high + spare)
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def use_whole_numbers(axis: Any) -> None:
    """Whole numbers only, along this axis."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def add_legend(ax: Axes) -> Axes:
    """What the colours mean, below the axes, where no bar is hidden."""
    ax.legend(
        frameon=False,
        fontsize="small",
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
    )
    return ax


def category_texts(df: pd.DataFrame, by: str) -> pd.Series[Any]:
    """The pictures' values of a column; sizes as 128×192, steps as 4 steps."""
    if by == "size":
        return _integer_texts(df["width"]) + "×" + _integer_texts(df["height"])
    if by == "steps":
        steps = _integer_texts(df["steps"])
        return steps + steps.map({"1": " step"}).fillna(" steps")
    return df[by]


def _integer_texts(numbers: pd.Series[Any]) -> pd.Series[str]:
    return numbers.astype("Int64").astype(str)


def most_frequent_names(names: pd.Series[Any]) -> pd.Series[Any]:
    """The most frequent names; the others as one."""
    texts = names.astype(object).where(names.notna(), "unknown").astype(str)
    if texts.nunique() <= _MAX_GROUPS:
        return texts
    most: Sequence[str] = texts.value_counts().index[: _MAX_GROUPS - 1].tolist()
    return texts.where(texts.isin(most), "others")


def label(text: object, most: int = 28) -> str:
    """Untrusted text as a label: one line, cut, nothing that matplotlib would interpret or lack."""
    line = " ".join(str(text).split())
    plain = "".join(
        c if c.isprintable() and _is_drawable(c) else "\N{WHITE SQUARE}" for c in line
    )
    cut = plain if len(plain) <= most else plain[: most - 1] + "…"
    return cut.replace("$", r"\$").lstrip("_")


def _is_drawable(char: str) -> bool:
    """Whether matplotlib's own font has it, and it is not written from right to left."""
    return ord(char) in _font_characters() and unicodedata.bidirectional(char) not in (
        "R",
        "AL",
    )


@functools.cache
def _font_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())
