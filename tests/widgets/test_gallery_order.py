"""In which order a gallery shows its rows, the days above them, and how many have what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imagen_nb.frames.words import parse_search_words
from imagen_nb.storage.tags import make_tag_change
from imagen_nb.widgets.filtering import GalleryFilters
from imagen_nb.widgets.ordering import GalleryOrder
from imagen_nb.widgets.rows import GalleryRows

MOMENTS = ((3, 2), (1, 2), (0, 0), (2, 2), (2, 3), (3, 2))  # day and hour
FRAME = pd.DataFrame(
    {
        "id": [str(n) for n in range(6)],
        "storage_path": ["x"] * 6,
        "local_path": [None] * 6,
        "prompt": ["b", "a", "C", "", "ä", "b"],
        "seed": pd.array([5, None, 2**53 - 1, 2**53 - 2, 5, 0], dtype="Int64"),
        "width": [16, 32, 16, 16, 16, None],
        "height": [16, 16, 64, 32, 16, 16],
        "steps": [4, 20, 4, 20, 20, 9],
        "tags": [["rating:2"], ["x"], [], ["rating:5", "x"], ["rating:2", "reject"], ["rating:9"]],
        "created_at": pd.to_datetime(
            [f"2026-05-0{d}T1{h}:00Z" if d else None for d, h in [*MOMENTS]]
        ),
        "note": pd.Series([2, "two", None, 1.5, "One", b"x"], dtype=object),
    }
)


@pytest.mark.parametrize(
    ("by", "descending", "wanted"),
    [
        ("", False, [0, 1, 2, 3, 4, 5]),
        ("created_at", True, [0, 5, 4, 3, 1, 2]),
        ("created_at", False, [1, 3, 4, 0, 5, 2]),
        ("rating", True, [3, 0, 4, 1, 2, 5]),
        ("rating", False, [0, 4, 3, 1, 2, 5]),
        ("seed", True, [2, 3, 0, 4, 5, 1]),
        ("size", True, [2, 1, 3, 0, 4, 5]),
        ("prompt", False, [1, 0, 5, 2, 4, 3]),
        ("steps", False, [0, 2, 5, 1, 3, 4]),
        ("no such column", False, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_rows_are_sorted_those_without_a_value_last(
    by: str, descending: bool, wanted: list[int]
) -> None:
    found = GalleryRows(FRAME).search.find(GalleryFilters(), GalleryOrder(by, descending))
    assert found is not None
    assert found.tolist() == wanted


def test_every_column_can_be_sorted_by_whatever_it_has() -> None:
    rows = GalleryRows(FRAME)
    names = [name for name, _ in rows.sorts]
    assert names[:5] == ["", "created_at", "rating", "seed", "size"]
    assert {"note", "prompt", "width", "local_path"} <= {*names}
    for name in names:
        found = rows.search.find(GalleryFilters(), GalleryOrder(name, descending=True))
        assert found is not None
        assert sorted(found.tolist()) == [*range(6)]


def test_a_rating_moves_its_picture_when_it_is_sorted_anew() -> None:
    rows, order = GalleryRows(FRAME), GalleryOrder("rating", descending=True)
    rows.search.find(GalleryFilters(), order)
    rows.retag([5], make_tag_change(add=["rating:4"]))
    found = rows.search.find(GalleryFilters(), order)
    assert found is not None
    assert found.tolist() == [3, 5, 0, 4, 1, 2]


def test_days_head_what_is_sorted_by_date() -> None:
    search, order = GalleryRows(FRAME).search, GalleryOrder("created_at", descending=True)
    found = search.find(GalleryFilters(), order)
    assert found is not None
    assert search.days(found, order) == [
        ("2026-05-03", 2),
        ("2026-05-02", 2),
        ("2026-05-01", 1),
        ("", 1),
    ]
    assert search.days(found, GalleryOrder("seed")) == []
    assert search.days(found[:0], order) == []


def test_a_frame_that_is_sorted_by_date_is_known_to_be() -> None:
    rows = FRAME.drop(index=2).sort_values("created_at", ascending=False, kind="stable")
    for frame, order in (
        (rows, GalleryOrder("created_at", descending=True)),
        (rows.iloc[::-1], GalleryOrder("created_at")),
        (FRAME, GalleryOrder()),
        (FRAME.drop(columns="created_at"), GalleryOrder()),
        (FRAME.iloc[:0], GalleryOrder()),
    ):
        assert GalleryRows(frame).search.order_as_given() == order


def test_facets_count_by_frequency_what_the_others_leave() -> None:
    counts = GalleryRows(FRAME).search.counts(GalleryFilters(chosen={"steps": ["20"]}))
    assert counts["steps"] == [("20", 3), ("4", 2), ("9", 1)]
    assert counts["tag"] == [("x", 2), ("rating:9", 0), ("reject", 1)]
    assert counts["rating"] == [("", 1), ("2", 1), ("5", 1)]
    assert counts["size"] == [("16×16", 1), ("16", 0), ("16×32", 1), ("16×64", 0), ("32×16", 1)]
    assert counts["day"][0] == ("2026-05-03", 0)
    assert counts["backend"] == counts["lora"] == []  # nobody needs a list of one


def test_rejects_can_be_hidden() -> None:
    search = GalleryRows(FRAME).search
    found = search.find(GalleryFilters(hides_rejects=True), GalleryOrder())
    assert found is not None
    assert found.tolist() == [0, 1, 2, 3, 5]
    assert ("reject", 0) in search.counts(GalleryFilters(hides_rejects=True))["tag"]


def test_counts_are_those_of_the_plain_definition(
    evil_history: Callable[..., pd.DataFrame],
) -> None:
    frame = evil_history(120)
    words, chosen = parse_search_words("-boats"), {"steps": ["4", "5"], "day": ["2026-05-13"]}
    passing = np.array([words.found_in(prompt) for prompt in frame["prompt"]])
    days = frame["created_at"].dt.strftime("%Y-%m-%d")  # at noon, wherever this is nearly
    masks = {"steps": frame["steps"].isin([4, 5]), "day": days == "2026-05-13"}
    counts = GalleryRows(frame).search.counts(GalleryFilters(words, chosen))

    def wanted(values: Any, *others: str) -> dict[str, int]:
        mask = np.logical_and.reduce([passing, *(masks[name] for name in others)])
        return values[mask].value_counts().to_dict()

    for name, values, others in (
        ("steps", frame["steps"].astype(str), ["day"]),
        ("day", days, ["steps"]),
        ("tag", frame["tags"].explode().dropna(), None),
    ):
        if others is None:
            mask = passing & masks["steps"] & masks["day"]
            expected = frame["tags"][mask].explode().dropna().value_counts().to_dict()
            told = {value.encode("utf-8", "replace").decode() for value in expected}
        else:
            expected = wanted(values, *others)
            told = {*expected}
        found = {value: count for value, count in counts[name] if count}
        assert {*found} == told
        assert sorted(found.values()) == sorted(expected.values())
