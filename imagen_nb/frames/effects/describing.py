"""What effects mean, in a sentence each. Labels of levels are one line already."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imagen_nb.frames.effects.comparing import FEWEST_BLOCKS, Comparison, Untold
from imagen_nb.frames.effects.interactions import Interaction, Move
from imagen_nb.frames.effects.outcomes import Compared, Scale
from imagen_nb.frames.effects.prompt_words import WORDS
from imagen_nb.frames.effects.record_settings import LORA_PREFIX
from imagen_nb.system.markup import one_line

LEVEL = 0.05  # of adjusted p: below, an effect counts as seen
_MINUS = "\N{MINUS SIGN}"
_LONGEST_SETTING = 80  # characters of a setting's name, which a LoRA's file may have


def shown_number(scale: Scale, value: float) -> float:
    """Return a difference on the outcome's scale as it is told: of times, in percent."""
    if scale is Scale.LOG_TIME:
        return 100 * math.expm1(min(value, 700.0))
    return value


def describe_move(name: str, level: str, reference: str) -> str:
    """Return what was changed: "8 steps instead of 4"."""
    if name == WORDS:
        return f"{level} instead of {reference}"
    if name == "steps":
        return f"{level} steps instead of {reference}"
    if name.startswith(LORA_PREFIX):
        at, without = f"at {level}", f"at {reference}"
        at = "left out" if level == "0" else at
        without = "left out" if reference == "0" else without
        return f"{name_text(name)} {at} instead of {without}"
    return f"{name_text(name)} {level} instead of {reference}"


def name_text(name: str) -> str:
    """Return a setting's name in one line."""
    return one_line(name, _LONGEST_SETTING)


def describe_effect(outcome: Compared, one: Comparison, p_adjusted: float) -> str:
    """Return a comparison as a sentence without its full stop."""
    how = "" if not one.is_slope else " (along a straight line)"
    moved = describe_move(one.factor.name, one.level, one.reference) + how
    told = _describe_size(outcome, one)
    often = ""
    if outcome.is_ordinal:
        often = f", the better one in {_percent_text(one.superiority[0])} of pairs"
    doubt = "" if p_adjusted < LEVEL else ", which may be chance"
    count = f"{one.blocks:,} {one.noun[1]}"
    return f"{moved}: {told}{often}, {count}{doubt}"


def _describe_size(outcome: Compared, one: Comparison) -> str:
    if outcome.scale is Scale.LOG_ODDS:
        wins, low, high = (
            1 / (1 + math.exp(-x)) for x in (one.effect, one.low, one.high)
        )
        interval = f"({_percent_text(low)} to {_percent_text(high)})"
        return f"preferred in {_percent_text(wins)} of votes {interval}"
    effect, low, high = (
        shown_number(outcome.scale, value) for value in (one.effect, one.low, one.high)
    )
    if outcome.scale is Scale.LOG_TIME:
        return (
            f"{abs(effect):.{_percent_digits(effect)}f} %"
            f" {'longer' if effect >= 0 else 'shorter'}"
            f" ({_signed_text(low, _percent_digits(low))} to"
            f" {_signed_text(high, _percent_digits(high))})"
        )
    digits = 1 if outcome.scale is Scale.STARS else _digits_for(high - low)
    way = "higher" if effect >= 0 else "lower"
    unit = f" {outcome.scale.value}" if outcome.is_ordinal else ""
    verb = "rated " if outcome.scale is Scale.STARS else ""
    name = "" if outcome.scale is Scale.STARS else f"{name_text(outcome.name)} "
    return (
        f"{name}{verb}{abs(effect):.{digits}f}{unit} {way}"
        f" ({_signed_text(low, digits)} to {_signed_text(high, digits)})"
    )


def _percent_text(part: float) -> str:
    return f"{100 * part:.0f} %"


def _percent_digits(value: float) -> int:
    return 0 if abs(value) >= 10 else 1


def _digits_for(width: float) -> int:
    """Return how many digits after the point tell an interval of this width."""
    if not width > 0 or not math.isfinite(width):
        return 2
    return min(8, max(0, 1 - math.floor(math.log10(width))))


def _signed_text(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    return text if value >= 0 or not float(text.replace(",", "")) else _MINUS + text


def describe_interaction(outcome: Compared, one: Interaction, p_adjusted: float) -> str:
    """Return how one setting depends on another, as a sentence without its full stop."""
    first, second = one.first, one.second
    moved = describe_move(first.factor.name, first.level, first.reference)
    where = f"{_at(second, second.level)} than {_at(second, second.reference)}"
    if p_adjusted >= LEVEL:
        names = f"{name_text(first.factor.name)} and {name_text(second.factor.name)}"
        return f"{names}: nothing seen of one that depends on the other"
    value, low, high = (
        shown_number(outcome.scale, number)
        for number in (one.effect, one.low, one.high)
    )
    if outcome.scale is Scale.LOG_TIME:
        way = "longer" if value >= 0 else "shorter"
        ends = f"({_signed_text(low, 0)} to {_signed_text(high, 0)})"
        return f"{moved}: {abs(value):.0f} % {way} {ends} {where}"
    way = "more" if value >= 0 else "less"
    digits = 1 if outcome.scale is Scale.STARS else _digits_for(high - low)
    unit = f" {outcome.scale.value}" if outcome.scale.value else ""
    ends = f"({_signed_text(low, digits)} to {_signed_text(high, digits)})"
    return f"{moved}: {abs(value):.{digits}f}{unit} {way} {ends} {where}"


def _at(move: Move, level: str) -> str:
    name = move.factor.name
    if name == "steps":
        return f"at {level} steps"
    if name == WORDS:
        return f"with {level}"
    return f"with {name_text(name)} {level}"


def describe_untold(one: Untold) -> str:
    """Return why something cannot be told, as a sentence without its full stop."""
    name = one.factor.name
    moved = describe_move(name, one.level, one.reference)
    if one.blocks:
        noun = one.noun[one.blocks != 1]
        return f"{moved}: only {one.blocks} {noun} of the {FEWEST_BLOCKS} that it takes"
    if one.others:
        return (
            f"{moved} cannot be told from {listed(one.others)}, which changed with it"
        )
    return f"{moved} cannot be told from other settings, which changed with it"


def describe_together(parts: Sequence[str]) -> str:
    """Return that settings always changed together."""
    return (
        f"{listed(parts)} always changed together: which of them it was cannot be told"
    )


def describe_unknown(name: str) -> str:
    """Return that no picture tells of a setting."""
    return f"{name_text(name)} is not known of these pictures"


def describe_never_beside(name: str) -> str:
    """Return that a setting did not vary where pictures can be compared."""
    if name == WORDS:
        return (
            "words: no two prompts differ in one place only, and no word is in"
            " five prompts and missing in five"
        )
    return f"{name_text(name)} varies, but never within one prompt"


def listed(names: Sequence[str]) -> str:
    """Return names as people list them: "steps, guidance and size"."""
    shown = [name_text(name) for name in names]
    return " and ".join([*([", ".join(shown[:-1])] if shown[:-1] else []), shown[-1]])
