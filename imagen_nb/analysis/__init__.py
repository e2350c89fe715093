"""Figures that a person wants of a history: each from a DataFrame to matplotlib Axes.

    from imagen_nb import analysis

    analysis.per_day(im.history(since="30d")).figure.savefig("days.png")

In a notebook a figure is shown below its cell. Prompts and tags are untrusted text: `$` does not
become mathematics, and what the font lacks is a white square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.picture_grid import grid
from imagen_nb.analysis.style import (
    GROUP_COLOURS,
    add_legend,
    category_texts,
    format_date_axis,
    label,
    mark_empty,
    most_frequent_names,
    titled_axes,
    use_whole_numbers,
)
from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import by_the_clock
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import labels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["BY", "cost", "grid", "label", "latency", "per_day", "tags"]

BY = ("backend", "size", "steps")
_PERIODS = (  # from how many days on, what a bar is, its width in days, where it begins
    (0, "day", 0.8, -0.4),
    (120, "week", 5.6, 0.7),
    (900, "month", 26.0, 2.0),
)


def per_day(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Pictures per local day, stacked by backend; days without pictures are gaps.

    A history of more than 120 days is counted by weeks, one of more than 900 by months. Raises
    `UsageError` when the frame lacks created_at or backend.
    """
    require(df, "created_at", "backend")
    df = df.reset_index(
        drop=True
    )  # a frame put together from several has rows of one label
    times = by_the_clock(df["created_at"])
    days = (times.max() - times.min()).days if times.notna().any() else 0
    _, unit, width, start = [span for span in _PERIODS if span[0] <= days][-1]
    ax = titled_axes(ax, f"Pictures per {unit}", "", "pictures")
    if times.isna().all():
        return mark_empty(ax)
    counts = _count_table(
        times.dt.to_period(unit[0].upper()).dt.start_time,
        most_frequent_names(df["backend"]),
    )
    base = counts.iloc[:, 0] * 0
    for colour, name in zip(GROUP_COLOURS, counts.columns, strict=False):
        high = counts[name][counts[name] > 0]
        ax.bar(
            _date_numbers(high.index) + start, high.tolist(), width, base[high.index].tolist(),
            align="edge", color=colour, label=label(name),
        )  # fmt: skip
        base += counts[name]
    ax.xaxis_date()
    format_date_axis(ax)
    use_whole_numbers(ax.yaxis)
    return add_legend(ax)


def latency(df: pd.DataFrame, by: str = "backend", ax: Axes | None = None) -> Axes:
    """How long one picture took, in seconds: a box for each backend, size or number of steps.

    The box holds the middle half, the line is the median, the whiskers reach to the 5th and the
    95th percentile. Raises `UsageError` for another `by`, or when the frame lacks a column.
    """
    if by not in BY:
        raise UsageError(f"by must be one of {', '.join(BY)}, not {by!r}")
    require(df, "latency_ms", *(("width", "height") if by == "size" else (by,)))
    ax = titled_axes(ax, f"Latency by {by}", "seconds a picture", "")
    known = df[df["latency_ms"].notna()].reset_index(drop=True)
    if known.empty:
        return mark_empty(ax)
    seconds = known["latency_ms"].astype(float) / 1000
    groups = dict(list(seconds.groupby(most_frequent_names(category_texts(known, by)))))
    order = _pixels_or_steps(known, by) if by != "backend" else seconds
    names = sorted(
        groups, key=lambda name: order[groups[name].index].median(), reverse=True
    )
    ax.boxplot(
        [groups[name].to_numpy() for name in names], whis=(5, 95), showfliers=False, widths=0.6,
        tick_labels=[f"{label(name)}\n{_describe_picture_count(len(groups[name]))}" for name in names],
        orientation="horizontal", patch_artist=True,
        boxprops={"facecolor": GROUP_COLOURS[4]}, medianprops={"color": "black"},
    )  # fmt: skip
    ax.set_xlim(left=0)
    return ax


def cost(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What all pictures cost so far, in US dollars, over time.

    Raises `UsageError` when the frame lacks created_at or cost_usd_estimate.
    """
    require(df, "created_at", "cost_usd_estimate")
    ax = titled_axes(ax, "Cost", "", "US dollars, in all")
    known = df[df["cost_usd_estimate"].fillna(0) > 0].reset_index(drop=True)
    if known.empty:
        return mark_empty(ax, "no costs")
    times = by_the_clock(known["created_at"]).sort_values()
    spent = known["cost_usd_estimate"][times.index].cumsum()
    last = by_the_clock(df["created_at"]).max()
    moments, dollars = [times.iloc[0], *times, last], [0.0, *spent, spent.iloc[-1]]
    ax.step(moments, dollars, where="post", color=GROUP_COLOURS[0], linewidth=2)
    ax.set_ylim(bottom=0)
    format_date_axis(ax)
    return ax


def tags(df: pd.DataFrame, most: int = 20, ax: Axes | None = None) -> Axes:
    """The most frequent tags, each with the number of its pictures.

    Raises `UsageError` when the frame lacks tags.
    """
    require(df, "tags")
    ax = titled_axes(ax, "Tags", "pictures", "")
    counts = df["tags"].map(labels).explode().dropna().value_counts().head(most)[::-1]
    if counts.empty:
        return mark_empty(ax, "no tags")
    places = range(len(counts))
    bars = ax.barh(places, counts.tolist(), color=GROUP_COLOURS[0])
    ax.set_yticks(places, [label(name) for name in counts.index])
    ax.bar_label(bars, padding=3)
    use_whole_numbers(ax.xaxis)
    return ax


def _count_table(begun: pd.Series[Any], names: pd.Series[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.crosstab(begun, names)


def _date_numbers(moments: pd.Index[Any]) -> Any:
    from matplotlib.dates import date2num

    return date2num(moments.to_numpy())  # type: ignore[no-untyped-call]


def _pixels_or_steps(df: pd.DataFrame, by: str) -> pd.Series[Any]:
    """By what the groups are ordered: pixels, or steps."""
    return (
        df["steps"].astype(float)
        if by == "steps"
        else df["width"] * df["height"].astype(float)
    )


def _describe_picture_count(count: int) -> str:
    return f"{count:,} picture{'s' if count != 1 else ''}"
