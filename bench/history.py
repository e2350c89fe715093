"""The whole history as a DataFrame: ours / supabase-py's `.range()` loop, signed in as a user.

python bench/history.py [--rows 100000] [--rounds 3] [--memory]

Interleaved; at 0 ms and at 50 ms of added round-trip time; then straight from PostgreSQL. The loop
is timed with all columns (`select("*")`, as people write it) and with the columns that we fetch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable

import pandas as pd
import psycopg
from history_server import FaultProxy, as_user, loop, running
from timing import seconds

from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.storage.record import IMAGES_COLUMNS
from imagen_nb.studio.studio import Studio

OURS = ",".join(name for name in IMAGES_COLUMNS if name != "sidecar")
CHILD = """
import json, os, resource, sys
import pandas, pyarrow, supabase
from imagen_nb.studio.studio import Studio
settings, direct = json.loads(sys.argv[1]), sys.argv[2] == "direct"
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with Studio(settings, background=False) as studio:
    studio.history(source="cloud", limit=10)
    before = peak()
    frame = studio.history(source="cloud")
    print(len(frame), frame.memory_usage(deep=True).sum(), peak() - before)
"""


def ours(settings: dict) -> pd.DataFrame:
    with Studio(settings, background=False) as studio:
        return studio.history(source="cloud")


def compare(
    title: str,
    rounds: int,
    own: Callable[[], pd.DataFrame],
    others: dict[str, Callable[[], pd.DataFrame]],
    goal: str,
) -> None:
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in others}}
    for _ in range(rounds):
        for name, work in {"ours": own, **others}.items():
            times[name].append(seconds(work))
    ratios = {
        name: statistics.median(
            b / a for a, b in zip(times["ours"], times[name], strict=True)
        )
        for name in others
    }
    said = ", ".join(
        f"{name} {statistics.median(times[name]):.2f} s ({ratios[name]:.1f} times ours)"
        for name in others
    )
    print(
        f"{title}: ours {statistics.median(times['ours']):.2f} s, {said} (goal {goal})",
        flush=True,
    )


def memory(title: str, settings: dict, way: str) -> None:
    command = [sys.executable, "-c", CHILD, json.dumps(settings), way]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows, frame, peak = map(int, out.split())
    print(
        f"{title}, {rows} rows: frame {frame / 1e6:.0f} MB, peak above it at the start"
        f" {peak / 1e6:.0f} MB, factor {peak / frame:.2f}",
        flush=True,
    )


def plan(server: LocalSupabase) -> None:
    """What PostgreSQL does for one page, under row-level security."""
    claims = json.dumps({"sub": server.user_id, "role": "authenticated"})
    with psycopg.connect(server.database_url) as connection:
        for name, value in {"claims": claims, "claim.sub": server.user_id}.items():
            connection.execute(
                "SELECT set_config(%s, %s, true)", [f"request.jwt.{name}", value]
            )
        connection.execute("SET LOCAL ROLE authenticated")
        rows = connection.execute(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT {OURS} FROM imagen.images"
            " WHERE owner_user_id = %(owner)s AND created_at <= %(at)s"
            " AND (created_at < %(at)s OR id < %(id)s)"
            " ORDER BY created_at DESC, id DESC LIMIT 1000".encode(),
            {
                "owner": server.user_id,
                "at": "2026-05-01T00:00:00Z",
                "id": server.user_id,
            },
        )
        print("one page:", *(row[0] for row in rows), sep="\n  ", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    rows, rounds = given.rows, given.rounds
    with running(rows) as server:
        settings = as_user(server)
        direct = settings | {"owner_user_id": server.user_id}
        direct["supabase"] = {"database_url": server.database_url}
        plan(server)
        if given.memory:
            memory("API", settings, "api")
            memory("direct", direct, "direct")
            return
        loops = {
            "loop": lambda: loop(server),
            "loop of our columns": lambda: loop(server, OURS),
        }
        assert len(ours(settings)) == len(ours(direct)) == rows  # and warm
        compare(
            f"{rows} rows, 0 ms",
            rounds,
            lambda: ours(settings),
            loops,
            "≥ 1; ≥ 2 at 1M",
        )
        compare(f"{rows} rows, direct", rounds, lambda: ours(direct), loops, "≥ 10")
        with FaultProxy(server.url, delay=0.05) as proxy:
            far = as_user(server, proxy.url)
            slow = {"loop": lambda: loop(server, url=proxy.url)}
            compare(f"{rows} rows, 50 ms", rounds, lambda: ours(far), slow, "≥ 2")


if __name__ == "__main__":
    main()
