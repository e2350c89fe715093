"""500 pending pictures of 100 kB: our drain / a plain supabase-py loop of upload and insert.

python bench/sync_drain.py [--pictures 500]

Interleaved, at 0 ms and at 50 ms of added round-trip time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions
from supabase_server import FaultProxy, account, fill, running
from timing import seconds

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import BUCKET
from imagen_nb.cloud.sync import drain
from imagen_nb.storage.catalog import Catalog

SIDE = 182  # pixels: 182 × 182 × 3 bytes = 100 kB
ROUNDS = 3


def ours(folder: Path, to: Account, count: int) -> None:
    with closing(Cloud(to)) as cloud, closing(Catalog(folder)) as catalog:
        report = drain(catalog, cloud)
    assert report.synced == count, report


def theirs(folder: Path, to: Account) -> None:
    """What one writes by hand: no check of what arrived, no second try, one after another."""
    options = SyncClientOptions(httpx_client=httpx.Client(timeout=60))
    client = create_client(to.url, to.key.get_secret_value(), options)
    bucket, table = (
        client.storage.from_(BUCKET),
        client.schema("imagen").table("images"),
    )
    for entry in Catalog(folder).select(
        "WHERE cloud_state = 'pending' ORDER BY created_at"
    ):
        path = f"plain-{uuid4()}/{entry.path.name}"
        bucket.upload(path, entry.path.read_bytes(), {"content-type": "image/png"})
        own = {"id": str(uuid4()), "owner_user_id": str(to.owner), "storage_path": path}
        row = entry.record.to_row() | own
        table.insert(row).execute()


def compare(to: Account, count: int, title: str, goal: str) -> None:
    ratios, times = [], []
    for number in range(ROUNDS + 1):
        with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
            place = Path(folder)
            amount = count if number else 20  # the first round warms up
            fill(place, amount, SIDE, prompt=f"{title} {number}")
            plain = seconds(lambda place=place: theirs(place, to))
            own = seconds(lambda place=place, amount=amount: ours(place, to, amount))
            if number:
                ratios.append(plain / own)
                times.append((own, plain))
    own, plain = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"{count} pictures, {title}: ours {own:.1f} s, plain loop {plain:.1f} s,"
        f" {statistics.median(ratios):.1f} times faster (goal {goal})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=500)
    count = parser.parse_args().pictures
    with running() as server:
        compare(account(server), count, "0 ms", "≥ 1")
        with FaultProxy(server.url, delay=0.05) as proxy:
            compare(account(server, proxy.url), count, "50 ms", "≥ 5")


if __name__ == "__main__":
    main()
