"""imagen.find on a real PostgreSQL with pgvector: near, fast, and never a stranger's picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from tests.fixtures.callers import ANON, OTHER, SECRET, USER, Caller, acting
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, fresh_database

MODEL, LATER_MODEL = "tiny-1", "tiny-2"  # of the same dimensions
LATENT = 32  # real embedders' vectors fill few of their dimensions: so do these
FIND = "SELECT * FROM imagen.find(%s, %s::real[], %s, %s::uuid[], %s)"


@dataclass(frozen=True, slots=True)
class Collection:
    """What the table has: of `OWNER` nearly all, of `STRANGER` one in a hundred."""

    connection: psycopg.Connection  # as the API signs in
    ids: NDArray[np.str_]
    owners: NDArray[np.str_]
    vectors: NDArray[np.float32]
    index_seconds: float

    def of(self, caller: Caller) -> NDArray[np.bool_]:
        return self.owners == (caller.sub or OWNER)

    def queries(self, count: int) -> NDArray[np.float32]:
        """Near one of the vectors each, as a picture of the same scene is."""
        rng = np.random.default_rng(7)
        chosen = self.vectors[rng.integers(len(self.vectors), size=count)]
        noise = rng.standard_normal(chosen.shape) * np.abs(chosen).mean()
        return (chosen + noise).astype(np.float32)

    def exact(self, caller: Caller, query: NDArray[np.float32], count: int) -> list[str]:
        mine = self.of(caller)
        cosines = self.vectors[mine] @ (query / np.linalg.norm(query))
        return [*self.ids[mine][np.argsort(-cosines)[:count]]]

    def find(self, caller: Caller, query: Any, count: int = 50, **more: Any) -> Any:
        model, ids = more.get("model", MODEL), more.get("ids")
        asked = [model, [float(x) for x in query], count, ids, more.get("owner")]
        with acting(self.connection, caller):
            return self.connection.execute(FIND, asked).fetchone()


def filled(admin: psycopg.Connection, count: int, size: int) -> tuple[Any, Any, Any, float]:
    """Add pictures with vectors, and the index over them at once, which is faster."""
    rng = np.random.default_rng(1)
    basis = rng.standard_normal((LATENT, size)).astype(np.float32)
    vectors = rng.standard_normal((count, LATENT)).astype(np.float32) @ basis
    vectors += 1.5 * rng.standard_normal(vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    admin.execute("SET session_replication_role = replica")  # no look at auth.users
    admin.execute("SET maintenance_work_mem = '512MB'")
    rows = admin.execute(
        """
        INSERT INTO imagen.images (owner_user_id, prompt, backend, storage_path)
        SELECT CASE WHEN n %% 100 = 0 THEN %s ELSE %s END::uuid, 'a boat', 'x', n || '.png'
        FROM generate_series(1, %s) AS n RETURNING id::text, owner_user_id::text
        """,
        [STRANGER, OWNER, count],
    ).fetchall()
    name = f"imagen_embeddings_{size}_idx"
    found = admin.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [name]).fetchone()
    assert found
    admin.execute(f"DROP INDEX imagen.{name}".encode())
    copy = "COPY imagen.embeddings (image_id, owner_user_id, model, embedding) FROM STDIN"
    with admin.cursor() as cursor, cursor.copy(copy) as lines:
        for (id, owner), vector in zip(rows, vectors, strict=True):
            lines.write_row((id, owner, MODEL, as_text(vector)))
    began = time.monotonic()
    admin.execute(found[0].encode())
    seconds = time.monotonic() - began
    admin.execute("VACUUM ANALYZE imagen.embeddings")
    ids, owners = np.array(rows).T
    return ids, owners, vectors, seconds


def as_text(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{x:.5g}" for x in vector) + "]"


def made(count: int, size: int) -> Iterator[Collection]:
    with fresh_database(MIGRATED) as database:
        with database.connect() as admin:
            ids, owners, vectors, seconds = filled(admin, count, size)
        with database.connect("authenticator") as connection:
            yield Collection(connection, ids, owners, vectors, seconds)


@pytest.fixture(scope="module")
def collection() -> Iterator[Collection]:
    """More of the owner's than are compared one by one."""
    yield from made(10_500, 256)


@pytest.fixture
def hundred_thousand() -> Iterator[Collection]:
    yield from made(100_000, 512)


def measured(collection: Collection, caller: Caller, count: int) -> tuple[float, float]:
    """The mean recall@50, and the median of the seconds a query takes."""
    recalls, seconds = [], []
    own = {*collection.ids[collection.of(caller)]}
    for query in collection.queries(count):
        began = time.monotonic()
        found = {str(id) for id in collection.find(caller, query)[0]}
        seconds.append(time.monotonic() - began)
        assert found <= own
        recalls.append(len(found & {*collection.exact(caller, query, 50)}) / 50)
    return float(np.mean(recalls)), float(np.median(seconds))


@pytest.mark.parametrize("caller", [USER, OTHER], ids=["owner of nearly all", "owner of few"])
def test_the_nearest_are_found_and_never_a_strangers(
    collection: Collection, caller: Caller
) -> None:
    recall, _ = measured(collection, caller, 20)
    assert recall >= 0.95


