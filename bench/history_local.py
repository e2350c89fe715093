"""The history of this machine: 1,000,000 rows of the local catalog, filtered and framed.

python bench/history_local.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timing import seconds

from imagen_nb.frames.query import make_query
from imagen_nb.frames.sources.local import catalog_select
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_rows import catalog_row, upsert_rows
from imagen_nb.storage.record import Record
from imagen_nb.studio.studio import Studio

KINDS = (
    "tiny lighthouse on a stormy cliff",
    "red boat on a quiet lake at dawn",
    "old sailor",
)
TAGS = (("keeper", "rating:5"), ("sea",), (), ())
ASKED: dict[str, dict[str, Any]] = {
    "everything": {},
    "the newest 1,000": {"limit": 1000},
    "since 30 days": {"since": dt.datetime(2026, 10, 2, tzinfo=dt.UTC)},
    "two words": {"prompt": "boat dawn"},
    "words that do not occur": {"prompt": "submarine"},
    "a tag": {"tags": "keeper"},
    "a backend": {"backend": "flux-dev-local"},
    "a seed": {"seed": 777},
    "100 ids": {"ids": [uuid.UUID(int=n) for n in range(100)]},
}


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    newest = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    record = Record(
        prompt="x",
        backend="b",
        model="black-forest-labs/FLUX.1-schnell",
        seed=0,
        steps=4,
        width=1024,
        height=1024,
        latency_ms=1200,
        cost_usd_estimate=0.0,
        sha256="0" * 64,
        versions={"torch": "2.13.0", "diffusers": "0.42.1"},
        storage_path="2026-05-11/x.png",
    )
    for n in range(count):
        one = record.model_copy(
            update={
                "id": uuid.UUID(int=n),
                "seed": n,
                "tags": TAGS[n % 4],
                "prompt": f"a {KINDS[n % 3]}, photo, golden hour, film grain, number {n}",
                "backend": ("flux-schnell-local", "flux-dev-local")[n % 2],
                "created_at": newest - dt.timedelta(seconds=n * 31),
            }
        )
        yield catalog_row(one, one.to_sidecar(), f"{n}.png", f"{n}.png.json", "synced")


def fill(catalog: Catalog, count: int) -> None:
    source = rows(count)
    while chunk := [*itertools.islice(source, 10_000)]:
        with catalog.connection() as connection:
            connection.execute("BEGIN")
            upsert_rows(connection, chunk)
            connection.execute("COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
        catalog = Catalog(Path(folder))
        fill(catalog, count)
        with Studio({"output": {"dir": folder}}, background=False) as studio:
            studio.history(source="local", limit=1)
            for name, asked in ASKED.items():
                found: list[int] = []
                took = seconds(
                    lambda asked=asked, found=found: found.append(
                        len(studio.history(source="local", **asked))
                    )
                )
                print(f"{name}: {found[0]} of {count} rows in {took:.2f} s")
                statement, values = catalog_select(make_query(**asked), None, False)
                with catalog.reader() as connection:
                    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                    print("   ", "; ".join(row[3] for row in plan), flush=True)


if __name__ == "__main__":
    main()
