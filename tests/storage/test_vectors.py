"""The store of vectors keeps what it was given, and finds what is nearest."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.vector_ids import IdIndex, are_ids, ids_as_bytes, ids_as_texts
from imagen_nb.storage.vector_numbers import (
    as_int8,
    exact_dots,
    largest_of,
    near_cosines,
    turned_unit,
)
from imagen_nb.storage.vectors import VectorStore, stores_in
from tests.fixtures.vectors import (
    DIMENSIONS,
    add_numbered,
    assert_has_exactly,
    numbered_ids,
    units_of,
)


def some_units(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vectors_come_back_as_they_were_up_to_rounding(tmp_path: Path) -> None:
    ids, rows = [str(uuid4()) for _ in range(20)], some_units(20, 64)
    VectorStore(tmp_path, "m", 64).add(ids, rows)
    found = VectorStore(tmp_path, "m", 64).vectors([*ids, str(uuid4())])
    assert np.abs(found[:-1] - rows).max() < 0.01
    assert np.isnan(found[-1]).all()


def test_a_component_that_is_large_in_all_costs_the_others_nothing(tmp_path: Path) -> None:
    rows = some_units(20, 512)
    rows[:, 133] += 5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = numbered_ids(range(20))
    store = VectorStore(tmp_path, "m", 512)
    store.add(ids, rows)
    assert np.abs(store.vectors(ids) - rows).max() < 0.003


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


def test_a_row_that_is_not_finite_is_a_picture_without_a_vector(tmp_path: Path) -> None:
    rows = some_units(2, 64)
    rows[0, 5] = np.inf
    store = VectorStore(tmp_path, "m", 64)
    store.add(numbered_ids(range(2)), rows)
    assert store.missing(numbered_ids(range(3))) == numbered_ids([2])
    assert np.isnan(store.cosines(rows[1])[1][0])
    assert store.best(rows[1], 9).ids == numbered_ids([1])


def test_an_id_that_is_given_twice_is_kept_once(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "m", DIMENSIONS)
    ids = numbered_ids([5, 3, 5])
    store.add(ids, units_of(ids))
    assert_has_exactly(store, ids[:2])


class TestBest:
    @pytest.fixture
    def store(self, tmp_path: Path) -> VectorStore:
        store = VectorStore(tmp_path, "m", 64)
        store.add(numbered_ids(range(1000)), some_units(1000, 64))
        return store

    def test_the_nearest_come_first(self, store: VectorStore) -> None:
        rows = some_units(1000, 64)
        query = rows[7] + 0.1 * rows[9]
        nearest = store.best(query, 10)
        cosines = rows @ query / np.linalg.norm(query)
        assert nearest.ids[0] == numbered_ids([7])[0]
        assert len({*nearest.ids} & {*numbered_ids(np.argsort(-cosines)[:10].tolist())}) >= 9
        assert [*nearest.cosines] == sorted(nearest.cosines, reverse=True)
        assert abs(nearest.cosines[0] - cosines[7]) < 0.005

    def test_what_is_usual_is_of_all(self, store: VectorStore) -> None:
        query = some_units(1, 64, seed=1)[0]
        cosines = some_units(1000, 64) @ query
        for among in (None, numbered_ids([3, 4])):
            nearest = store.best(query, 1, among)
            assert nearest.mean == pytest.approx(cosines.mean(), abs=0.001)
            assert nearest.std == pytest.approx(cosines.std(), rel=0.01)
            assert nearest.total == 1000

    def test_only_those_that_are_asked_for_are_found(self, store: VectorStore) -> None:
        asked = [*numbered_ids([700, 3, 20, 3]), str(uuid4())]
        found = store.best(some_units(1, 64, seed=1)[0], 50, iter(asked))
        assert sorted(found.ids) == numbered_ids([3, 20, 700])
        assert store.best(some_units(1, 64)[0], 50, []).ids == []

    def test_nothing_is_found_where_nothing_is(self, tmp_path: Path) -> None:
        nearest = VectorStore(tmp_path / "nowhere", "m", 64).best(some_units(1, 64)[0], 5)
        assert (nearest.ids, len(nearest.cosines), nearest.total) == ([], 0, 0)
        assert np.isnan([nearest.mean, nearest.std]).all()
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize("value", [0, np.nan, np.inf])
    def test_a_query_that_says_nothing_is_like_nothing(
        self, value: float, store: VectorStore
    ) -> None:
        query = np.full(64, value, np.float32)
        nearest = store.best(query, 3)
        assert ([*nearest.cosines], nearest.mean, nearest.std) == ([0, 0, 0], 0, 0)
        assert not store.cosines(query)[1].any()

    def test_there_are_no_more_than_there_are(self, store: VectorStore) -> None:
        assert len(store.best(some_units(1, 64)[0], 5000).ids) == 1000


@pytest.mark.parametrize("count", [1, 1000, 70_000])
def test_products_in_threads_are_those_of_numpy(count: int) -> None:
    chosen = np.random.default_rng(0)
    rows = chosen.integers(-127, 128, (count, 24), np.int8)
    unit = turned_unit(chosen.standard_normal(24))
    expected = rows.astype(np.float64) @ unit
    assert np.abs(exact_dots(rows, unit) - expected).max() < 0.05
    inverses = np.where(np.arange(count) % 7 == 3, np.nan, 0.01).astype(np.float32)
    near = near_cosines(rows, inverses, unit)
    known = ~np.isnan(inverses)
    assert (np.isnan(near.values) == ~known).all()
    assert np.abs(near.values - expected * inverses)[known].max() < 0.04
    found = near.values[known].astype(np.float64)
    assert (near.total, near.mean) == (known.sum(), pytest.approx(found.mean(), abs=1e-6))
    assert near.std == pytest.approx(found.std(), rel=1e-5)


@pytest.mark.parametrize("order", ["mixed", "ascending", "descending", "equal"])
def test_the_largest_of_many_are_found_in_whatever_order_they_are(order: str) -> None:
    values = np.random.default_rng(1).standard_normal(50_000).astype(np.float32)
    values = {
        "mixed": values,
        "ascending": np.sort(values),
        "descending": np.sort(values)[::-1],
        "equal": np.zeros_like(values),
    }[order]
    values[5::7] = np.nan
    allowed = np.arange(3, 50_000, 2)
    for places in (None, allowed):
        found = largest_of(values, 400, places)
        among = values if places is None else values[places]
        assert (np.sort(values[found]) == np.sort(among[~np.isnan(among)])[-400:]).all()
        assert len(found) == 400
        assert places is None or np.isin(found, places).all()


@pytest.mark.parametrize("dimensions", [1, 2, 512, 768, 1152])
def test_extreme_rows_do_not_overflow(dimensions: int) -> None:
    ones = np.ones((1, dimensions), np.float32)
    turned, lengths = as_int8(ones, dimensions)
    assert (exact_dots(turned, turned_unit(ones)) / lengths)[0] == pytest.approx(1, abs=1e-3)
    full = np.full((1, dimensions), 127, np.int8)
    unit = np.full(dimensions, dimensions**-0.5, np.float32)
    near = near_cosines(full, np.ones(1, np.float32), unit)
    assert near.values[0] == pytest.approx(127 * dimensions**0.5, rel=1e-4)


class TestIds:
    @given(st.lists(st.uuids()))
    def test_they_come_back_as_texts(self, ids: list[UUID]) -> None:
        texts = [str(id) for id in ids]
        assert ids_as_texts(ids_as_bytes(texts)) == texts
        assert ids_as_texts(ids_as_bytes([text.upper() for text in texts])) == texts
        assert ids_as_texts(ids_as_bytes([id.hex for id in ids])) == texts

    @pytest.mark.parametrize(
        "text", ["", "x" * 36, " " * 36, "0" * 36, f"{UUID(int=0)}"[:-1] + "g"]
    )
    def test_what_is_no_id_is_told_apart(self, text: str) -> None:
        other = str(uuid4())
        found = ids_as_bytes([text, other])
        assert are_ids(found).tolist() == [False, True]
        assert ids_as_texts(found[1:]) == [other]

    @given(st.lists(st.uuids(), unique=True), st.lists(st.uuids()), st.integers(0, 20))
    def test_each_stands_where_it_is(self, ids: list[UUID], others: list[UUID], start: int) -> None:
        known = ids_as_bytes([str(id) for id in ids])
        index = IdIndex(known, IdIndex(known[:start]))
        expected = {id: place for place, id in enumerate(ids)}
        asked = [*others, *reversed(ids)]
        places = index.places(ids_as_bytes([str(id) for id in asked]))
        assert [*places] == [expected.get(id, -1) for id in asked]

    def test_ids_that_share_a_key_are_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "imagen_nb.storage.vector_ids._keys_of",
            lambda ids: (ids[:, -1] % 3).astype(np.uint64),
        )
        known = ids_as_bytes(numbered_ids(range(50)))
        index = IdIndex(known, IdIndex(known[:20]))
        assert [*index.places(known[::-1])] == [*range(49, -1, -1)]
        assert [*index.places(ids_as_bytes(numbered_ids([50, 51])))] == [-1, -1]


class TestSent:
    def test_what_is_sent_is_not_sent_again(self, tmp_path: Path) -> None:
        ids = [str(uuid4()) for _ in range(3)]
        store = VectorStore(tmp_path, "m", 8)
        store.add(ids, some_units(3, 8))
        store.mark_sent(ids[:2])
        (again,) = stores_in(tmp_path)
        assert again.unsent() == ids[2:]
        store.forget_sent(ids[:1])
        assert again.unsent() == [ids[0], ids[2]]

    def test_what_is_added_later_is_unsent(self, tmp_path: Path) -> None:
        store = VectorStore(tmp_path, "m", DIMENSIONS)
        store.mark_sent(add_numbered(store, range(3)))
        store.mark_sent(numbered_ids([7]))  # has no vector
        assert store.unsent() == []
        assert add_numbered(store, range(5, 9)) == store.unsent()


def test_the_living_are_kept_when_a_fifth_is_dead(tmp_path: Path) -> None:
    store, other = (VectorStore(tmp_path, "m", DIMENSIONS) for _ in range(2))
    ids = add_numbered(store, range(100))
    assert_has_exactly(other, ids)
    store.mark_sent(ids[:50])
    assert store.keep_only(ids[20:]) == 0
    assert store.keep_only([*ids[21:], str(uuid4())]) == 21
    for one in (store, other, VectorStore(tmp_path, "m", DIMENSIONS)):
        assert_has_exactly(one, ids[21:])
        assert one.unsent() == ids[50:]
    assert len([*store.folder.glob("rows-*")]) == 1


class Histories(RuleBasedStateMachine):
    """Two openings of one store, and a dict that has what should be there."""

    numbers = st.lists(st.integers(0, 30), max_size=12)
    which = st.integers(0, 1)

    @initialize(folder=st.builds(lambda: None))
    def begin(self, folder: None) -> None:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        self.stores = [self._open(), self._open()]
        self.kept: dict[str, bool] = {}  # by id, in order: whether it is sent

    def _open(self) -> VectorStore:
        return VectorStore(Path(self._folder.name), "m", DIMENSIONS)

    @rule(which=which, numbers=numbers)
    def add(self, which: int, numbers: list[int]) -> None:
        for id in add_numbered(self.stores[which], numbers):
            self.kept.setdefault(id, False)

    @rule(which=which, numbers=numbers)
    def mark(self, which: int, numbers: list[int]) -> None:
        ids = numbered_ids(numbers)
        self.stores[which].mark_sent(ids)
        self.kept.update(dict.fromkeys([id for id in ids if id in self.kept], True))

    @rule(which=which, numbers=numbers)
    def forget(self, which: int, numbers: list[int]) -> None:
        ids = numbered_ids(numbers)
        self.stores[which].forget_sent(ids)
        self.kept.update(dict.fromkeys([id for id in ids if id in self.kept], False))

    @rule(which=which, numbers=numbers)
    def keep_only(self, which: int, numbers: list[int]) -> None:
        left = {id: sent for id, sent in self.kept.items() if id in numbered_ids(numbers)}
        removed = self.stores[which].keep_only(numbered_ids(numbers))
        assert removed in (0, len(self.kept) - len(left))
        assert removed or len(left) >= 0.8 * len(self.kept)
        self.kept = left if removed else self.kept

    @rule(which=which)
    def reopen(self, which: int) -> None:
        self.stores[which] = self._open()

    @rule(junk=st.binary(max_size=100))
    def die_while_adding(self, junk: bytes) -> None:
        """Leave behind the rows that count what a process that died had written."""
        for path in (*self.stores[0].folder.glob("rows-*"), *self.stores[0].folder.glob("ent*")):
            with open(path, "ab") as file:
                file.write(junk)

    @invariant()
    def both_have_what_was_kept(self) -> None:
        for store in self.stores:
            assert_has_exactly(store, [*self.kept])
            assert store.unsent() == [id for id, sent in self.kept.items() if not sent]

    def teardown(self) -> None:
        self._folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_a_reindex_drops_the_vectors_of_pictures_that_are_gone(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, "m", 8)
    store.add([str(uuid4()) for _ in range(5)], some_units(5, 8))
    reindex(tmp_path)
    assert len(store) == 0


def test_what_is_no_id_is_never_there(tmp_path: Path) -> None:
    store, ids = VectorStore(tmp_path, "m", 8), ["none", str(uuid4()), "x" * 36]
    store.add(ids, some_units(3, 8))
    assert len(store) == 1
    assert store.missing(ids) == [ids[0], ids[2]]
    assert np.isnan(store.vectors(ids)).any(axis=1).tolist() == [True, False, True]
