"""The store of vectors keeps what it was given, in any number of processes."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np

from imagen_nb.storage.vectors import VectorStore, stores_in


def some_units(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vectors_come_back_as_they_were_up_to_rounding(tmp_path: Path) -> None:
    ids, rows = [str(uuid4()) for _ in range(20)], some_units(20, 64)
    VectorStore(tmp_path, "m", 64).add(ids, rows)
    found = VectorStore(tmp_path, "m", 64).vectors([*ids, str(uuid4())])
    assert np.abs(found[:-1] - rows).max() < 0.01
    assert np.isnan(found[-1]).all()


def test_cosines_are_those_of_the_vectors(tmp_path: Path) -> None:
    ids, rows = [str(uuid4()) for _ in range(20)], some_units(20, 64)
    rows[3] = 0
    store = VectorStore(tmp_path, "m", 64)
    store.add(ids[:10], rows[:10])
    store.add(ids, rows)
    found, cosines = store.cosines(3 * rows[7])
    assert found == ids
    assert np.isnan(cosines[3])
    expected = np.delete(rows @ rows[7], 3)
    assert np.abs(np.delete(cosines, 3) - expected).max() < 0.01


def test_what_is_sent_is_not_sent_again(tmp_path: Path) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    store = VectorStore(tmp_path, "m", 8)
    store.add(ids, some_units(3, 8))
    store.mark_sent(ids[:2])
    (again,) = stores_in(tmp_path)
    assert again.unsent() == ids[2:]
    store.forget_sent(ids[:1])
    assert again.unsent() == [ids[0], ids[2]]
