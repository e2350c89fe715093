"""Facets: the values that rows have in a column, quick to count and to filter by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from imagen_nb.frames.schema import plain_value

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Mask = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.int32]

_Key = Callable[[str], Any]  # orders values that are as frequent


class Facet(Protocol):
    """Values of rows. `values`: each once, the most frequent first."""

    @property
    def values(self) -> list[str]: ...  # noqa: D102

    def count(self, mask: Mask) -> list[int]:
        """Return how many of these rows have each of the values."""

    def having(self, chosen: Sequence[str]) -> Mask:
        """Return which rows have one of these values."""


@dataclass(frozen=True, slots=True)
class SingleFacet:
    """A `Facet` of which each row has one value: its number in `values`."""

    numbers: Numbers
    values: list[str]

    def count(self, mask: Mask) -> list[int]:
        """See `Facet`."""
        counts = np.bincount(self.numbers[mask], minlength=len(self.values))
        return [*map(int, counts)]

    def having(self, chosen: Sequence[str]) -> Mask:
        """See `Facet`."""
        wanted = np.isin(np.array(self.values, dtype=object), [*chosen])
        mask: Mask = wanted[self.numbers] if len(wanted) else np.zeros(0, dtype=bool)
        return mask


@dataclass(frozen=True, slots=True)
class MultiFacet:
    """A `Facet` of which a row has any number of values, such as tags.

    The row `rows[n]` of `total` rows has the value `values[numbers[n]]`.
    """

    rows: npt.NDArray[np.int64]
    numbers: Numbers
    values: list[str]
    total: int

    def count(self, mask: Mask) -> list[int]:
        """See `Facet`."""
        numbers = self.numbers[mask[self.rows]]
        return [*map(int, np.bincount(numbers, minlength=len(self.values)))]

    def having(self, chosen: Sequence[str]) -> Mask:
        """See `Facet`."""
        wanted = np.isin(np.array(self.values, dtype=object), [*chosen])
        mask = np.zeros(self.total, dtype=bool)
        if len(self.rows):
            mask[self.rows[wanted[self.numbers]]] = True
        return mask


def single_facet(numbers: Numbers, values: Sequence[str], key: _Key) -> SingleFacet:
    """Return the facet of these values, of which several may be the same text."""
    renumbered, ordered = _by_frequency(numbers, values, key)
    return SingleFacet(renumbered, ordered)


def facet_of_column(column: pd.Series[Any], key: _Key) -> SingleFacet:
    """Return the facet of a frame's column, whatever it has; "" for what is missing."""
    return single_facet(*encode_column(column), key)


def facet_of_pairs(
    one: pd.Series[Any], other: pd.Series[Any], between: str, key: _Key
) -> SingleFacet:
    """Return the facet of two columns together, such as 512×768."""
    import pandas as pd

    (left, lefts), (right, rights) = encode_column(one), encode_column(other)
    numbers, pairs = pd.factorize(left.astype(np.int64) * len(rights) + right)
    values = [
        between.join(
            filter(None, (lefts[pair // len(rights)], rights[pair % len(rights)]))
        )
        for pair in pairs.tolist()
    ]
    return single_facet(numbers.astype(np.int32), values, key)


def facet_of_lists(lists: Iterable[Sequence[str]], total: int) -> MultiFacet:
    """Return the facet of lists of texts, one for each row."""
    import pyarrow as pa

    try:
        array = pa.array(lists, pa.large_list(pa.large_string()), from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError):  # JSON, arrays, torn text
        texts = [*map(texts_of_cell, lists)]
        array = pa.array(texts, pa.large_list(pa.large_string()))
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(total), lengths)
    numbers, values = _encode_array(array.flatten())
    numbers, values = _by_frequency(numbers, values, str)
    return MultiFacet(rows, numbers, values, total)


def with_rows_replaced(
    facet: MultiFacet, rows: Sequence[int], lists: Sequence[Sequence[str]]
) -> MultiFacet:
    """Return the facet after these rows got other values; new ones come last."""
    kept = ~np.isin(facet.rows, rows)
    known = {value: number for number, value in enumerate(facet.values)}
    for value in (value for values in lists for value in values):
        known.setdefault(value, len(known))
    pairs = [
        (row, known[value])
        for row, values in zip(rows, lists, strict=True)
        for value in values
    ]
    new = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return MultiFacet(
        np.concatenate([facet.rows[kept], new[:, 0]]),
        np.concatenate([facet.numbers[kept], new[:, 1].astype(np.int32)]),
        [*known],
        facet.total,
    )


def encode_column(column: pd.Series[Any]) -> tuple[Numbers, list[str]]:
    """Return the number of each row's value, and the values as a browser has them."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = [*map(browser_text, column.cat.categories)]
        codes = column.cat.codes.to_numpy(np.int32)
        return np.where(codes < 0, len(categories), codes), [*categories, ""]
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):  # of mixed types
        array = pa.array([*map(browser_text, column)], pa.large_string())
    return _encode_array(array)


def _encode_array(array: pa.Array | pa.ChunkedArray) -> tuple[Numbers, list[str]]:
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_null(array.type) or pa.types.is_nested(array.type):
        array = pa.array([*map(browser_text, array.to_pylist())], pa.large_string())
    encoded = array.dictionary_encode()
    values = [*map(browser_text, encoded.dictionary.to_pylist())]
    numbers = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return numbers.astype(np.int32), [*values, ""]


def _by_frequency(
    numbers: Numbers, values: Sequence[str], key: _Key
) -> tuple[Numbers, list[str]]:
    """Number the values anew: each text once, the most frequent first, none unused."""
    counts: dict[str, int] = {}
    occurring = np.bincount(numbers, minlength=len(values)).tolist()
    for value, count in zip(values, occurring, strict=True):
        counts[value] = counts.get(value, 0) + count
    used = [value for value, count in counts.items() if count]
    ordered = sorted(used, key=lambda value: (-counts[value], key(value)))
    places = {value: place for place, value in enumerate(ordered)}
    table = np.array([places.get(value, 0) for value in values], dtype=np.int32)
    return table[numbers] if len(table) else numbers, ordered


def texts_of_column(column: pd.Series[Any]) -> pa.Array:
    """Return a column as texts, without nulls, as a browser has them."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.StringDtype):
        array = pa.array(column, from_pandas=True)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        return array.cast(pa.large_string()).fill_null("")
    return pa.array([*map(browser_text, column)], pa.large_string())


def browser_text(value: Any) -> str:
    """Return a value as a browser can have it: text, empty for what is missing."""
    if isinstance(value, str) and value.isascii():
        return value  # nearly all
    known = plain_value(value)
    if known is None:
        return ""
    if isinstance(known, float) and known.is_integer():
        known = int(known)
    text = ", ".join(map(str, known)) if isinstance(known, list) else str(known)
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text


def texts_of_cell(value: Any) -> tuple[str, ...]:
    """Return the texts of a cell with a list, such as tags; none of any other."""
    texts = plain_value(value)
    return tuple(map(browser_text, texts)) if isinstance(texts, list) else ()
