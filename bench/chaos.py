"""Thousands of pictures through a proxy that breaks every fourth request; then: is all there?

python bench/chaos.py [--pictures 10000] [--seed 0]

Two processes keep pictures and drain one catalog while requests fail at random, and are killed at
random and started anew. Afterwards, one quiet sync; then local pictures = objects = rows, byte for
byte, nothing twice, nothing orphaned, or it ends with an error.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from supabase_server import ROOT, FaultProxy, account, running

from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.reindex import reindex
from tests.fixtures.fault_proxy import FAULTS, Fault
from tests.fixtures.pictures import sync
from tests.fixtures.server_state import ServerState, assert_nothing_lost

CHILD = """
import random, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from uuid import UUID
from pydantic import SecretStr
from tests.fixtures.pictures import render, sync, wait_little
from imagen_nb.cloud.account import Account
wait_little()
folder, url, key, owner, first, last = Path(sys.argv[2]), *sys.argv[3:]
for seed in range(int(first), int(last), 50):
    render(folder, min(50, int(last) - seed), first=seed)
    for _ in range(12):  # most end early, as an injected 401 or 403 stops them
        if not sync(folder, Account(url, SecretStr(key), owner=UUID(owner))).pending:
            break
"""


class Child:
    """A process that keeps its share of the pictures, however often it is killed."""

    def __init__(self, folder: Path, arguments: list[str], share: range) -> None:
        self.folder, self.arguments, self.share = folder, arguments, share
        self.start()

    def start(self) -> None:
        command = [
            sys.executable,
            "-c",
            CHILD,
            str(ROOT),
            str(self.folder),
            *self.arguments,
        ]
        self.process = subprocess.Popen(
            [*command, str(self.share.start), str(self.share.stop)]
        )

    def done(self, dice: random.Random) -> bool:
        """Whether it has finished by itself; now and then it is killed instead."""
        code = self.process.poll()
        if code is None and dice.random() < 0.02:
            self.process.kill()
            self.process.wait()
            self.start()  # draws the same pictures again, which are the same files
            return False
        if code:
            self.start()
        return code == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, began = random.Random(options.seed), time.monotonic()
    faults: list[Fault | None] = [*FAULTS.values(), *([None] * 3 * len(FAULTS))]
    with (
        tempfile.TemporaryDirectory(prefix="imagen-bench-") as place,
        running() as server,
        FaultProxy(server.url, lambda method, path: dice.choice(faults)) as proxy,
    ):
        folder, to = Path(place) / "pictures", account(server, proxy.url)
        half = options.pictures // 2
        arguments = [to.url, to.key.get_secret_value(), str(to.owner)]
        shares = (range(half), range(half, options.pictures))
        children = [Child(folder, arguments, share) for share in shares]
        while children:
            time.sleep(1)
            children = [child for child in children if not child.done(dice)]
        broken = sum(number for name, number in proxy.seen.items() if name != "passed")
        print(f"{broken} of {proxy.seen.total()} requests were broken", flush=True)
        proxy.choose = lambda method, path: None
        PictureFiles(folder)
        reindex(folder)
        report = sync(folder, to)
        print(f"the quiet sync: {report}", flush=True)
        Catalog(folder).close()
        assert_nothing_lost(
            [folder], ServerState(server.url, server.service_key), options.pictures
        )
    minutes = (time.monotonic() - began) / 60
    print(
        f"{options.pictures} pictures = objects = rows, byte for byte ({minutes:.1f} min)"
    )


if __name__ == "__main__":
    main()
