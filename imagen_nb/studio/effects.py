"""`im.effects`: which setting matters, of pictures and their records in the session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from imagen_nb.studio.default import studio
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd


@known_arguments
def effects(
    df: pd.DataFrame,
    on: str = "rating",
    *,
    settings: str | Iterable[str] | None = None,
    words: bool = False,
    votes: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what each setting does to the pictures: an effect with an interval.

    Pictures are compared with others of the same prompt and seed only, all settings at
    once, so that neither a prompt that is liked anyway nor another setting that changed
    too is taken for an effect. Where seeds were new each time, pictures of the same
    prompt are compared instead; `within` says so. Settings are steps, guidance,
    scheduler, model, size, each LoRA's weight and whatever else records hold; of a
    latency also batch size, device, type of numbers and threads. A setting of at most
    six numbers, or of texts, has a row for each level, beside its most frequent one; one
    of more numbers has a row for the move from its lower to its upper quartile, along a
    straight line.

    Intervals are of 95 %, each for itself; `p_adjusted` is Benjamini and Hochberg's over
    all rows: of those below 0.05 at most one in twenty is an accident, on average.
    docs/judging.md names the methods with their sources.

    Args:
        df: a history, or a part of it. Rows without what is compared are left out.
        on: "rating", the stars; "votes", the strengths of `im.ranking`; "latency_ms",
            compared as ratios and told in percent; or any column of numbers or of an
            ordered category.
        settings: which to tell of, by name, among them any other columns of the frame;
            None for all that vary. The others are still accounted for.
        words: compare words too: those that stand in one place of prompts that are
            otherwise the same, and those that five prompts have and five lack.
        votes: whose strengths are compared; as `im.votes` gives them.

    Returns:
        A frame, a row for each comparison: setting, level, reference, effect, low, high,
        unit, superiority (of ratings: in which part of the pairs of a block the level is
        the better one, ties counted half) with superiority_low and superiority_high, p,
        p_adjusted, pictures, blocks, within, and said, a sentence. Its `.attrs` hold
        `summary`, a text; `pairs` of settings that were looked at for one that depends
        on the other; `confounded`, `unvaried` and `untold`, what cannot be told.

    Raises:
        UsageError: if the frame lacks columns, there is no such setting, what is
            compared is no numbers, or SciPy (extra `judge`) is not installed.

    Example:
        >>> effects = im.effects(df, on="latency_ms")
        >>> print(effects.attrs["summary"])
    """
    from imagen_nb.frames.effects.estimating import estimate_effects
    from imagen_nb.frames.effects.outcomes import ON_VOTES, STRENGTH_COLUMN
    from imagen_nb.frames.effects.record_settings import load_record_settings
    from imagen_nb.frames.schema import require_columns

    require_columns(df, "prompt", "seed")
    records = None
    if "id" in df.columns or "sidecar" in df.columns:
        records = load_record_settings(df, studio().lookup.catalogs())
    if votes is None and on == ON_VOTES and STRENGTH_COLUMN not in df.columns:
        votes = studio().votes()
    return estimate_effects(
        df, on, settings=settings, words=words, records=records, votes=votes
    )
