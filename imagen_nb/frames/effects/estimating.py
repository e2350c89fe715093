"""Effects of settings on what pictures are like, from a frame, as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.blocking import nuisances_of
from imagen_nb.frames.effects.comparing import (
    BlockStudy,
    Comparison,
    Untold,
    require_statistics,
)
from imagen_nb.frames.effects.describing import (
    describe_effect,
    describe_interaction,
    describe_never_beside,
    describe_together,
    describe_unknown,
    describe_untold,
    name_text,
    shown_number,
)
from imagen_nb.frames.effects.factors import OTHERS, Factor, make_factor
from imagen_nb.frames.effects.interactions import Interaction, interactions
from imagen_nb.frames.effects.outcomes import Compared, compared_of
from imagen_nb.frames.effects.prompt_words import WORDS
from imagen_nb.frames.effects.settings import setting_columns, with_known_records
from imagen_nb.frames.effects.summary import summary_of
from imagen_nb.frames.effects.within import Blocks
from imagen_nb.frames.effects.word_studies import word_studies
from imagen_nb.frames.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "setting",
    "level",
    "reference",
    "effect",
    "low",
    "high",
    "unit",
    "superiority",
    "superiority_low",
    "superiority_high",
    "p",
    "p_adjusted",
    "pictures",
    "blocks",
    "within",
    "said",
)


def estimate_effects(
    frame: pd.DataFrame,
    on: str,
    *,
    settings: str | Iterable[str] | None = None,
    words: bool = False,
    records: pd.DataFrame | None = None,
    votes: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the effects that `imagen_nb.effects` documents.

    Args:
        frame: the pictures.
        on: what is compared.
        settings: which settings are told of; None for all that vary.
        words: whether words of prompts are settings too.
        records: what only records have, as `load_record_settings` gives it.
        votes: as `imagen_nb.votes` gives them, for `on="votes"`.

    Raises:
        UsageError: for a frame, a column or a setting that will not do, and without
            SciPy.
    """
    import numpy as np

    require_statistics()
    require_columns(frame, "prompt", "seed")
    asked = _asked_settings(settings)
    outcome = compared_of(frame, on, votes)
    known = outcome.values == outcome.values  # not NaN
    taken, note = with_known_records(None if records is None else records[known])
    rows = np.flatnonzero(known) if taken is None else np.flatnonzero(known)[taken]
    frame = frame.iloc[rows]
    records = None if records is None or taken is None else records.iloc[rows]
    search = _Search(outcome.taken(rows), {*asked})
    search.notes += [note] if note else []
    columns = setting_columns(frame, records, on, asked)
    search.notes += [describe_unknown(name) for name in asked if name not in columns]
    factors = [*search.varying(columns)]
    if search.is_constant():
        return _as_frame(search)
    outcome = search.outcome
    nuisances = nuisances_of(frame, records, outcome)
    for blocks in nuisances.block_kinds():
        search.look(factors, blocks)
    for study in word_studies(outcome, factors, nuisances) if words else ():
        search.look_for_words(study)
    search.finish(factors, words)
    return _as_frame(search)


def _asked_settings(settings: str | Iterable[str] | None) -> list[str]:
    if settings is None:
        return []
    names = [settings] if isinstance(settings, str) else [*settings]
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError("settings are names, such as steps, or None for all that vary")
    return names


@dataclass
class _Search:
    """What was found so far, from the strictest blocks to the others.

    Invariant: no pair of levels of a setting is in `found` twice.
    """

    outcome: Compared
    asked: set[str]
    found: list[Comparison] = field(default_factory=list)
    pairs: list[Interaction] = field(default_factory=list)
    untold: list[Untold] = field(default_factory=list)
    together: list[tuple[str, ...]] = field(default_factory=list)
    unvaried: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _told: dict[str, set[str]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def varying(self, columns: dict[str, pd.Series[Any]]) -> Iterator[Factor]:
        """Yield the settings that vary; note those that never do."""
        for name, column in columns.items():
            factor = make_factor(name, column)
            if factor is not None:
                yield factor
            elif self._is_asked((name,)) and (self.asked or column.notna().any()):
                self.unvaried.append(name)

    def is_constant(self) -> bool:
        """Return whether there is nothing to compare, and note it."""
        import numpy as np

        different = len(np.unique(self.outcome.values))
        if different == 0:
            self.notes.append(f"{name_text(self.outcome.name)}: no picture has any")
        elif different == 1:
            same = f"the same {name_text(self.outcome.name)}"
            self.notes.append(f"all have {same}: there is nothing to compare")
        return different < 2

    def look(self, factors: Sequence[Factor], blocks: Blocks) -> None:
        """Compare what is not compared yet within these blocks."""
        if all(self._is_told(factor) for factor in factors):
            return
        study = BlockStudy(self.outcome, factors, blocks)
        before = len(self.found)
        self._take(study)
        names = {one.factor.name for one in self.found[before:]}
        compared = [factor for factor in study.factors if factor.name in names]
        done = {(one.first.factor.name, one.second.factor.name) for one in self.pairs}
        for pair in interactions(study, compared):
            if (pair.first.factor.name, pair.second.factor.name) not in done:
                self.pairs.append(pair)

    def look_for_words(self, study: BlockStudy) -> None:
        """Compare words of prompts; settings beside them are accounted for, no more."""
        self._take(study, only=WORDS)

    def _take(self, study: BlockStudy, only: str | None = None) -> None:
        for factor in study.factors:
            self._seen |= {*factor.parts}
            wanted = (
                self._is_asked(factor.parts) if only is None else only in factor.parts
            )
            if len(factor.parts) > 1 and wanted and factor.parts not in self.together:
                self.together.append(factor.parts)
        for result in study.results() if study.factors else ():
            parts = result.factor.parts
            if not (self._is_asked(parts) if only is None else only in parts):
                continue
            told = self._told.setdefault(_key_of(result.factor), set())
            levels = {result.level, result.reference}
            if isinstance(result, Untold):
                self.untold.append(result)
            elif not levels <= told:
                self.found.append(result)
                told |= levels

    def _is_asked(self, parts: Sequence[str]) -> bool:
        return not self.asked or bool(self.asked & {*parts})

    def _is_told(self, factor: Factor) -> bool:
        levels = {*factor.labels, *filter(None, factor.span)} - {OTHERS}
        return levels <= self._told.get(_key_of(factor), set())

    def finish(self, factors: Sequence[Factor], words: bool) -> None:
        """Note what varies and was never comparable; forget what was told after all."""
        first: dict[tuple[str, str], Untold] = {}
        for one in self.untold:
            told = self._told.get(_key_of(one.factor), set())
            if not {one.level, one.reference} <= told:
                first.setdefault((_key_of(one.factor), one.level), one)
        self.untold = [*first.values()]
        for factor in factors:
            if factor.name not in self._seen and self._is_asked((factor.name,)):
                self.notes.append(describe_never_beside(factor.name))
        if words and WORDS not in self._seen:
            self.notes.append(describe_never_beside(WORDS))


def _key_of(factor: Factor) -> str:
    """Return what a setting is told apart by: places of words have one name."""
    return " ".join([factor.name, *(factor.labels if WORDS in factor.parts else ())])


def _as_frame(search: _Search) -> pd.DataFrame:
    import pandas as pd

    outcome = search.outcome
    adjusted = _false_discovery([one.p for one in search.found])
    rows = [
        {
            "setting": name_text(one.factor.name),
            "level": one.level,
            "reference": one.reference,
            "effect": shown_number(outcome.scale, one.effect),
            "low": shown_number(outcome.scale, one.low),
            "high": shown_number(outcome.scale, one.high),
            "unit": outcome.scale.value,
            "superiority": one.superiority[0],
            "superiority_low": one.superiority[1],
            "superiority_high": one.superiority[2],
            "p": one.p,
            "p_adjusted": p,
            "pictures": one.pictures,
            "blocks": one.blocks,
            "within": one.within,
            "said": describe_effect(outcome, one, p),
        }
        for one, p in zip(search.found, adjusted, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS]).astype(_COLUMN_TYPES)
    frame.attrs |= _attributes(search)
    frame.attrs["summary"] = summary_of(frame)
    return frame


_COLUMN_TYPES = {
    **dict.fromkeys(("setting", "level", "reference", "unit", "within", "said"), "str"),
    **dict.fromkeys(("effect", "low", "high", "superiority", "p"), "float64"),
    **dict.fromkeys(("superiority_low", "superiority_high", "p_adjusted"), "float64"),
    **dict.fromkeys(("pictures", "blocks"), "int64"),
}


def _attributes(search: _Search) -> dict[str, Any]:
    """Return what else was found as plain values: pandas compares and stores them."""
    outcome = search.outcome
    adjusted = _false_discovery([one.p for one in search.pairs])
    pairs = [
        {
            "first": name_text(one.first.factor.name),
            "second": name_text(one.second.factor.name),
            "p": one.p,
            "p_adjusted": p,
            "blocks": one.blocks,
            "said": describe_interaction(outcome, one, p),
        }
        for one, p in zip(search.pairs, adjusted, strict=True)
    ]
    confounded = [describe_together(parts) for parts in search.together]
    confounded += [describe_untold(one) for one in search.untold if not one.blocks]
    notes = [*search.notes]
    notes += [describe_untold(one) for one in search.untold if one.blocks]
    return {
        "on": outcome.name,
        "unit": outcome.scale.value,
        "rows": len(outcome.values),
        "pairs": pairs,
        "confounded": [*dict.fromkeys(confounded)],
        "unvaried": [name_text(name) for name in search.unvaried],
        "untold": [*dict.fromkeys(notes)],
    }


def _false_discovery(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Benjamini and Hochberg (1995)."""
    if not values:
        return []
    found: list[float] = (
        require_statistics().false_discovery_control(values, method="bh").tolist()
    )
    return found
