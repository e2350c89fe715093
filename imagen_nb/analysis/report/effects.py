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
_TITLES = {ON_RATING: "What matters: ratings", ON_VOTES: "What matters: votes"}
_NUMBERS = ("effect", "interval", "better in", "adjusted p", "pictures", "blocks")


def effects_section(df: pd.DataFrame, catalogs: Sequence[Catalog]) -> str:
    """Return what each setting does to ratings and votes; "" where nothing can be told.

    Votes are told of a frame with strengths, as `im.ranking` gives it. `catalogs`: where
    records are, which the frame may lack.
    """
    return "".join(
        _section(on, effects)
        for on, effects in _all_effects(df, catalogs)
        if len(effects)
    )


def _all_effects(
    df: pd.DataFrame, catalogs: Sequence[Catalog]
) -> Iterator[tuple[str, pd.DataFrame]]:
    for on, rows in (
        (ON_RATING, df[star_ratings(df) > 0]),
        (
            ON_VOTES,
            df[df[STRENGTH_COLUMN].notna()]
            if STRENGTH_COLUMN in df.columns
            else df.iloc[:0],
        ),
    ):
        if len(rows) > 1:
            records = load_record_settings(rows, catalogs)
            try:
                yield on, estimate_effects(rows, on, records=records)
            except UsageError as error:  # what it needs is not installed
                print_notice(f"the report shows no effects: {error}")
                return


def _section(on: str, effects: pd.DataFrame) -> str:
    ax = plot(effects, detached_axes(effects_inches(len(effects))))
    alt = "Points with intervals: what each setting does. The table has the numbers."
    figure = f'<div class="charts">\n{chart_html(ax, alt)}</div>\n'
    seen = int((effects["p_adjusted"] < LEVEL).sum())
    intro = (
        f"<p>{seen:,} of {len(effects):,} comparisons show a difference. Pictures of one"
        " prompt and seed are compared, all settings at once; intervals of 95 %, p"
        " adjusted by Benjamini and Hochberg.</p>\n"
    )
    rows = [
        _effect_cells(row) for row in effects.head(_MOST_EFFECTS).to_dict("records")
    ]
    table = html_table(("what",), _NUMBERS, rows)
    return html_section(_TITLES[on], intro, figure, table, *_remarks(effects))


def _effect_cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    moved = describe_move(row["setting"], row["level"], row["reference"])
    often = row["superiority"]
    return (
        moved,
        f"{row['effect']:+.2f} {row['unit']}",
        f"{row['low']:+.2f} to {row['high']:+.2f}",
        "" if math.isnan(often) else f"{100 * often:.0f} %",
        f"{row['p_adjusted']:.3f}",
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
