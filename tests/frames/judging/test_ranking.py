"""A frame by votes: the best first, and what cannot be ranked is told."""

from __future__ import annotations

import math
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from imagen_nb.errors import UsageError
from imagen_nb.frames.judging.comparisons import compare
from imagen_nb.frames.judging.ranking import rank, rank_by, stars_of
from tests.fixtures.voters import picture_ids, pictures, votes_frame

A, B, C, D, E = picture_ids(5)


class TestByVotes:
    def test_the_best_is_first_and_what_was_never_compared_last(self) -> None:
        frame = pictures(4).assign(mine=range(4))
        ranked = rank(frame, votes_frame([(B, C, "left"), (C, A, "left"), (B, A, "tie")]))
        assert ranked["id"].tolist() == [B, C, A, D]
        assert [*ranked.columns] == [
            *frame.columns,
            "strength",
            "low",
            "high",
            "votes",
            "component",
        ]
        assert ranked["votes"].tolist() == [2, 2, 2, 0]
        assert ranked["component"].isna().tolist() == [False, False, False, True]
        assert math.isnan(ranked["strength"].iloc[3])
        assert (ranked["low"] < ranked["strength"])[:3].all()
        assert ranked.attrs["components"] == 1
        assert ranked.attrs["summary"].startswith("3 pictures compared 3 times by 1 voter; 1 pict")
        assert [*frame.columns] == ["id", "prompt", "tags", "mine"]

    def test_groups_that_were_never_compared_are_told(self) -> None:
        ranked = rank(pictures(5), votes_frame([(A, B, "left"), (C, D, "left"), (D, E, "left")]))
        assert ranked.attrs["components"] == 2
        assert "2 groups that were never compared with each other" in ranked.attrs["summary"]
        assert ranked.set_index("id")["component"][[A, B, C, D, E]].tolist() == [1, 1, 0, 0, 0]

    def test_without_votes_nobody_is_ranked(self) -> None:
        ranked = rank(pictures(2), votes_frame([]))
        assert ranked["strength"].isna().all()
        assert ranked.attrs == {
            "components": 0,
            "summary": "no votes on these pictures: `im.Duel(df)` asks for some",
        }
        assert rank(pictures(0), votes_frame([(A, B, "left")]))["votes"].dtype == "Int64"

    def test_votes_on_other_pictures_do_not_count_and_are_told(self) -> None:
        votes = votes_frame([(A, B, "left"), (B, E, "left"), (D, E, "left")])
        ranked = rank(pictures(2), votes)
        assert ranked["votes"].tolist() == [1, 1]
        assert ranked.attrs["summary"].count("not in the frame left out: 2") == 1

    def test_a_picture_that_is_there_twice_is_the_same_picture(self) -> None:
        twice = pd.concat([pictures(2), pictures(2)])
        ranked = rank(twice, votes_frame([(A, B, "right")]))
        assert ranked["id"].tolist() == [B, B, A, A]
        assert ranked["strength"].nunique() == 2

    def test_skipped_repeated_and_senseless_votes_do_not_count(self) -> None:
        votes = votes_frame(
            [(A, B, "left"), (A, B, "left"), (A, A, "left"), (A, B, "skip"), (A, B, "left")]
        ).assign(id=["1", "1", "2", "3", None])
        votes.loc[5] = [None, B, "left", "ada", "5"]
        votes.loc[6] = [A, float("nan"), "left", "ada", "6"]
        assert rank(pictures(2), votes)["votes"].tolist() == [2, 2]

    def test_ids_are_uuids_or_text(self) -> None:
        votes = votes_frame([(UUID(B), UUID(A), "left")])  # type: ignore[list-item]
        assert rank(pictures(2), votes)["id"].tolist() == [B, A]

    def test_pictures_without_an_id_are_kept(self) -> None:
        frame = pictures(3)
        frame.loc[0, "id"] = np.nan
        ranked = rank(frame, votes_frame([(C, B, "left")]))
        assert ranked["id"].tolist()[:2] == [C, B]
        assert len(ranked) == 3

    def test_several_questions_are_not_mixed(self) -> None:
        votes = votes_frame([(A, B, "left"), (A, B, "right")]).assign(
            question=["better?", "bluer?"]
        )
        with pytest.raises(UsageError, match=r"2 questions \('better\?', 'bluer\?'\): choose one"):
            rank(pictures(2), votes)

    @pytest.mark.parametrize(
        ("votes", "said"),
        [
            ([(A, B)], "expected|votes is a frame of im.votes"),
            (pd.DataFrame({"left": [A]}), "these votes lack right, outcome"),
            (votes_frame([(A, B, "lefft")]), r"not 'lefft'; did you mean left\?"),
        ],
    )
    def test_what_is_no_frame_of_votes_is_refused(self, votes: pd.DataFrame, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            rank(pictures(2), votes)

    def test_voters_are_those_with_most_votes_first(self) -> None:
        rows = [(A, B, "left", "bob"), (A, B, "tie", "ada"), (B, A, "left", "ada")]
        assert compare([A, B], votes_frame(rows)).voters() == ["ada", "bob"]
        without = votes_frame(rows).drop(columns="voter")
        assert compare([A, B], without).voters() == [""]


class TestByAColumn:
    def test_stars_are_those_of_tags(self) -> None:
        frame = pictures(4).assign(tags=[["rating:2"], '["sea", "rating:5"]', [], ["rating:9"]])
        assert stars_of(frame).tolist()[:2] == [2, 5]
        ranked = rank_by(frame, "rating")
        assert ranked["id"].tolist() == [B, A, C, D]
        assert ranked["low"].isna().all()
        assert ranked["votes"].isna().all()
        assert ranked.attrs["summary"] == "2 pictures of 4 by rating"
        own = rank_by(frame.assign(rating=[1, 2, 3, 4]), "rating")
        assert own["id"].tolist() == [D, C, B, A]

    def test_a_column_of_numbers_ranks(self) -> None:
        scores = pd.array([1, None, 3], dtype="Int64")
        ranked = rank_by(pictures(3).assign(score=scores), "score")
        assert ranked["id"].tolist() == [C, A, B]

    def test_another_is_refused(self) -> None:
        with pytest.raises(UsageError, match="the column prompt is not one of numbers"):
            rank_by(pictures(2), "prompt")
        with pytest.raises(UsageError, match="this frame lacks scoer"):
            rank_by(pictures(2), "scoer")
