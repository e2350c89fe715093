"""The figure of what matters: each effect with its interval, a forest plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.style import (
    GROUP_COLOURS,
    ink_of,
    label,
    mark_empty,
    titled_axes,
)
from imagen_nb.frames.effects.describing import LEVEL, describe_move
from imagen_nb.frames.schema import require_columns
from imagen_nb.system.markup import one_line, truncated

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_ROWS = 24
_EFFECT_INCHES, _FRAME_INCHES, _WIDE = 0.32, 1.2, 7.0
_MOST_MOVE_CHARS, _MOST_LEVEL_CHARS = 60, 20
_NEEDED = (
    *("setting", "level", "reference", "effect", "low", "high"),
    *("unit", "p", "p_adjusted", "blocks"),
)
_AXIS = {  # what is written below, by unit
    "stars": "stars more or less",
    "levels": "levels more or less",
    "%": "% longer or shorter",
    "log-odds": "strength, in log-odds of a vote",
}


def plot(effects: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw effects with their intervals, a line each, beside the line of no effect.

    A filled point is seen (`p_adjusted` below 0.05), a hollow one may be chance; each
    setting has a colour. Of more than 24 rows those with the smallest p are shown.

    Args:
        effects: as `imagen_nb.effects` returns them, or some of its rows.
        ax: the axes to draw on; None makes a new figure, as high as needed.

    Raises:
        UsageError: if the frame lacks a column.

    Example:
        >>> analysis.effects.plot(im.effects(df, on="latency_ms"))
    """
    require_columns(effects, *_NEEDED)
    shown = effects.loc[effects["p"].sort_values(kind="stable").index[:_MOST_ROWS]]
    shown = shown.sort_index()
    title = f"What matters for {label(effects.attrs.get('on', 'these pictures'))}"
    ax = titled_axes(
        ax, title, _axis_text(effects, len(shown)), "", effects_inches(len(shown))
    )
    if shown.empty:
        ax.set_xlabel("")
        return mark_empty(ax, "nothing can be told")
    colours = _colours(shown["setting"])
    for place, row in enumerate(shown.to_dict("records")):
        _draw_row(ax, place, row, colours[row["setting"]])
    ax.axvline(0, color=ink_of(ax), linewidth=0.8, alpha=0.6, zorder=0)
    ax.set_yticks(
        range(len(shown)), [_move_text(row) for row in shown.to_dict("records")]
    )
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _write_counts(ax, shown)
    return ax


def effects_inches(rows: int) -> tuple[float, float]:
    """Return the width and height, in inches, of a figure of so many effects."""
    return _WIDE, _FRAME_INCHES + _EFFECT_INCHES * min(_MOST_ROWS, max(3, rows))


def _axis_text(effects: pd.DataFrame, shown: int) -> str:
    units = [*effects["unit"].unique()]
    text = _AXIS.get(units[0], "more or less") if units else ""
    left_out = len(effects) - shown
    more = f"; {left_out} more are not shown" if left_out else ""
    return f"{text}, with intervals of 95 %\nfilled: seen, hollow: may be chance{more}"


def _colours(settings: pd.Series[Any]) -> dict[str, str]:
    names = [*dict.fromkeys(settings)]
    return {
        name: GROUP_COLOURS[place % len(GROUP_COLOURS)]
        for place, name in enumerate(names)
    }


def _draw_row(ax: Axes, place: int, row: dict[Any, Any], colour: str) -> None:
    seen = row["p_adjusted"] < LEVEL
    ax.hlines(place, row["low"], row["high"], color=colour, linewidth=2)
    ax.plot(
        [row["effect"]],
        [place],
        marker="o",
        markersize=7,
        color=colour,
        markerfacecolor=colour if seen else ax.figure.get_facecolor(),
        markeredgewidth=1.6,
    )


def _move_text(row: dict[Any, Any]) -> str:
    level, reference = (
        one_line(row[end], _MOST_LEVEL_CHARS) for end in ("level", "reference")
    )
    name = truncated(row["setting"], _MOST_LEVEL_CHARS)
    return label(describe_move(name, level, reference), _MOST_MOVE_CHARS)


def _write_counts(ax: Axes, shown: pd.DataFrame) -> None:
    """Write how many blocks each row is of, at the right."""
    place = {"ha": "left", "va": "center", "fontsize": "small"}
    across = ax.get_yaxis_transform()
    for number, count in enumerate(shown["blocks"]):
        text = f"{count:,} block{'s' if count != 1 else ''}"
        ax.text(1.02, number, text, place, transform=across, color=ink_of(ax))
