"""What people ask for, read right: moments, words, and conditions."""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import parse_moment
from imagen_nb.frames.query import Query, make_query
from imagen_nb.frames.words import parse_search_words

NOW = dt.datetime(2026, 3, 31, 15, 30, tzinfo=dt.UTC)

AGO = {
    "30s": dt.timedelta(seconds=30),
    "15 min": dt.timedelta(minutes=15),
    "12 hours ago": dt.timedelta(hours=12),
    "7d": dt.timedelta(days=7),
    "2 weeks": dt.timedelta(weeks=2),
    "1 Week Ago": dt.timedelta(weeks=1),
    "now": dt.timedelta(0),
}


@pytest.mark.parametrize("text", AGO)
def test_a_span_counts_back_from_now(text: str) -> None:
    assert parse_moment("since", text, now=NOW) == NOW - AGO[text]


@pytest.mark.parametrize(
    ("text", "day"),
    [("1 month", (2026, 2, 28)), ("13 months", (2025, 2, 28)), ("2 years", (2024, 3, 31))],
)
def test_months_and_years_go_by_the_calendar(text: str, day: tuple[int, int, int]) -> None:
    found = parse_moment("since", text, now=NOW)
    assert (found.date(), found.time()) == (dt.date(*day), NOW.time())


def test_a_date_is_a_whole_local_day() -> None:
    midnight = dt.datetime(2026, 5, 11).astimezone()
    for day in ("2026-05-11", dt.date(2026, 5, 11)):
        assert parse_moment("since", day) == midnight
        assert parse_moment("until", day, end=True) == midnight + dt.timedelta(days=1)
    yesterday = parse_moment("since", "yesterday", now=NOW)
    assert yesterday.astimezone().date() == NOW.date() - dt.timedelta(days=1)


def test_the_last_moment_is_included() -> None:
    moment = dt.datetime(2026, 5, 11, 10, tzinfo=dt.UTC)
    assert parse_moment("until", moment, end=True) == moment + dt.timedelta(microseconds=1)


def test_times_may_be_of_any_zone_and_of_pandas() -> None:
    there = dt.timezone(dt.timedelta(hours=5, minutes=30))
    assert parse_moment("since", dt.datetime(2026, 5, 11, 5, 30, tzinfo=there)) == dt.datetime(
        2026, 5, 11, tzinfo=dt.UTC
    )
    assert parse_moment("since", "2026-05-11T05:30:00+05:30") == dt.datetime(
        2026, 5, 11, tzinfo=dt.UTC
    )
    found = parse_moment("since", pd.Timestamp("2026-05-11 12:00", tz="Asia/Tokyo"))
    assert (type(found), found.hour) == (dt.datetime, 3)
    naive = parse_moment("since", pd.Timestamp("2026-05-11 12:00"))
    assert naive == dt.datetime(2026, 5, 11, 12).astimezone()


@pytest.mark.parametrize(
    "wrong", ["", "soon", "7 fortnights", "-3d", "2026-13-01", 7, pd.NaT, None, "999999 years", [7]]
)
def test_what_is_no_moment_is_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(UsageError, match="since must be a date, a time, or a span") as error:
        parse_moment("since", wrong)
    assert "\n" not in str(error.value)


WORDS = {
    "red boat": (("red", "boat"), ()),
    'Red "Tall Ship"': (("red", "tall ship"), ()),
    '-night -"no ship"': ((), ("night", "no ship")),
    '"-night"': (("-night",), ()),
    "a - b": (("a", "-", "b"), ()),
    'six" tall': (('six"', "tall"), ()),
    '"" -""': ((), ()),
    " \t\n ": ((), ()),
    "ÀÉ": (("àé",), ()),
}


@pytest.mark.parametrize("text", WORDS)
def test_words_phrases_and_exclusions(text: str) -> None:
    found = parse_search_words(text)
    assert (found.required, found.excluded) == WORDS[text]


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
LETTERS = st.text(st.sampled_from('abIiKkßẞÉéσςΣ\u212a\u0130_%*\\" -.,()\0😀'), max_size=10)


@given(prompt=TEXT | LETTERS, asked=TEXT | LETTERS)
def test_a_server_that_knows_ascii_alone_hides_nothing_that_is_looked_for(
    prompt: str, asked: str
) -> None:
    """SQLite is such a one; it reads no further than a NUL, which PostgreSQL cannot hold."""
    looked_for = parse_search_words(asked)
    text = prompt.replace("\0", "\N{REPLACEMENT CHARACTER}")
    patterns = [(p, True) for p in looked_for.required_patterns]
    patterns += [(p, False) for p in looked_for.excluded_patterns]
    with sqlite3.connect(":memory:") as database:
        said = [
            bool(database.execute(r"SELECT ? LIKE ? ESCAPE '\'", (text, pattern)).fetchone()[0])
            is wanted
            for pattern, wanted in patterns
        ]
    database.close()
    if looked_for.found_in(prompt):
        assert all(said)


@given(prompt=TEXT, start=st.integers(0, 11), end=st.integers(0, 12))
def test_every_part_of_a_prompt_finds_it_in_any_case(prompt: str, start: int, end: int) -> None:
    part = prompt[start:end].replace('"', "")
    for asked in (part, part.swapcase() if part.isascii() else part):
        if part in prompt:
            assert parse_search_words(f'"{asked}"').found_in(prompt)


def test_an_empty_list_lets_nothing_through_and_no_list_everything() -> None:
    assert not make_query().matches_nothing
    for name in ("backend", "model", "any_tags", "seed", "ids", "size"):
        assert make_query(**{name: []}).matches_nothing, name
    assert not make_query(tags=[]).matches_nothing
    assert make_query(limit=0).matches_nothing


def test_sizes_seeds_and_ids_come_in_many_forms() -> None:
    one = Query(sizes=((128, 192),))
    for size in ((128, 192), [128, 192], "128x192", [(128, 192)], [[128, 192]]):
        assert make_query(size=size) == one, size  # type: ignore[arg-type]
    assert (
        make_query(seed=range(3)).seeds == make_query(seed=pd.Series([0, 1, 2])).seeds == (0, 1, 2)
    )
    assert make_query(seed=2**53).seeds == ()
    id = "3F1C9A52-0D4E-4B7A-9C11-5E8F2A6B7C0D"
    assert make_query(ids=id).ids == make_query(ids=pd.Series([id, id])).ids == (id.lower(),)
