"""CSV that spreadsheet programs take for texts and numbers, never for formulas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = tuple("=+-@＝＋－＠")  # and their wide forms
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def frame_as_csv(frame: pd.DataFrame, *, raw: bool = False) -> str:
    """Return a frame as CSV, without its index.

    `raw`: every cell as it is, for programs that know that its text is untrusted; else
    texts are as `harmless_cell` makes them.
    """
    cells = frame if raw else _harmless_frame(frame)
    return cells.to_csv(index=False, lineterminator="\n")


def harmless_cell(value: Any) -> Any:
    """Return a text that begins as a formula does with an apostrophe in front.

    Spreadsheet programs take the apostrophe for "this is text". Control characters are
    replaced, but for tabs and ends of lines. Numbers, also as text, stay as they are,
    and so does whatever is no text.

    Example:
        >>> harmless_cell("=1+1"), harmless_cell("-1.5"), harmless_cell("a = b")
        ("'=1+1", '-1.5', 'a = b')
    """
    if not isinstance(value, str):
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare one ends a row
    text = _CONTROL.sub(_REPLACEMENT_CHARACTER, lines)
    if _NUMBER.fullmatch(text):
        return text
    begins = text.lstrip().startswith(_FORMULA_STARTS) or text.startswith(("\t", "\n"))
    return f"'{text}" if begins else text


def plain_cell(text: str) -> str:
    """Return the text that `harmless_cell` put an apostrophe in front of.

    Example:
        >>> plain_cell("'=1+1"), plain_cell("'tis")
        ('=1+1', "'tis")
    """
    inner = text.removeprefix("'")
    return inner if harmless_cell(inner) == text else text


def _harmless_frame(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {
        str(name): column.astype(object).map(harmless_cell)
        for name, column in frame.items()
        if _may_hold_text(column)
    }
    return frame.assign(**texts).rename(columns=harmless_cell)


def _may_hold_text(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    return not is_numeric_dtype(column) and not is_datetime64_any_dtype(column)
