"""How fast the best 50 of 1,000,000 vectors are found, beside brute force in float32.

python bench/find.py [--rows 1000000] [--queries 40] [--hnsw-rows 0]

The peer: `rows @ query` by NumPy in memory, which also says what is right. With sqlite-vec
(`pip install sqlite-vec apsw`: Python's own SQLite often loads no extensions) its table of int8
vectors is asked as well. With usearch (`pip install usearch`) and --hnsw-rows 100000 or so, its
HNSW index of the first rows, which takes long to build.

Vectors are clustered, with a spectrum that decays and one large component, as pictures' are; then
random ones, of which no neighbour is near.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from timing import seconds

from imagen_nb.storage.vectors import VectorStore

DIMENSIONS, FOUND, CLUSTERS = 512, 50, 2000
GOAL_MS, GOAL_RECALL, GOAL_MB = 50, 0.97, 700
ROWS_PER_BATCH = 50_000
MODEL = "bench"
Find = Callable[[np.ndarray], list[int]]  # a query to places, best first

IN_A_FRESH_PROCESS = """
import sys, time
from pathlib import Path
import numpy as np
from imagen_nb.storage.vectors import VectorStore
def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if "Rss" in line}
query = np.ones(int(sys.argv[3]), np.float32)
before = memory()
def timed(what, work):
    start = time.perf_counter()
    work()
    print(f"  {what}: {1000 * (time.perf_counter() - start):.0f} ms")