@pytest.mark.soak
def test_100_000_vectors_of_two_owners(hundred_thousand: Collection) -> None:
    print(f"index built in {hundred_thousand.index_seconds:.0f} s")
    for caller in (USER, OTHER):
        recall, median = measured(hundred_thousand, caller, 200)
        print(f"{caller.sub}: recall@50 {recall:.4f}, p50 {median * 1000:.1f} ms")
        assert recall >= 0.95
        assert median <= 0.05


def test_the_cosines_are_right_and_so_are_their_mean_and_deviation(collection: Collection) -> None:
    query = collection.queries(1)[0]
    ids, cosines, mean, deviation, total = collection.find(USER, query, 5)
    mine = collection.of(USER)
    exact = collection.vectors[mine] @ (query / np.linalg.norm(query))
    assert cosines == pytest.approx(np.sort(exact)[::-1][: len(ids)], abs=1e-3)
    assert cosines == sorted(cosines, reverse=True)
    assert total == mine.sum()
    assert (mean, deviation) == pytest.approx((exact.mean(), exact.std()), abs=0.01)


def test_among_given_ids_all_are_compared(collection: Collection) -> None:
    query = collection.queries(1)[0]
    some = collection.exact(USER, query, 9000)[8000:]
    foreign = [*collection.ids[collection.of(OTHER)][:5]]
    found, *_ = collection.find(USER, query, 10, ids=[*reversed(some), *foreign])
    assert len(found) == 10
    assert {str(id) for id in found} <= {*some[:15]}  # float16 may change places with the next
    assert collection.find(USER, query, 10, ids=foreign)[0] == []
    assert collection.find(USER, query, 10, ids=[])[0] == []


@pytest.mark.parametrize(("caller", "by_index"), [(USER, 1), (OTHER, 0)], ids=["many", "few"])
def test_the_index_is_asked_where_there_are_many_and_few_are_compared_one_by_one(
    collection: Collection, caller: Caller, by_index: int
) -> None:
    query = [float(x) for x in collection.queries(1)[0]]
    with acting(collection.connection, caller):
        before = _scans(collection.connection)
        collection.connection.execute(FIND, [MODEL, query, 50, None, None])
        after = _scans(collection.connection)
    # Its owner's is asked to count, and for the sample.
    assert (after[0] - before[0], after[1] - before[1]) == (by_index, 3 - by_index)


def _scans(connection: psycopg.Connection) -> tuple[int, int]:
    """How often this session has asked the index of vectors, and its owner's."""
    row = connection.execute(
        """
        SELECT pg_stat_get_xact_numscans('imagen.imagen_embeddings_256_idx'::regclass),
          pg_stat_get_xact_numscans('imagen.imagen_embeddings_owner_idx'::regclass)
        """
    ).fetchone()
    assert row
    return row


def test_two_models_of_the_same_dimensions_are_kept_apart(collection: Collection) -> None:
    """The index has both; only those of the one asked for come back, however few they are."""
    mine = collection.ids[collection.of(USER)][:60]
    query = collection.queries(1)[0]
    with collection.connection.transaction(force_rollback=True):
        with acting(collection.connection, SECRET):
            for id in mine:
                collection.connection.execute(
                    "INSERT INTO imagen.embeddings (image_id, owner_user_id, model, embedding)"
                    " VALUES (%s, %s, %s, %s)",
                    [id, OWNER, LATER_MODEL, as_text(-query)],
                )
        found, cosines, *_, total = collection.find(USER, query, 100, model=LATER_MODEL)
        assert {str(id) for id in found} == {*mine}
        assert cosines == pytest.approx([-1] * 60, abs=1e-3)
        assert total == 60
        usual = collection.find(USER, query, 50)
        assert min(usual[1]) > 0


def test_a_query_of_other_dimensions_is_a_clear_error(collection: Collection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"256 dimensions.* has 8"):
        collection.find(USER, np.ones(8))


@pytest.mark.parametrize("query", [[0.0] * 256, [float("nan")] * 256], ids=["zero", "nan"])
def test_a_query_without_a_direction_is_a_clear_error(collection: Collection, query: Any) -> None:
    with pytest.raises(psycopg.errors.DataError):
        collection.find(USER, query)


def test_nothing_is_found_where_nothing_is(collection: Collection) -> None:
    assert collection.find(USER, np.ones(256), model="none") == ([], [], None, None, 0)


def test_who_is_not_signed_in_may_not_ask(collection: Collection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="function find"):
        collection.find(ANON, np.ones(256))


def test_whose_pictures_are_searched_cannot_be_chosen_by_who_signs_in(
    collection: Collection,
) -> None:
    query = collection.queries(1)[0]
    assert collection.find(OTHER, query, owner=OWNER) == ([], [], None, None, 0)
    found, *_ = collection.find(SECRET, query, owner=STRANGER)
    assert [str(id) for id in found] == [str(id) for id in collection.find(OTHER, query)[0]]
    assert collection.find(SECRET, query)[-1] == 0
