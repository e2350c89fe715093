"""How figures look: axes, dates, colours, and untrusted text as labels."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.system.terminal import in_notebook
from imagen_nb.system.theme import is_dark, paper_and_ink

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GROUP_COLOURS = (  # Okabe and Ito's, which colour-blind people tell apart
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
)
FIGURE_INCHES = (7.0, 4.0)  # width, height
_MAX_GROUPS = len(GROUP_COLOURS) + 1  # that a figure tells apart, one in its ink


def titled_axes(
    ax: Axes | None,
    title: str,
    x: str,
    y: str,
    size: tuple[float, float] = FIGURE_INCHES,
) -> Axes:
    """Return axes with a title and axis labels: `ax`, or those of a new figure.

    A new one is dark in a dark notebook.

    `size`: width and height of a new figure, in inches.
    """
    if ax is None:
        ax = _pyplot_axes(size) if in_notebook() else detached_axes(size)
        if is_dark():  # a style of the user's own stays as it is, in a light one
            _paint(ax, *paper_and_ink())
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def detached_axes(size: tuple[float, float] = FIGURE_INCHES) -> Axes:
    """Return axes of a new figure unknown to pyplot, which would keep it in memory."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _pyplot_axes(size: tuple[float, float]) -> Axes:
    """Return axes of a new figure of pyplot, which a notebook shows below the cell."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def _paint(ax: Axes, paper: str, ink: str) -> None:
    ax.figure.get_figure(root=True).set_facecolor(paper)
    ax.set_facecolor(paper)
    ax.spines[:].set_color(ink)
    ax.tick_params(colors=ink)
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set_color(ink)


def ink_of(ax: Axes) -> Any:
    """Return the colour of lines and texts on these axes."""
    return ax.xaxis.label.get_color()


def mark_empty(ax: Axes, text: str = "no pictures") -> Axes:
    """Write on the axes that there is nothing to show, and return them."""
    place = {"ha": "center", "va": "center"}
    ax.text(0.5, 0.5, text, place, transform=ax.transAxes, color=ink_of(ax))
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def format_date_axis(ax: Axes) -> None:
    """Write days and months along the x axis, which becomes at least a week long.

    On a shorter axis matplotlib would write hours.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    low, high = ax.get_xlim()
    spare = max(0.0, 7 - (high - low)) / 2
    ax.set_xlim(low - spare, high + spare)
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def use_whole_numbers(axis: Any) -> None:
    """Write whole numbers only along this axis."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def add_legend(ax: Axes) -> Axes:
    """Add a legend below the axes, where it hides no bar, and return the axes."""
    ax.legend(
        frameon=False,
        labelcolor=ink_of(ax),
        fontsize="small",
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
    )
    return ax


def category_texts(df: pd.DataFrame, by: str) -> pd.Series[Any]:
    """Return each picture's category: for `size` e.g. "128×192", for `steps` "4 steps"."""
    if by == "size":
        return _integer_texts(df["width"]) + "×" + _integer_texts(df["height"])
    if by == "steps":
        steps = _integer_texts(df["steps"])
        return steps + steps.map({"1": " step"}).fillna(" steps")
    return df[by]


def _integer_texts(numbers: pd.Series[Any]) -> pd.Series[str]:
    return numbers.astype("Int64").astype(str)


def most_frequent_names(names: pd.Series[Any]) -> pd.Series[Any]:
    """Return the names, with all but the most frequent ones replaced by "others"."""
    texts = names.astype(object).where(names.notna(), "unknown").astype(str)
    if texts.nunique() <= _MAX_GROUPS:
        return texts
    most: Sequence[str] = texts.value_counts().index[: _MAX_GROUPS - 1].tolist()
    return texts.where(texts.isin(most), "others")


def label(text: object, most: int = 28) -> str:
    """Return untrusted text as a label of at most `most` characters, in one line.

    What matplotlib would interpret is escaped, and what it cannot draw is replaced.

    Example:
        >>> analysis.label("a boat for $5 million", most=11)
        'a boat for…'
    """
    line = " ".join(str(text).split())
    plain = "".join(c if _is_drawable(c) else "\N{WHITE SQUARE}" for c in line)
    cut = plain if len(plain) <= most else plain[: most - 1] + "…"
    return cut.replace("$", r"\$").lstrip("_")


def _is_drawable(char: str) -> bool:
    """Whether matplotlib's font has the character, and it runs from left to right."""
    if not char.isprintable() or ord(char) not in _font_characters():
        return False
    return unicodedata.bidirectional(char) not in ("R", "AL")


@functools.cache
def _font_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())
