"""Vectors as int8, and one of them compared with a million: exact, so no index is built.

A vector is turned first, by a matrix that every process makes alike: signs, then a cosine
transform. A component that is large in all vectors, as CLIP's have one, is spread over all
of them; int8 in proportion to it would have few steps left for the others. Turning both
changes no cosine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 127  # of an int8: the largest component of a vector becomes this
_FINER = (
    254  # a component's rounding error, at most a half, fills an int8 when times this
)
_ROWS_PER_BLOCK = 32_768  # compared by one thread at once
# One of so many is sampled, and how many of the sample are to be above the bound.
_SAMPLED_EACH, _SPARE_OF_SAMPLE = 64, 20
_MAX_THREADS = 4  # then memory is the limit, not the processor

_T = TypeVar("_T")


def as_int8(
    vectors: Any, dimensions: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return vectors as rows of int8, and the rows' lengths.

    `vectors`: float32, (count, dimensions). One that is not finite becomes zeros.
    """
    import numpy as np

    given = np.asarray(vectors, np.float32)
    finite = np.isfinite(given).all(axis=1, keepdims=True)
    turned = np.where(finite, given, np.float32(0)) @ _turning(dimensions)
    rows = np.rint(turned * _scales_of(turned)).astype(np.int8)
    return rows, np.linalg.norm(rows.astype(np.float32), axis=1).astype(np.float32)


def as_units(
    rows: NDArray[np.int8], lengths: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the vectors of these rows, of length 1, or zeros: (count, dimensions)."""
    import numpy as np

    divisors = np.where(lengths > 0, lengths, np.float32(1))[:, None]
    units = np.divide(rows, divisors, dtype=np.float32)
    return np.asarray(units @ _turning(rows.shape[1]).T, np.float32)


def turned_unit(query: Any) -> NDArray[np.float32]:
    """Return a query, of any length, as rows are turned, and of length 1.

    One of zeros, or not finite, is like nothing: zeros.
    """
    import numpy as np

    given = np.asarray(query, np.float32).reshape(-1)
    length = np.linalg.norm(given)
    if not 0 < length < np.inf:
        return np.zeros_like(given)
    return np.asarray(given @ _turning(len(given)) / length, np.float32)


@dataclass(frozen=True, slots=True)
class NearCosines:
    """About the cosine of a query and each row, NaN for a row of zeros, and how they lie.

    `mean` and `std` are of the `total` that are no NaN; NaN if there are none.
    """

    values: NDArray[np.float32]
    mean: float
    std: float
    total: int


def near_cosines(
    rows: NDArray[np.int8], inverses: NDArray[np.float32], unit: NDArray[np.float32]
) -> NearCosines:
    """Compare a turned query, which is rounded as well: cosines are wrong by some 0.0003.

    `inverses`: of the rows' lengths, NaN for a row of zeros.
    """
    import numpy as np

    scale = _scales_of(unit[None])[0, 0]
    rounded = np.rint(unit[None] * scale).astype(np.int8)
    values = inverses / scale

    def multiply(block: slice) -> tuple[int, float, float]:
        part = values[block]
        part *= _product(rows[block], rounded)
        usual = part[~np.isnan(part)]  # which is in the processor's cache now
        if not len(usual):
            return 0, 0.0, 0.0
        mean = float(usual.mean(dtype=np.float64))
        usual -= np.float32(mean)
        return len(usual), mean, float(usual @ usual)

    parts = np.array(_in_blocks(len(rows), multiply)).reshape(-1, 3)
    counts, means, squares = parts.T
    total = int(counts.sum())
    if not total:
        return NearCosines(values, np.nan, np.nan, 0)
    mean = float(counts @ means) / total
    spread = float(squares.sum() + counts @ (means - mean) ** 2)
    return NearCosines(values, mean, (spread / total) ** 0.5, total)


def largest_of(
    values: NDArray[np.float32], count: int, allowed: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return where the largest values are, in ascending order; NaN is none."""
    import numpy as np

    ranked = values if allowed is None else values[allowed]
    places = np.flatnonzero(ranked >= _likely_bound(ranked, count))
    if len(places) < count:
        places = np.flatnonzero(~np.isnan(ranked))
    if len(places) > count:
        largest = np.argpartition(-ranked[places], count)[:count]
        places = np.sort(places[largest])
    return places if allowed is None else allowed[places]


def _likely_bound(values: NDArray[np.float32], count: int) -> float:
    """Return a value than which some more than `count` are larger, most likely.

    By a sample, as to sort them all would take longer than to compute them.
    """
    import numpy as np

    sample = values[::_SAMPLED_EACH]
    sample = sample[~np.isnan(sample)]
    expected = 2 * count // _SAMPLED_EACH + _SPARE_OF_SAMPLE
    if expected >= len(sample):
        return -np.inf
    return float(np.partition(sample, -expected)[-expected])


def exact_dots(
    rows: NDArray[np.int8], unit: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the scalar product of a turned query with each row, at twice the price."""
    import numpy as np

    scale = _scales_of(unit[None])[0, 0]
    rounded = np.rint(unit * scale)
    rest = np.rint((unit * scale - rounded) * _FINER)
    queries = np.stack([rounded, rest]).astype(np.int8)
    found = np.empty(len(rows), np.float32)

    def multiply(block: slice) -> None:
        coarse, fine = (_product(rows[block], query[None]) for query in queries)
        found[block] = (coarse + fine / np.float32(_FINER)) / scale

    _in_blocks(len(rows), multiply)
    return found


def _product(rows: NDArray[np.int8], query: NDArray[np.int8]) -> NDArray[np.float32]:
    import numpy as np
    from simsimd import cdist

    products = cdist(query, rows, metric="dot", out_dtype="float32")
    return np.asarray(np.asarray(products)[0], np.float32)


def _in_blocks(count: int, work: Callable[[slice], _T]) -> list[_T]:
    """Return what the work returns for each block of rows; in threads that end with it."""
    starts = range(0, count, _ROWS_PER_BLOCK)
    blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in starts]
    threads = min(len(blocks), os.cpu_count() or 1, _MAX_THREADS)
    if threads < 2:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return [*pool.map(work, blocks)]


def _scales_of(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    ones = np.ones_like(largest)
    return np.asarray(np.divide(_LARGEST, largest, out=ones, where=largest > 0))


@lru_cache(maxsize=4)
def _turning(dimensions: int) -> NDArray[np.float32]:
    """Return the matrix: orthogonal, (dimensions, dimensions)."""
    import numpy as np

    digest = hashlib.shake_128(b"imagen_nb").digest(dimensions // 8 + 1)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))[:dimensions]
    signs = np.where(bits, 1.0, -1.0)
    numbers = np.arange(dimensions)
    waves = np.cos(np.pi * np.outer(numbers + 0.5, numbers) / dimensions)
    waves[:, 0] /= np.sqrt(2)
    return np.asarray(signs[:, None] * waves * np.sqrt(2 / dimensions), np.float32)
