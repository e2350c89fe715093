"""Finding within a frame, and how what is wanted and what is not becomes one direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imagen_nb.errors import UsageError
from imagen_nb.frames.finding.hits import both_hits, scores_of, z_scores
from imagen_nb.frames.finding.in_frame import find_in_frame
from imagen_nb.frames.finding.looked_for import query_vector
from imagen_nb.storage.vectors import Nearest


def rows(*vectors: tuple[float, ...]) -> np.ndarray:
    return np.array(vectors, np.float32).reshape(len(vectors), 2)


def test_scores_are_of_the_frame_and_without_what_nothing_is_known_of() -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c", "d", "e"]}, index=[5, 6, 7, 8, 9])
    vectors = rows((1, 0), (0, 1), (0.6, 0.8), (0, 0), (np.nan, np.nan))
    found = find_in_frame(frame, vectors, np.array([1, 0], np.float32), 9)
    assert found["id"].tolist() == ["a", "c", "b"]
    assert found.index.tolist() == [5, 7, 6]
    cosines = np.array([1, 0.6, 0])
    expected = (cosines - cosines.mean()) / cosines.std()
    np.testing.assert_allclose(found["score"], expected, rtol=1e-6)
    without = find_in_frame(frame, vectors, np.array([1, 0], np.float32), 1, {"a"})
    assert without["id"].tolist() == ["c"]
    assert without["score"].tolist() == pytest.approx([expected[1]])


@pytest.mark.parametrize("cosines", [[], [0.5], [0.1, 0.9], [0.5, 0.5, 0.5]])
def test_scores_that_would_say_nothing_are_0(cosines: list[float]) -> None:
    rows = np.array(cosines, np.float32)
    mean, std = (float(rows.mean()), float(rows.std())) if cosines else (0.0, 0.0)
    assert z_scores(rows, mean, std, len(cosines)) == [0.0] * len(cosines)


def test_both_have_each_picture_once_on_the_scale_of_the_larger() -> None:
    cosines = np.array([0.6, 0.4, 0.2], np.float32)
    here = Nearest(["b", "c", "a"], cosines, float(cosines.mean()), float(cosines.std()), 3)
    there = Nearest(["b", "d"], np.array([0.61, 0.5], np.float32), 0.3, 0.1, 50)
    both = both_hits(here, there)
    assert both.ids == ["b", "d", "c", "a"]
    assert scores_of(both) == pytest.approx([3, 2, 1, -1], abs=1e-5)
    same = Nearest(there.ids, there.cosines, 0.3, 0.1, 3)
    assert scores_of(both_hits(here, same))[0] == scores_of(here)[0]


def test_what_is_not_wanted_is_led_away_from() -> None:
    sea, boat = (1.0, 0.0), (0.0, 1.0)
    direction = query_vector(rows(sea), rows(boat))
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert direction[0] > -direction[1] > 0
    assert query_vector(rows(), rows(boat)).tolist() == [0, -1]
    np.testing.assert_allclose(query_vector(rows(sea, boat), rows()), [0.5**0.5] * 2)


def test_what_cancels_out_is_said_in_a_line() -> None:
    with pytest.raises(UsageError, match="nothing is left to look for"):
        query_vector(rows((1, 0), (-1, 0)), rows())
