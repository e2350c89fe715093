"""CSV in a spreadsheet: texts stay texts, numbers stay numbers, no cell is a formula."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.system.csv_text import frame_as_csv, harmless_cell

FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    '=cmd|" /C calc"!A0',
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\u00a0=1+1",
    "\uff1d1+1",
    "-boat",
    "\ttab",
)
PLAIN = ("a boat", "a = b", "7d-2", "", " ", "'=1+1", "a\nboat", "3", "-5", "+1.5e-3", ".5")


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_as_a_formula_does_is_text(text: str) -> None:
    assert harmless_cell(text) == "'" + text.replace("\r", "\n")


@pytest.mark.parametrize("value", [*PLAIN, 5, -5, -1.5, None, True, ["=1"]])
def test_other_texts_numbers_and_whatever_is_no_text_stay(value: object) -> None:
    assert harmless_cell(value) is value or harmless_cell(value) == value


def test_control_characters_are_replaced_but_for_tabs_and_ends_of_lines() -> None:
    assert harmless_cell("a\0b\x1b[31mc\td\r\ne\x85") == "a�b�[31mc\td\ne�"
    assert harmless_cell("\0=1+1") == "�=1+1"


@given(st.text())
def test_no_text_is_a_formula_or_ends_its_row(text: str) -> None:
    cell = harmless_cell(text)
    assert not cell.strip().startswith(tuple("=+-@＝＋－＠")) or float(cell) is not None
    written = frame_as_csv(pd.DataFrame({"x": [text], "y": [1]}))
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["x", "y"], [cell, "1"]]


class TestFrames:
    frame = pd.DataFrame(
        {
            "=prompt": pd.array(["=1+1", "-5", None], dtype="str"),
            "kind": pd.Categorical(["@a", "b", None]),
            "seed": pd.array([-1, 2**53, None], dtype="Int64"),
            "cost": [-0.5, 1.0, None],
            "mixed": ["+x", -3, None],
            "when": pd.to_datetime(["2026-05-11", "2026-05-12", None], utc=True),
        }
    )

    def test_texts_are_harmless_and_numbers_stay(self) -> None:
        lines = frame_as_csv(self.frame).splitlines()
        assert lines == [
            "'=prompt,kind,seed,cost,mixed,when",
            "'=1+1,'@a,-1,-0.5,'+x,2026-05-11 00:00:00+00:00",
            "-5,b,9007199254740992,1.0,-3,2026-05-12 00:00:00+00:00",
            ",,,,,",
        ]

    def test_raw_is_what_pandas_writes(self) -> None:
        assert frame_as_csv(self.frame, raw=True) == self.frame.to_csv(
            index=False, lineterminator="\n"
        )

    def test_none_of_it_changes_the_frame_itself(self) -> None:
        before = self.frame.copy()
        frame_as_csv(self.frame)
        pd.testing.assert_frame_equal(self.frame, before)

    def test_an_empty_frame_is_its_header(self) -> None:
        assert frame_as_csv(self.frame.iloc[:0]).splitlines() == [
            "'=prompt,kind,seed,cost,mixed,when"
        ]
