"""Figures of a history: each function draws a DataFrame on matplotlib Axes.

    from imagen_nb import analysis

    analysis.per_day(im.history(since="30d")).figure.savefig("days.png")

A notebook shows a figure below its cell. Prompts and tags are untrusted text: `$` does
not start mathematics, and a character that the font lacks becomes a white square.

`analysis.effects.plot` draws what `im.effects` returns.

Other rooms use:
    picture_map: `draw_map`, pictures where they lie by their look
    report.page: `report` and `write_report`, a history as one HTML page
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.analysis import effects as effects  # analysis.effects.plot
from imagen_nb.analysis.picture_grid import grid
from imagen_nb.analysis.strength_plot import strengths
from imagen_nb.analysis.style import (
    GROUP_COLOURS,
    add_legend,
    category_texts,
    format_date_axis,
    ink_of,
    label,
    mark_empty,
    most_frequent_names,
    titled_axes,
    use_whole_numbers,
)
from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import local_times
from imagen_nb.frames.schema import parse_tags, require_columns
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["BY", "cost", "grid", "label", "latency", "per_day", "strengths", "tags"]

BY = ("backend", "size", "steps")
_PERIODS = (  # from how many days on, what a bar is, its width in days, where it begins
    (0, "day", 0.8, -0.4),
    (120, "week", 5.6, 0.7),
    (900, "month", 26.0, 2.0),
)


def per_day(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the number of pictures per local day, stacked by backend.

    Days without pictures are gaps. A history of more than 120 days is counted by weeks,
    one of more than 900 days by months.

    Args:
        df: a history.
        ax: the axes to draw on; None makes a new figure.

    Raises:
        UsageError: if the frame has no created_at or backend.

    Example:
        >>> analysis.per_day(im.history(since="30d"))
    """
    require_columns(df, "created_at", "backend")
    df = df.reset_index(drop=True)  # several frames in one: labels may occur twice
    times = local_times(df["created_at"])
    days = (times.max() - times.min()).days if times.notna().any() else 0
    _, unit, width, start = [period for period in _PERIODS if period[0] <= days][-1]
    ax = titled_axes(ax, f"Pictures per {unit}", "", "pictures")
    if times.isna().all():
        return mark_empty(ax)
    began = times.dt.to_period(unit[0].upper()).dt.start_time
    counts = _count_table(began, most_frequent_names(df["backend"]))
    base = counts.iloc[:, 0] * 0
    colours = (*GROUP_COLOURS, ink_of(ax))
    for colour, name in zip(colours, counts.columns, strict=False):
        heights = counts[name][counts[name] > 0]
        ax.bar(
            _date_numbers(heights.index) + start,
            heights.tolist(),
            width,
            base[heights.index].tolist(),
            align="edge",
            color=colour,
            label=label(name),
        )
        base += counts[name]
    ax.xaxis_date()
    format_date_axis(ax)
    use_whole_numbers(ax.yaxis)
    return add_legend(ax)


def latency(df: pd.DataFrame, by: str = "backend", ax: Axes | None = None) -> Axes:
    """Draw how many seconds one picture took: a box for each backend, size or steps.

    A box holds the middle half, its line is the median, and the whiskers reach to the
    5th and the 95th percentile.

    Args:
        df: a history.
        by: "backend", "size" or "steps".
        ax: the axes to draw on; None makes a new figure.

    Raises:
        UsageError: for another `by`, or if the frame lacks a column.

    Example:
        >>> analysis.latency(im.history(backend="flux-schnell-local"), by="size")
    """
    if by not in BY:
        raise UsageError(
            f"by must be one of {', '.join(BY)}, not {by!r}{describe_meant(by, BY)}"
        )
    columns = ("width", "height") if by == "size" else (by,)
    require_columns(df, "latency_ms", *columns)
    ax = titled_axes(ax, f"Latency by {by}", "seconds a picture", "")
    known = df[df["latency_ms"].notna()].reset_index(drop=True)
    if known.empty:
        return mark_empty(ax)
    seconds = known["latency_ms"].astype(float) / 1000
    groups = dict(list(seconds.groupby(most_frequent_names(category_texts(known, by)))))
    order = seconds if by == "backend" else _pixels_or_steps(known, by)
    names = sorted(
        groups,
        key=lambda name: order[groups[name].index].median(),
        reverse=True,
    )
    ink = ink_of(ax)
    ax.boxplot(
        [groups[name].to_numpy() for name in names],
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
        tick_labels=[
            f"{label(name)}\n{_describe_picture_count(len(groups[name]))}"
            for name in names
        ],
        orientation="horizontal",
        patch_artist=True,
        boxprops={"facecolor": GROUP_COLOURS[4], "edgecolor": ink},
        medianprops={"color": "black"},
        whiskerprops={"color": ink},
        capprops={"color": ink},
    )
    ax.set_xlim(left=0)
    return ax


def cost(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the total cost of all pictures, in US dollars, over time.

    Args:
        df: a history.
        ax: the axes to draw on; None makes a new figure.

    Raises:
        UsageError: if the frame has no created_at or cost_usd_estimate.

    Example:
        >>> analysis.cost(im.history(since="2026-01-01"))
    """
    require_columns(df, "created_at", "cost_usd_estimate")
    ax = titled_axes(ax, "Cost", "", "US dollars, in all")
    known = df[df["cost_usd_estimate"].fillna(0) > 0].reset_index(drop=True)
    if known.empty:
        return mark_empty(ax, "no costs")
    times = local_times(known["created_at"]).sort_values()
    spent = known["cost_usd_estimate"][times.index].cumsum()
    last = local_times(df["created_at"]).max()
    moments, dollars = [times.iloc[0], *times, last], [0.0, *spent, spent.iloc[-1]]
    ax.step(moments, dollars, where="post", color=GROUP_COLOURS[0], linewidth=2)
    ax.set_ylim(bottom=0)
    format_date_axis(ax)
    return ax


def tags(df: pd.DataFrame, most: int = 20, ax: Axes | None = None) -> Axes:
    """Draw the most frequent tags, each with the number of its pictures.

    Args:
        df: a history.
        most: how many tags.
        ax: the axes to draw on; None makes a new figure.

    Raises:
        UsageError: if the frame has no tags.

    Example:
        >>> analysis.tags(im.history(), most=10)
    """
    require_columns(df, "tags")
    ax = titled_axes(ax, "Tags", "pictures", "")
    counts = (
        df["tags"].map(parse_tags).explode().dropna().value_counts().head(most)[::-1]
    )
    if counts.empty:
        return mark_empty(ax, "no tags")
    places = range(len(counts))
    bars = ax.barh(places, counts.tolist(), color=GROUP_COLOURS[0])
    ax.set_yticks(places, [label(name) for name in counts.index])
    ax.bar_label(bars, padding=3, color=ink_of(ax))
    use_whole_numbers(ax.xaxis)
    return ax


def _count_table(begun: pd.Series[Any], names: pd.Series[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.crosstab(begun, names)


def _date_numbers(moments: pd.Index[Any]) -> Any:
    from matplotlib.dates import date2num

    return date2num(moments.to_numpy())  # type: ignore[no-untyped-call]


def _pixels_or_steps(df: pd.DataFrame, by: str) -> pd.Series[Any]:
    """Return what groups are ordered by: the pictures' steps, or their pixels."""
    if by == "steps":
        return df["steps"].astype(float)
    return df["width"] * df["height"].astype(float)


def _describe_picture_count(count: int) -> str:
    return f"{count:,} picture{'s' if count != 1 else ''}"