store = VectorStore(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
timed("the first query", lambda: store.best(query, 50))
timed("the second", lambda: store.best(query, 50))
nobody = "00000000-0000-4000-8000-000000000000"
timed("the first question what is missing", lambda: store.missing([nobody]))
timed("cosines() of all, with ids", lambda: store.cosines(query))
grown = {name: now - before[name] for name, now in memory().items()}
own, mapped = grown["RssAnon"], grown["RssFile"]
print(f"  memory: {own:.0f} MB more of its own, {mapped:.0f} MB of files mapped")
"""


def random_vectors(count: int) -> np.ndarray:
    chosen = np.random.default_rng(1)
    return _units(chosen.standard_normal((count, DIMENSIONS), np.float32))


def clustered_vectors(count: int) -> np.ndarray:
    chosen = np.random.default_rng(2)
    spectrum = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5
    turning = np.linalg.qr(chosen.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    shape = (CLUSTERS, DIMENSIONS)
    centres = chosen.standard_normal(shape, np.float32) * spectrum
    rows = chosen.standard_normal((count, DIMENSIONS), np.float32)
    rows *= 0.6 * spectrum
    for start in range(0, count, ROWS_PER_BATCH):
        block = rows[start : start + ROWS_PER_BATCH]
        block += centres[chosen.integers(0, CLUSTERS, len(block))]
        block[:] = block @ turning.astype(np.float32)
    rows[:, 133] += 2
    return _units(rows)


def _units(rows: np.ndarray) -> np.ndarray:
    for start in range(0, len(rows), ROWS_PER_BATCH):
        block = rows[start : start + ROWS_PER_BATCH]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def queries_of(rows: np.ndarray, count: int) -> np.ndarray:
    """Vectors near some of the rows, as a text's or another picture's are."""
    chosen = np.random.default_rng(3)
    near = rows[chosen.integers(0, len(rows), count)]
    return near + 0.02 * chosen.standard_normal(near.shape, np.float32)


def ours(rows: np.ndarray, folder: Path) -> Find:
    store = VectorStore(folder, MODEL, DIMENSIONS)
    ids = [str(uuid.UUID(int=place)) for place in range(len(rows))]
    starts = range(0, len(rows), ROWS_PER_BATCH)
    batches = [slice(start, start + ROWS_PER_BATCH) for start in starts]
    took = seconds(lambda: [store.add(ids[one], rows[one]) for one in batches])
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"  added in {took:.1f} s; {size / 1e6:.0f} MB on the disk (goal: {GOAL_MB} for 1,000,000)"
    )
    return lambda query: [uuid.UUID(id).int for id in store.best(query, FOUND).ids]


def brute_force(rows: np.ndarray) -> Find:
    def find(query: np.ndarray) -> list[int]:
        cosines = rows @ query
        best = np.argpartition(cosines, -FOUND)[-FOUND:]
        return best[np.argsort(-cosines[best])].tolist()

    return find


def sqlite_vec(rows: np.ndarray, folder: Path) -> Find:
    import apsw
    import sqlite_vec as extension

    path = folder / "vec.sqlite3"
    connection = apsw.Connection(str(path))
    connection.enable_load_extension(True)
    connection.load_extension(extension.loadable_path())
    kind = f"int8[{DIMENSIONS}] distance_metric=cosine"
    connection.execute(f"CREATE VIRTUAL TABLE vectors USING vec0(vector {kind})")

    def as_bytes(row: np.ndarray) -> bytes:
        return np.rint(row * (127 / np.abs(row).max())).astype(np.int8).tobytes()

    def fill() -> None:
        with connection:
            connection.executemany(
                "INSERT INTO vectors (rowid, vector) VALUES (?, vec_int8(?))",
                ((place + 1, as_bytes(row)) for place, row in enumerate(rows)),
            )

    took = seconds(fill)
    print(f"  sqlite-vec: added in {took:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
    statement = "SELECT rowid FROM vectors WHERE vector MATCH vec_int8(?) ORDER BY distance LIMIT ?"
    return lambda query: [
        row[0] - 1 for row in connection.execute(statement, (as_bytes(query), FOUND))
    ]


def hnsw(rows: np.ndarray) -> Find:
    from usearch.index import Index

    index = Index(ndim=DIMENSIONS, metric="cos", dtype="i8")
    took = seconds(lambda: index.add(np.arange(len(rows)), rows))
    print(f"  usearch HNSW of {len(rows)}: built in {took:.0f} s")
    return lambda query: index.search(query, FOUND).keys.tolist()


def measure(engines: dict[str, Find], queries: np.ndarray, right: str) -> None:
    """Ask all the same in turn, the first of them changing; the first query is not counted."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    work: dict[str, list[float]] = {name: [] for name in engines}  # of the processors
    answers: dict[str, list[list[int]]] = {name: [] for name in engines}
    names = [*engines]
    for number, query in enumerate(queries):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start, worked = time.perf_counter(), time.process_time()
            answers[name].append(engines[name](query))
            times[name].append(time.perf_counter() - start)
            work[name].append(time.process_time() - worked)
    usual = statistics.median(times[right][1:])
    for name in names:
        p50 = statistics.median(times[name][1:])
        pairs = zip(answers[name], answers[right], strict=True)
        recall = statistics.mean(len({*a} & {*b}) / len(b) for a, b in pairs)
        print(
            f"  {name}: p50 {1e3 * p50:.1f} ms, best {1e3 * min(times[name]):.1f}, "
            f"of all processors {1e3 * statistics.median(work[name][1:]):.1f}; "
            f"recall@{FOUND} {recall:.4f}; {p50 / usual:.2f} times {right}"
        )


def run(title: str, rows: np.ndarray, queries: int, hnsw_rows: int) -> None:
    print(
        f"{title}: {len(rows)} of {DIMENSIONS} (goals: p50 {GOAL_MS} ms, recall {GOAL_RECALL})"
    )
    print(f"  load of this machine, all programs: {os.getloadavg()[0]:.1f}")
    asked = queries_of(rows, queries)
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as name:
        folder = Path(name)
        engines = {"ours": ours(rows, folder), "brute force": brute_force(rows)}
        script = [
            sys.executable,
            "-c",
            IN_A_FRESH_PROCESS,
            name,
            MODEL,
            str(DIMENSIONS),
        ]
        subprocess.run(script, check=True)
        measure(engines, asked, "brute force")
        if importlib.util.find_spec("sqlite_vec") and importlib.util.find_spec("apsw"):
            engines["sqlite-vec"] = sqlite_vec(rows, folder)
            measure(engines, asked[:8], "brute force")
        if hnsw_rows and importlib.util.find_spec("usearch"):
            first = rows[:hnsw_rows]
            with tempfile.TemporaryDirectory(prefix="imagen-bench-") as smaller:
                engines = {
                    "ours": ours(first, Path(smaller)),
                    "brute force": brute_force(first),
                }
                engines["usearch"] = hnsw(first)
                measure(engines, queries_of(first, queries), "brute force")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--hnsw-rows", type=int, default=0)
    given = parser.parse_args()
    for title, vectors in (
        ("clustered", clustered_vectors),
        ("random", random_vectors),
    ):
        run(title, vectors(given.rows), given.queries, given.hnsw_rows)


if __name__ == "__main__":
    main()
