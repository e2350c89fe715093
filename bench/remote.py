"""What it costs that another machine draws: laptop, box and local Supabase, a process each.

    python bench/remote.py [picture] [throughput] [claim] [--rounds 15] [--jobs 200]
                           [--sweeps 3] [--delays 0 50] [--finished 0]

picture: one picture of the embedded FLUX with backend="remote", less what `generate` takes here,
interleaved, at 0 and at 50 ms of added round-trip time. Goals: ≤ 0.3 s until the first progress is
heard of, ≤ 0.5 s in all.
throughput: pictures a second of a `sweep` drawn elsewhere / drawn here, of as many jobs,
interleaved. Goal ≥ 0.95. The processes share this machine's cores: the server's and the laptop's
share is told with it.
claim: a claim among 10,000 waiting jobs, in the database alone and through the API, on a real
PostgreSQL, with `--finished` jobs besides (1000000 takes a minute to fill). Goal p50 ≤ 20 ms.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import psycopg
from delaying import delayed
from history_server import running as running_on_postgres
from supabase_server import account, running
from timing import seconds

from imagen_nb import Studio
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.cloud.local import LocalSupabase

HOME = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
WAITING = 10_000
CLAIMS = 101
FILL = """
INSERT INTO imagen.jobs (owner_user_id, request, backend, state, finished_at, created_at)
SELECT %(owner)s, '{"prompt": "a red boat", "steps": 4}', 'flux-tiny-local', %(state)s,
  CASE %(state)s WHEN 'done' THEN now() - make_interval(secs => n) END,
  now() - make_interval(secs => n)
FROM generate_series(1, %(rows)s) AS n
"""
_seeds = itertools.count(1)


def settings(server: LocalSupabase, url: str, name: str) -> dict[str, Any]:
    """Signed in as the user, whom row-level security holds."""
    user = {"email": server.email, "password": server.password}
    return {
        "backend": FLUX_TINY.name,
        "output": {"dir": str(HOME / name)},
        "supabase": {"url": url, "key": server.anon_key} | user,
    }


@contextmanager
def box(server: LocalSupabase, url: str) -> Iterator[int]:
    """A process that draws; give its id once it is heard of."""
    import json

    config = HOME / "box.yaml"
    config.write_text(json.dumps(settings(server, url, "box")))
    command = [sys.executable, "-c", "from imagen_nb.cli import main; main()", "work"]
    command += ["--config", str(config), "--backends", FLUX_TINY.name]
    with (HOME / "box.log").open("w") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with closing(Cloud(account(server))) as cloud:
            while not any(not one.stopped for one in JobQueue(cloud).workers()):
                assert worker.poll() is None, (HOME / "box.log").read_text()
                time.sleep(0.1)
        yield worker.pid
    finally:
        worker.terminate()
        worker.wait()


@dataclass
class Heard:
    """When the first step was heard of."""

    began: float = field(default_factory=time.perf_counter)
    first: float | None = None

    def __call__(self, step: object) -> None:
        if self.first is None:
            self.first = time.perf_counter() - self.began


def one_picture(studio: Studio, backend: str) -> tuple[float, float]:
    """Seconds until the first progress, and in all."""
    heard = Heard()
    studio.generate(
        "a red boat", seed=next(_seeds), backend=backend, progress=heard, cloud=None
    )
    took = time.perf_counter() - heard.began
    return heard.first or took, took


def added_to_a_picture(options: argparse.Namespace) -> None:
    for milliseconds in options.delays:
        with (
            running() as server,
            delayed(server.url, milliseconds) as url,
            box(server, url),
            Studio(settings(server, url, "laptop"), background=False) as studio,
        ):
            own = Studio(
                settings(server, url, "own") | {"supabase": {}}, background=False
            )
            with own:
                measure_a_picture(studio, own, milliseconds, options.rounds)


def measure_a_picture(
    studio: Studio, own: Studio, milliseconds: int, rounds: int
) -> None:
    ways: list[Callable[[], tuple[float, float]]] = [
        lambda: one_picture(studio, f"remote:{FLUX_TINY.name}"),
        lambda: one_picture(own, FLUX_TINY.name),
    ]
    for way in ways * 2:  # loads the model, here and there
        way()
    times = [[way() for way in ways] for _ in range(rounds)]
    firsts = sorted(there[0] for there, _ in times)
    added = sorted(there[1] - here[1] for there, here in times)
    print(
        f"{milliseconds} ms: a picture here {median(here[1] for _, here in times):.3f} s; "
        f"elsewhere the first progress after {median(firsts):.3f} s"
        f" ({firsts[0]:.3f} to {firsts[-1]:.3f}, goal ≤ 0.3), in all"
        f" +{median(added):.3f} s ({added[0]:.3f} to {added[-1]:.3f}, goal ≤ 0.5); {load()}",
        flush=True,
    )


def throughput(options: argparse.Namespace) -> None:
    for milliseconds in options.delays:
        with (
            running() as server,
            delayed(server.url, milliseconds) as url,
            box(server, url) as worker,
            Studio(settings(server, url, "laptop"), background=False) as studio,
        ):
            own = Studio(
                settings(server, url, "own") | {"supabase": {}}, background=False
            )
            with own:
                processes = {
                    "box": worker,
                    "laptop": os.getpid(),
                    "server": server_pid(),
                }
                measure_sweeps(studio, own, milliseconds, options, processes)


def measure_sweeps(
    studio: Studio,
    own: Studio,
    milliseconds: int,
    options: argparse.Namespace,
    processes: dict[str, int],
) -> None:
    jobs = options.jobs

    def swept(studio: Studio, backend: str) -> float:
        first = next(_seeds) * 100_000
        wanted = range(first, first + jobs)
        return seconds(
            lambda: studio.sweep(
                "a red boat", seeds=wanted, backend=backend, progress=False
            )
        )

    for some, backend in ((studio, f"remote:{FLUX_TINY.name}"), (own, FLUX_TINY.name)):
        some.sweep("a boat", seeds=range(16), backend=backend, progress=False)
    there, here, spent = [], [], dict.fromkeys(processes, 0.0)
    own_s = 0.0
    for turn in range(options.sweeps):
        for name in ("there", "here") if turn % 2 else ("here", "there"):
            if name == "here":
                began = time.process_time()
                here.append(swept(own, FLUX_TINY.name))
                own_s += time.process_time() - began
                continue
            before = {name: processor_s(pid) for name, pid in processes.items()}
            there.append(swept(studio, f"remote:{FLUX_TINY.name}"))
            for who, pid in processes.items():
                spent[who] += processor_s(pid) - before[who]
    shares = ", ".join(f"{who} {s / len(there):.1f} s" for who, s in spent.items())
    print(
        f"{milliseconds} ms: {jobs} jobs here {median(here):.1f} s, elsewhere"
        f" {median(there):.1f} s ({', '.join(f'{s:.1f}' for s in there)}): throughput"
        f" ratio {median(here) / median(there):.2f} (goal ≥ 0.95); processor time of"
        f" one sweep elsewhere: {shares}; here {own_s / len(here):.1f} s; {load()}",
        flush=True,
    )


def server_pid() -> int:
    """The process of the local Supabase, which this one has started."""
    me = os.getpid()
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        if b"server.mjs" in status.read_bytes():
            parts = (status.parent / "stat").read_text().rpartition(")")[2].split()
            if int(parts[1]) == me:
                return int(status.parent.name)
    raise LookupError("no server of ours")


def processor_s(pid: int) -> float:
    """The processor's seconds that a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def claims(options: argparse.Namespace) -> None:
    with running_on_postgres(0) as server, closing(Cloud(account(server))) as cloud:
        queue, worker = JobQueue(cloud), uuid4()
        queue.register(worker, "bench", [FLUX_TINY.name], None, "")
        few = claimed_ms(queue, worker, server, waiting=2 * CLAIMS)
        fill(server, "done", options.finished)
        many = claimed_ms(queue, worker, server, waiting=WAITING)
        direct = claimed_directly_ms(server, worker)
        print(
            f"a claim among {WAITING} waiting jobs and {options.finished} finished ones:"
            f" p50 {median(direct):.1f} ms in PostgreSQL, {median(many):.1f} ms through"
            f" the API (goal ≤ 20; among {2 * CLAIMS} alone {median(few):.1f} ms),"
            f" p95 {sorted(many)[int(0.95 * len(many))]:.1f} ms; {load()}",
            flush=True,
        )


