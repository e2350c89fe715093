"""`im.ranking` and `im.agreement`, of pictures that the embedded FLUX drew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.voters import votes_frame


@pytest.fixture(scope="module")
def df(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    folder = tmp_path_factory.mktemp("judged")
    settings = {"output": {"dir": folder}, "backend": "flux-tiny-local", "steps": 1}
    with Studio(settings, background=False) as studio, using(studio):
        studio.sweep("a {red|blue} boat", seeds=range(2), progress=False)
        studio.rate(studio.history(prompt="red"), 4)
        studio.rate(studio.history(prompt="blue"), 2)
        yield studio.history()


def red_wins(df: pd.DataFrame) -> pd.DataFrame:
    red = df[df["prompt"].str.contains("red")]["id"]
    blue = df[df["prompt"].str.contains("blue")]["id"]
    rows = [(one, other, "left") for one in red for other in blue]
    return votes_frame([*rows, (blue.iloc[0], blue.iloc[1], "tie")])


def test_votes_rank_and_agree_with_stars(df: pd.DataFrame) -> None:
    votes = red_wins(df)
    ranked = im.ranking(df, votes=votes)
    assert ranked["prompt"].tolist() == ["a red boat"] * 2 + ["a blue boat"] * 2
    assert [*ranked.columns][: len(df.columns)] == [*df.columns]
    found = im.agreement(df, votes=votes)
    assert found["compared"].tolist()[:2] == ["votes and ratings"] * 2
    assert found["value"].tolist()[:2] == [1.0, 1.0]
    by_stars = im.ranking(df, by="rating")
    assert by_stars["strength"].tolist() == [4, 4, 2, 2]


def test_a_question_and_a_voter_are_chosen(df: pd.DataFrame) -> None:
    votes = red_wins(df).assign(question="better?")
    turned = votes.assign(left=votes["right"], right=votes["left"], question="calmer?", voter="bob")
    both = pd.concat([votes, turned])
    calmer = im.ranking(df, votes=both, question="calmer?")
    assert calmer["prompt"].tolist()[:2] == ["a blue boat"] * 2
    assert im.ranking(df, votes=both, voter="ada")["prompt"].iloc[0] == "a red boat"
    with pytest.raises(UsageError, match="2 questions"):
        im.agreement(df, votes=both)
    with pytest.raises(UsageError, match="these votes have no column question"):
        im.ranking(df, votes=red_wins(df), question="better?")


def test_what_is_misspelt_is_told(df: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="unknown argument vote; did you mean votes"):
        im.ranking(df, vote=red_wins(df))  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="expected a DataFrame of pictures"):
        im.agreement(Path("x"), votes=red_wins(df))  # type: ignore[arg-type]
