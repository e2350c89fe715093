"""What was found, as a text of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagen_nb.frames.effects.describing import LEVEL, listed, name_text

if TYPE_CHECKING:
    import pandas as pd

_MOST_LINES = 12  # of comparisons, and of what cannot be told


def summary_of(effects: pd.DataFrame) -> str:
    """Return the text: what was looked at, what was seen, and what cannot be told."""
    return "\n".join(_lines(effects))


def _lines(effects: pd.DataFrame) -> Iterator[str]:
    seen = effects[effects["p_adjusted"] < LEVEL]
    what = name_text(effects.attrs["on"])
    rows = (
        f"{effects.attrs['rows']:,} picture{'s' if effects.attrs['rows'] != 1 else ''}"
    )
    if len(effects):
        yield (
            f"What matters for {what}: {len(seen)} of {len(effects)}"
            f" comparison{'s' if len(effects) != 1 else ''} of {rows}"
            f" show{'s' if len(seen) == 1 else ''} a difference"
        )
    else:
        yield f"What matters for {what}: nothing can be told from {rows}"
    yield from (f"- {line}" for line in seen["said"].head(_MOST_LINES))
    if len(seen) > _MOST_LINES:
        yield f"- and {len(seen) - _MOST_LINES} more"
    for pair in effects.attrs["pairs"]:
        if pair["p_adjusted"] < LEVEL:
            yield f"- {pair['said']}"
    unknown = untold_lines(effects)
    if unknown:
        yield "Not to be told from these pictures:"
        yield from (f"- {line}" for line in unknown[:_MOST_LINES])
        if len(unknown) > _MOST_LINES:
            yield f"- and {len(unknown) - _MOST_LINES} more"


def untold_lines(effects: pd.DataFrame) -> list[str]:
    """Return what cannot be told from the pictures, and why, a line each."""
    lines = [*effects.attrs["confounded"], *effects.attrs["untold"]]
    if effects.attrs["unvaried"]:
        lines.append(f"never varied: {listed(effects.attrs['unvaried'])}")
    return lines
