"""Figures that a person wants of a history: each from a DataFrame to matplotlib Axes.

    from imagen_nb import analysis

    analysis.per_day(im.history(since="30d")).figure.savefig("days.png")

Prompts and tags are untrusted text: `$` does not become mathematics, and what a font lacks is
left out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.schema import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOURS = (  # Okabe and Ito's, which colour-blind people tell apart
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000",
)  # fmt: skip
BY = ("backend", "size", "steps")
_SHOWN = 8  # groups that a figure tells apart; the others are one
_CELLS = 64  # pictures in a grid


def per_day(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Pictures per local day, stacked by backend; days without pictures are gaps.

    Raises `UsageError` when the frame lacks created_at or backend.
    """
    require(df, "created_at", "backend")
    ax = _axes(ax, "Pictures per day", "day", "pictures")
    if df.empty:
        return _nothing(ax)
    import pandas as pd

    days = df["created_at"].dt.tz_convert(_here()).dt.date
    counts = pd.crosstab(days, _few(df["backend"]))
    base = [0] * len(counts)
    for colour, name in zip(COLOURS, counts.columns, strict=False):
        heights = counts[name].tolist()
        ax.bar(list(counts.index), heights, bottom=base, color=colour, label=label(name), width=0.8)
        base = [low + high for low, high in zip(base, heights, strict=True)]
    _dated(ax)
    return _legend(ax)


def latency(df: pd.DataFrame, by: str = "backend", ax: Axes | None = None) -> Axes:
    """How long one picture took, in seconds: a box for each backend, size or number of steps.

    The box holds the middle half, the line is the median, the whiskers reach to the 5th and the
    95th percentile. Raises `UsageError` for another `by`, or when the frame lacks a column.
    """
    if by not in BY:
        raise UsageError(f"by must be one of {', '.join(BY)}, not {by!r}")
    require(df, "latency_ms", *(("width", "height") if by == "size" else (by,)))
    ax = _axes(ax, f"Latency by {by}", "", "seconds a picture")
    known = df[df["latency_ms"].notna()]
    if known.empty:
        return _nothing(ax)
    groups = dict(list((known["latency_ms"].astype(float) / 1000).groupby(_few(_kind(known, by)))))
    names = sorted(groups, key=lambda name: groups[name].median())
    ax.boxplot(
        [groups[name].to_numpy() for name in names], whis=(5, 95), showfliers=False,
        tick_labels=[f"{label(name)}\n{len(groups[name])}" for name in names],
        patch_artist=True, boxprops={"facecolor": "#56B4E9"}, medianprops={"color": "black"},
    )  # fmt: skip
    ax.set_ylim(bottom=0)
    return ax


def cost(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What all pictures cost so far, in US dollars, over time.

    Raises `UsageError` when the frame lacks created_at or cost_usd_estimate.
    """
    require(df, "created_at", "cost_usd_estimate")
    ax = _axes(ax, "Cost", "", "US dollars, in all")
    known = df[df["cost_usd_estimate"].notna()].sort_values("created_at")
    if known.empty:
        return _nothing(ax)
    times = known["created_at"].dt.tz_convert(_here()).dt.tz_localize(None)
    ax.step(times.to_numpy(), known["cost_usd_estimate"].cumsum(), where="post", color=COLOURS[0])
    ax.set_ylim(bottom=0)
    _dated(ax)
    return ax


def tags(df: pd.DataFrame, most: int = 20, ax: Axes | None = None) -> Axes:
    """The most frequent tags, each with the number of its pictures."""
    require(df, "tags")
    ax = _axes(ax, "Tags", "pictures", "")
    counts = df["tags"].explode().dropna().value_counts().head(most)[::-1]
    if counts.empty:
        return _nothing(ax)
    places = range(len(counts))
    bars = ax.barh(places, counts.tolist(), color=COLOURS[0])
    ax.set_yticks(places, [label(name) for name in counts.index])
    ax.bar_label(bars, padding=3)
    return ax


def grid(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The pictures themselves, seeds across and settings down; what was not drawn is left empty.

    At most 64 cells; below stands how many pictures are left out.
    """
    require(df, "local_path", "prompt", "seed", "steps", "width", "height")
    ax = _axes(ax, "Seeds × settings", "seed", "")
    here = df[df["local_path"].notna()]
    if here.empty:
        return _nothing(ax)
    settings = here.apply(_setting, axis=1)
    rows, seeds = settings.drop_duplicates().tolist(), sorted(here["seed"].unique())
    seeds = seeds[: max(1, min(8, _CELLS))]
    rows = rows[: _CELLS // len(seeds)]
    cells = [
        (seeds.index(seed), rows.index(setting)) if seed in seeds and setting in rows else None
        for seed, setting in zip(here["seed"], settings, strict=True)
    ]
    paths = {cell: path for cell, path in zip(cells, here["local_path"], strict=True) if cell}
    shown = sum(_placed(ax, path, *cell) for cell, path in paths.items())
    ax.set_xlim(-0.5, len(seeds) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    ax.set_yticks(range(len(rows)), [label(row, 40) for row in rows])
    if shown < len(df):
        ax.set_xlabel(f"seed ({len(df) - shown} of {len(df)} pictures are not shown)")
    return ax


def label(text: object, most: int = 28) -> str:
    """Untrusted text as a label: one line, cut, nothing that matplotlib would interpret or lack."""
    line = " ".join(str(text).split())
    plain = "".join(c if c.isprintable() and _known(c) else "\N{WHITE SQUARE}" for c in line)
    cut = plain if len(plain) <= most else plain[: most - 1] + "…"
    return cut.replace("$", r"\$").lstrip("_")


def _known(char: str) -> bool:
    """Whether matplotlib's own font is sure to have it: Latin, Greek, Cyrillic and their signs."""
    return ord(char) < 0x0500 or unicodedata.category(char) in ("Pd", "Po", "Pi", "Pf")


def _setting(row: Any) -> str:
    return f"{row['prompt']} {row['width']}×{row['height']} {row['steps']} steps"


def _placed(ax: Axes, path: str, column: int, row: int) -> int:
    from PIL import Image

    if not Path(path).exists():
        return 0
    with Image.open(path) as file:
        small = file.convert("RGB")
        small.thumbnail((192, 192))
    ax.imshow(small, extent=(column - 0.47, column + 0.47, row + 0.47, row - 0.47))
    return 1


def _kind(df: pd.DataFrame, by: str) -> pd.Series[Any]:
    if by == "size":
        return df["width"].astype(str) + "×" + df["height"].astype(str)
    return df[by].astype(str)


def _few(names: pd.Series[Any]) -> pd.Series[Any]:
    """The most frequent names; the others as one."""
    texts = names.astype(str)
    most: Sequence[str] = texts.value_counts().index[: _SHOWN - 1].tolist()
    if texts.nunique() <= _SHOWN:
        return texts
    return texts.where(texts.isin(most), "others")


def _here() -> Any:
    from datetime import datetime

    return datetime.now().astimezone().tzinfo


def _axes(ax: Axes | None, title: str, x: str, y: str) -> Axes:
    """Axes to draw on: new ones belong to a figure of their own, outside of pyplot."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(7, 4), layout="constrained").subplots()
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def _dated(ax: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _nothing(ax: Axes) -> Axes:
    ax.text(0.5, 0.5, "no pictures", ha="center", va="center", transform=ax.transAxes)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _legend(ax: Axes) -> Axes:
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax
