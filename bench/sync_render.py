"""50 pictures drawn with sync on / with sync off, and what sync adds on the caller's thread.

python bench/sync_render.py [--pictures 50]

Interleaved, at 0 ms and at 50 ms of added round-trip time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from supabase_server import FaultProxy, running
from timing import compare

from imagen_nb import Studio
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.cloud.local import LocalSupabase


def settings(
    server: LocalSupabase, url: str, folder: Path, sync: str
) -> dict[str, Any]:
    return {
        "backend": FLUX_TINY.name,
        "output": {"dir": str(folder / sync), "cloud_sync": sync},
        "supabase": {"url": url, "key": server.service_key, "exit_seconds": 120},
        "owner_user_id": str(server.user_id),
    }


def on_the_callers_thread(studio: Studio) -> float:
    """Milliseconds of one picture's calls that only exist for sync."""
    uplink, catalog = studio._uplink, studio.catalog()
    id = catalog.latest(1)[0].record.id
    times = []
    for _ in range(200):
        began = time.perf_counter()
        uplink.warn(None)
        with uplink.drawing():
            pass
        uplink.drawn(catalog, [id], None)
        times.append(time.perf_counter() - began)
    return 1e3 * median(times)


def settled(studio: Studio) -> None:
    """Wait until all is sent: what one side left over must not slow the other."""
    while studio.waiting():
        time.sleep(0.1)


def run(server: LocalSupabase, url: str, delay: str, pictures: int) -> None:
    rounds: Iterator[int] = count()
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
        on, off = (
            Studio(settings(server, url, Path(folder), sync)) for sync in ("on", "off")
        )
        with on, off:

            def draw(studio: Studio) -> None:
                first = next(rounds) * pictures
                for seed in range(first, first + pictures):
                    studio.generate(f"a red boat, {delay}", seed=seed)

            title = f"{pictures} pictures, sync on / off, {delay}"
            compare(
                title,
                lambda: draw(on),
                lambda: draw(off),
                "≤ 1.03",
                settle=lambda: settled(on),
            )
            print(
                f"on the caller's thread: {on_the_callers_thread(on):.3f} ms (goal ≤ 2)"
            )
        waiting = Studio(settings(server, url, Path(folder), "on"), background=False)
        with waiting:
            print(f"sent in the background, still pending: {len(waiting.waiting())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=50)
    pictures = parser.parse_args().pictures
    with running() as server:
        run(server, server.url, "0 ms", pictures)
        with FaultProxy(server.url, delay=0.05) as proxy:
            run(server, proxy.url, "50 ms", pictures)


if __name__ == "__main__":
    main()
