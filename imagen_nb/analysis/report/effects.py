"""The report's effects: what the ratings, and the votes, say of each setting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.effects import effects_inches, plot
from imagen_nb.analysis.report.charts import chart_html
from imagen_nb.analysis.report.tables import html_section, html_table
from imagen_nb.analysis.style import detached_axes
from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.describing import LEVEL, describe_move
from imagen_nb.frames.effects.estimating import estimate_effects
from imagen_nb.frames.effects.outcomes import (
    ON_RATING,
    ON_VOTES,
    STRENGTH_COLUMN,
    star_ratings,
)
from imagen_nb.frames.effects.record_settings import load_record_settings
from imagen_nb.frames.effects.summary import untold_lines
from imagen_nb.storage.catalog import Catalog
from imagen_nb.system.markup import bidi_isolated
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

_MOST_EFFECTS = 40  # rows of a table
_MOST_UNTOLD = 8
_LEAST_P = 0.001  # that is written out
_RATED, _VOTED = "What matters: ratings", "What matters: votes"
_EFFECT_NUMBERS = (
    "effect",
    "interval",
    "better in",
    "adjusted p",
    "pictures",
    "blocks",
)


def effects_section(
    df: pd.DataFrame, catalogs: Sequence[Catalog], votes: pd.DataFrame | None = None
) -> str:
    """Return what each setting does to ratings and votes; "" where nothing can be told.

    Args:
        df: the pictures. Those of a ranking have strengths already.
        catalogs: where records are, which the frame may lack.
        votes: as `imagen_nb.votes` gives them, or None.
    """
    rated = df[star_ratings(df) > 0]
    asked: list[tuple[str, str, pd.DataFrame, pd.DataFrame | None]] = []
    if len(rated) > 1:
        asked.append((_RATED, ON_RATING, rated, None))
    if STRENGTH_COLUMN in df.columns:
        asked.append((_VOTED, ON_VOTES, df, None))
    elif votes is not None and len(df) > 1:
        for question, some in votes.groupby("question", sort=True):
            asked.append((f"{_VOTED}, {question}", ON_VOTES, df, some))
    try:
        found = [
            (title, _effects_of(rows, on, catalogs, some))
            for title, on, rows, some in asked
        ]
    except UsageError as error:  # what it needs is not installed
        print_notice(f"the report shows no effects: {error}")
        return ""
    return "".join(_section(title, effects) for title, effects in found if len(effects))


def _effects_of(
    rows: pd.DataFrame,
    on: str,
    catalogs: Sequence[Catalog],
    votes: pd.DataFrame | None,
) -> pd.DataFrame:
    records = load_record_settings(rows, catalogs)
    return estimate_effects(rows, on, records=records, votes=votes)


def _section(title: str, effects: pd.DataFrame) -> str:
    ax = plot(effects, detached_axes(effects_inches(len(effects))))
    alt = "Points with intervals: what each setting does. The table has the numbers."
    figure = f'<div class="charts">\n{chart_html(ax, alt)}</div>\n'
    seen = int((effects["p_adjusted"] < LEVEL).sum())
    within = " or ".join(effects["within"].unique())
    intro = (
        f"<p>{seen:,} of {len(effects):,} comparisons show{'s' * (seen == 1)} a"
        f" difference. Compared are pictures of the same {within}, all settings at once;"
        " intervals of 95 %, p adjusted by Benjamini and Hochberg.</p>\n"
    )
    rows = [
        _effect_cells(row) for row in effects.head(_MOST_EFFECTS).to_dict("records")
    ]
    table = html_table(("what",), _EFFECT_NUMBERS, rows)
    return html_section(title, intro, figure, table, *_remarks(effects))


def _effect_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    moved = describe_move(row["setting"], row["level"], row["reference"])
    often, p = row["superiority"], row["p_adjusted"]
    return (
        moved,
        f"{row['effect']:+.2f} {row['unit']}",
        f"{row['low']:+.2f} to {row['high']:+.2f}",
        "" if math.isnan(often) else f"{100 * often:.0f} %",
        f"{p:.3f}" if p >= _LEAST_P else f"< {_LEAST_P}",
        f"{row['pictures']:,}",
        f"{row['blocks']:,}",
    )


def _remarks(effects: pd.DataFrame) -> Iterator[str]:
    """Yield the pairs that interact, and what cannot be told."""
    for pair in effects.attrs["pairs"]:
        if pair["p_adjusted"] < LEVEL:
            yield f"<p>{bidi_isolated(pair['said'])}</p>\n"
    for line in untold_lines(effects)[:_MOST_UNTOLD]:
        yield f"<p>Not to be told: {bidi_isolated(line)}</p>\n"