def fill(server: LocalSupabase, state: str, rows: int) -> None:
    with psycopg.connect(database_url(server), autocommit=True) as connection:
        values = {"owner": server.user_id, "state": state, "rows": rows}
        connection.execute(FILL.encode(), values)
        connection.execute("VACUUM ANALYZE imagen.jobs")


def claimed_ms(
    queue: JobQueue, worker: UUID, server: LocalSupabase, waiting: int
) -> list[float]:
    """Milliseconds of each claim of a job, through the API."""
    fill(server, "waiting", waiting)
    held: list[UUID] = []

    def claim() -> None:
        held.extend(job.id for job in queue.claim(worker, [FLUX_TINY.name], held=held))

    times = [1e3 * seconds(claim) for _ in range(CLAIMS)]
    assert len(held) == CLAIMS
    queue.cancel(held)
    return times


def claimed_directly_ms(server: LocalSupabase, worker: UUID) -> list[float]:
    """Milliseconds of each claim of a job, as the signed-in user, without the API."""
    times, held = [], list[UUID]()
    with psycopg.connect(database_url(server), autocommit=True) as connection:
        connection.execute("SET ROLE authenticated")
        claims = f'{{"sub": "{server.user_id}", "role": "authenticated"}}'
        sub = "request.jwt.claim.sub"
        connection.execute(
            "SELECT set_config('request.jwt.claims', %s, false), set_config(%s, %s, false)",
            (claims, sub, server.user_id),
        )
        for _ in range(CLAIMS):
            began = time.perf_counter()
            rows = connection.execute(
                "SELECT id FROM imagen.claim_jobs(%s, %s, held => %s)",
                (worker, [FLUX_TINY.name], held),
            ).fetchall()
            times.append(1e3 * (time.perf_counter() - began))
            held += [row[0] for row in rows]
    assert len(held) == CLAIMS
    return times


def database_url(server: LocalSupabase) -> str:
    from tests.fixtures import postgres

    port = postgres.cluster().port
    return f"postgresql://local_admin:local@127.0.0.1:{port}/local"


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "picture": added_to_a_picture,
    "throughput": throughput,
    "claim": claims,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[], help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--delays", type=int, nargs="*", default=[0, 50])
    parser.add_argument("--finished", type=int, default=0)
    options = parser.parse_args()
    for name in options.parts or PARTS:
        PARTS[name](options)


if __name__ == "__main__":
    main()
