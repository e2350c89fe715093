"""The report's tables: the pictures in numbers."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.style import category_texts
from imagen_nb.frames.moments import local_times
from imagen_nb.frames.schema import parse_tags
from imagen_nb.system.markup import bidi_isolated, escaped_html

if TYPE_CHECKING:
    import pandas as pd

_MAX_TABLE_ROWS = 20
_MAX_UNBROKEN_CHARS = 30  # of a cell that stays on one line
_MAX_CELL_CHARS = 200
_QUANTILES = {
    "5 %": 0.05,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "95 %": 0.95,
    "slowest": 1.0,
}


def totals_section(df: pd.DataFrame) -> str:
    """Return a table of all pictures together."""
    times = local_times(df["created_at"]).dropna()
    seconds = df["latency_ms"].dropna().sum() / 1000
    tagged = int((df["tags"].map(parse_tags).map(len) > 0).sum())
    rows = [
        ("pictures", f"{len(df):,}"),
        ("different prompts", f"{df['prompt'].nunique():,}"),
        ("backends", f"{df['backend'].nunique():,}"),
        ("first", f"{times.min():%Y-%m-%d %H:%M}" if len(times) else ""),
        ("last", f"{times.max():%Y-%m-%d %H:%M}" if len(times) else ""),
        ("time drawn", _describe_total_time(float(seconds))),
        ("cost", _describe_dollars(df["cost_usd_estimate"].sum())),
        ("with tags", f"{tagged:,}"),
        *_cloud_state_rows(df),
    ]
    return html_section("All pictures", html_table(("",), ("",), rows))


def _cloud_state_rows(df: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """Count the pictures by their state in the cloud, if the frame has it."""
    if "cloud" not in df.columns:
        return
    cloud = df["cloud"].fillna("unknown")
    states = cloud.map(lambda state: str(state).partition(":")[0])
    for state, count in states.value_counts().items():
        yield f"cloud: {state}", f"{count:,}"


def models_section(df: pd.DataFrame) -> str:
    """Return a table of backends and models."""
    groups = _text_columns(df, "backend", "model").assign(cost=df["cost_usd_estimate"])
    found = groups.groupby(["backend", "model"])["cost"].agg(["size", "sum"])
    found = found.sort_values("size", ascending=False)
    rows = [
        (*names, f"{count:,}", f"{count / len(df):.0%}", _describe_dollars(spent))
        for names, count, spent in zip(
            found.index, found["size"], found["sum"], strict=True
        )
    ]
    return _table_section(
        "Backends and models", ("backend", "model"), ("pictures", "share", "cost"), rows
    )


def latencies_section(df: pd.DataFrame) -> str:
    """Return percentiles of the seconds that one picture took.

    One row for each backend, size and number of steps.
    """
    known = df[df["latency_ms"].notna()]
    groups = _text_columns(known, "backend").assign(
        size=category_texts(known, "size"),
        steps=category_texts(known, "steps"),
        seconds=known["latency_ms"].astype(float) / 1000,
    )
    by = groups.groupby(["backend", "size", "steps"])["seconds"]
    counts = by.size().sort_values(ascending=False, kind="stable")
    parts = by.quantile([*_QUANTILES.values()]).unstack().loc[counts.index]
    rows = [
        (*names, f"{count:,}", *(f"{part:.2f}" for part in found))
        for names, count, found in zip(
            counts.index, counts, parts.to_numpy(), strict=True
        )
    ]
    return _table_section(
        "Latency, seconds a picture",
        ("backend", "size", "steps"),
        ("pictures", *_QUANTILES),
        rows,
    )


def prompts_section(df: pd.DataFrame) -> str:
    """Return a table of the prompts with most pictures."""
    seeds = df.assign(prompt=df["prompt"].fillna("")).groupby("prompt")["seed"]
    found = seeds.agg(["size", "nunique"]).sort_values(
        "size", ascending=False, kind="stable"
    )
    rows = [
        (prompt, f"{count:,}", f"{different:,}")
        for prompt, count, different in found.itertuples(name=None)
    ]
    return _table_section("Prompts", ("prompt",), ("pictures", "seeds"), rows)


def tags_section(df: pd.DataFrame) -> str:
    """Return a table of the most frequent tags."""
    counts = df["tags"].map(parse_tags).explode().dropna().value_counts()
    rows = [
        (tag, f"{count:,}", f"{count / len(df):.0%}") for tag, count in counts.items()
    ]
    return _table_section("Tags", ("tag",), ("pictures", "share"), rows)


def costs_section(df: pd.DataFrame) -> str:
    """Return a table of what each month cost, the last ones first."""
    paid = df[df["cost_usd_estimate"].fillna(0) > 0]
    months = local_times(paid["created_at"]).dt.strftime("%Y-%m")
    found = paid["cost_usd_estimate"].groupby(months).agg(["size", "sum"])
    found["all"] = found["sum"].cumsum()
    rows = [
        (month, f"{count:,}", _describe_dollars(spent), _describe_dollars(so_far))
        for month, count, spent, so_far in found[::-1].itertuples(name=None)
    ]
    return _table_section("Cost", ("month",), ("pictures", "cost", "so far"), rows)


def _table_section(
    title: str,
    texts: Sequence[str],
    numbers: Sequence[str],
    rows: Sequence[Sequence[object]],
) -> str:
    """Return the first rows as a table, and how many are left out."""
    if not rows:
        return html_section(title, "<p>none</p>")
    left = len(rows) - _MAX_TABLE_ROWS
    more = ""
    if left > 0:
        more = f"<p>{left:,} more row{'s' if left > 1 else ''} left out</p>"
    return html_section(title, html_table(texts, numbers, rows[:_MAX_TABLE_ROWS]), more)


def _text_columns(df: pd.DataFrame, *names: str) -> Any:
    """Return these columns as text; a missing value becomes ""."""
    columns = df[[*names]].astype(object)
    return columns.where(columns.notna(), "").astype(str)


def _describe_total_time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 2:
        return f"{seconds:.1f} s"
    if hours < 2:
        return f"{minutes:.1f} min"
    return f"{hours:,.1f} h"


def _describe_dollars(amount: float) -> str:
    if amount >= 10:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount else "$0"


def html_section(title: str, *parts: str) -> str:
    """Return a section of the page with a heading; `parts` are HTML."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{''.join(parts)}\n</section>\n"


def html_table(
    texts: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[object]]
) -> str:
    """Return a table: columns of untrusted text, then columns of numbers.

    `texts` and `numbers` are the columns' names; a row has a value for each.
    """
    names = [f"<th>{html.escape(name)}</th>" for name in texts]
    names += [f'<th class="n">{html.escape(name)}</th>' for name in numbers]
    lines = "".join(
        f"<tr>{''.join(_html_cells(row, len(texts)))}</tr>\n" for row in rows
    )
    head = f"<thead><tr>{''.join(names)}</tr></thead>"
    return f'<div class="wide"><table>{head}\n<tbody>\n{lines}</tbody></table></div>\n'


def _html_cells(row: Sequence[object], texts: int) -> Iterable[str]:
    for column, value in enumerate(row):
        if column < texts:
            kind = ' class="long"' if len(str(value)) > _MAX_UNBROKEN_CHARS else ""
            yield f"<td{kind}>{bidi_isolated(value, _MAX_CELL_CHARS)}</td>"
        else:
            yield f'<td class="n">{escaped_html(value, _MAX_CELL_CHARS)}</td>'
