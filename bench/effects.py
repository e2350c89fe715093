"""Whether the intervals of `im.effects` cover, and how often it gives a false alarm.

python bench/effects.py [--histories 1000] [--peers] [--only NAME]

Histories are simulated (tests/fixtures/simulated_histories.py): what each setting does is known,
or, of whole stars, is what a history of 400 times the size says. For each design:

    covers      how often an interval of 95 % has the effect in it (goal: 93 to 97 %)
    superior    likewise of the superiority, of ratings
    alarms      how often p < 0.05 where a setting does nothing (goal: 3 to 7 %)
    any         how often any comparison of a history counts as seen where nothing does anything
                (goal: at most 7 %; after Benjamini and Hochberg's correction)
    pairs       how often two settings that do not interact are told to (goal: at most 7 %)

With --peers (needs `pip install statsmodels`) the same histories by other ways: a linear mixed
model with a random intercept of each block, least squares without blocks, and the proportional-odds
model (OrderedModel) with a column for each prompt.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parent.parent))

from imagen_nb.frames.effects.estimating import estimate_effects
from tests.fixtures.simulated_histories import DESIGNS, NONE, Design, Effects

ALPHA = 0.05
TRUTH_SIZE = 400  # times the usual size, for what whole stars hide
GOAL = 0.02  # how far from its rate anything may be
Key = tuple[str, str, str]  # setting, level, reference


def effects_of(design: Design, frame: pd.DataFrame) -> pd.DataFrame:
    return estimate_effects(frame, design.on, words="word" in design.effects)


def by_key(effects: pd.DataFrame) -> Iterator[tuple[Key, pd.Series]]:
    for _, row in effects.iterrows():
        setting = str(row["setting"])
        if row["level"] == "28":  # too rare for a truth of its own
            continue
        if "straight line" in row["said"]:  # quartiles differ
            yield (setting, "high", "low"), row
        elif setting == "words" and "night" in row["said"]:
            ends = ("night", "day") if "night" in row["level"] else ("day", "night")
            yield (setting, *ends), row
        elif setting == "words":
            continue
        else:
            yield (setting, row["level"], row["reference"]), row


def truth_of(design: Design, effects: Effects) -> dict[Key, tuple[float, float]]:
    """The effect, and the superiority, of each comparison."""
    size = 60 if design.exact else TRUTH_SIZE
    large = effects_of(design, design.make(np.random.default_rng(7), effects, size))
    found = {key: (row["effect"], row["superiority"]) for key, row in by_key(large)}
    if not design.exact:
        return found
    return {key: (exact_effect(design, effects, key), np.nan) for key in found}


def exact_effect(design: Design, effects: Effects, key: Key) -> float:
    setting, level, _ = key
    name = {"words": "word"}.get(setting, setting)
    if name == "guidance" and level == "high":
        name = "slope"
    value = effects.get(name, 0.0)
    value *= -1 if level in ("euler", "day") else 1  # the other way round
    return 100 * np.expm1(value) if design.on == "latency_ms" else value


def measure(design: Design, count: int) -> dict[str, tuple[float, int]]:
    """Each rate, with the number of cases that it is of."""
    hits: dict[str, list[bool]] = defaultdict(list)
    truth = truth_of(design, design.effects)
    for number in range(count):
        rng = np.random.default_rng([1, number])
        known = effects_of(design, design.make(rng, design.effects, 1))
        for key, row in by_key(known):
            effect, superiority = truth.get(flipped(key, truth), (np.nan, np.nan))
            sign = 1 if key in truth else -1
            hits["covers"].append(row["low"] <= sign * effect <= row["high"])
            if superiority == superiority:
                true = 0.5 + sign * (superiority - 0.5)
                hits["superior"].append(
                    row["superiority_low"] <= true <= row["superiority_high"]
                )
        for pair in known.attrs["pairs"]:
            hits["pairs"].append(pair["p"] < ALPHA)
        nothing = effects_of(design, design.make(rng, NONE, 1))
        for _, row in by_key(nothing):
            hits["alarms"].append(row["p"] < ALPHA)
        hits["any"].append(bool((nothing["p_adjusted"] < ALPHA).any()))
    return {name: (float(np.mean(seen)), len(seen)) for name, seen in hits.items()}


def flipped(key: Key, truth: dict[Key, tuple[float, float]]) -> Key:
    """The key under which the truth knows this comparison: perhaps the other way round."""
    setting, level, reference = key
    return key if key in truth else (setting, reference, level)


def peers(design: Design, count: int) -> None:
    """Print how other ways do on the same histories: coverage of steps' effect, false alarms."""
    import statsmodels.formula.api as smf
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    known = truth_of(design, design.effects)
    key = flipped(("steps", "8", "4"), known)
    truth = known[key][0] * (1 if key[1] == "8" else -1)
    hits: dict[str, list[bool]] = defaultdict(list)
    for number in range(count):
        for effects in (design.effects, NONE):
            rng = np.random.default_rng([1, number])
            frame = design.make(rng, effects, 1).dropna()
            frame = frame[frame["steps"] != 28].assign(
                many=lambda d: (d["steps"] == 8) * 1.0
            )
            frame["block"] = frame["prompt"] + " " + frame["seed"].astype(str)
            if frame["block"].is_unique:
                frame["block"] = frame["prompt"]
            formula = f"{design.on} ~ many + guidance"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mixed = smf.mixedlm(formula, frame, groups=frame["block"]).fit()
                plain = smf.ols(formula, frame).fit()
                columns = pd.get_dummies(
                    frame[["many", "guidance", "prompt"]], drop_first=True
                )
                odds = OrderedModel(frame[design.on], columns.astype(float)).fit(
                    disp=False
                )
            for name, fit in (("mixed model", mixed), ("no blocks", plain)):
                low, high = fit.conf_int().loc["many"]
                if effects:
                    hits[f"{name}: covers"].append(low <= truth <= high)
                else:
                    hits[f"{name}: alarms"].append(fit.pvalues["many"] < ALPHA)
            if not effects:
                hits["proportional odds: alarms"].append(odds.pvalues["many"] < ALPHA)
    for name, seen in sorted(hits.items()):
        print(f"    {name} {np.mean(seen):.1%} of {len(seen):,}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    names = ("covers", "superior", "alarms", "any", "pairs")
    print(f"{'design':<12}" + "".join(f"{name:>18}" for name in names))
    missed = []
    for design in (one for one in DESIGNS if given.only in one.name):
        started = time.perf_counter()
        found = measure(design, given.histories)
        cells = [
            f"{found[name][0]:.1%} of {found[name][1]:,}" if name in found else "–"
            for name in names
        ]
        took = time.perf_counter() - started
        print(
            f"{design.name:<12}" + "".join(f"{cell:>18}" for cell in cells),
            f"  {took:.0f} s",
        )
        missed += [
            f"{design.name}: {name}" for name in names if not is_met(name, found)
        ]
        if given.peers and design.on == "rating" and design.name != "six blocks":
            peers(design, max(50, given.histories // 5))
    print("goals met" if not missed else f"not met: {', '.join(missed)}")
    return bool(missed)


def is_met(name: str, found: dict[str, tuple[float, int]]) -> bool:
    if name not in found:
        return True
    rate, _ = found[name]
    if name in ("covers", "superior"):
        return abs(rate - (1 - ALPHA)) <= GOAL
    if name == "alarms":
        return abs(rate - ALPHA) <= GOAL
    return rate <= ALPHA + GOAL


if __name__ == "__main__":
    sys.exit(main())
