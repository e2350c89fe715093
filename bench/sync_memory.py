"""Peak memory while 5,000 / 500 pending pictures of 1.4 MB are drained.

python bench/sync_memory.py [--pictures 5000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from supabase_server import account, running

from imagen_nb.cloud.account import Account
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record, new_id

SIDE = 683  # pixels: 683 × 683 × 3 bytes = 1.4 MB
CHILD = """
import resource, sys
from uuid import UUID
from pydantic import SecretStr
from imagen_nb.storage.catalog import Catalog
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync import drain
folder, url, key, owner = sys.argv[1:]
report = drain(Catalog(folder), Cloud(Account(url, SecretStr(key), owner=UUID(owner))))
assert not report.pending and not report.failed, report
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def fill(folder: Path, count: int, prompt: str) -> None:
    """One file under many names: what counts here is how much is sent, not what."""
    import datetime

    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    record = Record(
        prompt=prompt, backend="b", seed=0, steps=4, width=SIDE, height=SIDE
    )
    kept = PictureFiles(folder).save(
        Image.fromarray(pixels), record, datetime.date.today()
    )
    catalog = Catalog(folder)
    catalog.add(kept, "pending")
    for seed in range(1, count):
        name = f"{kept.path.stem[:-2]}-{seed}.png"
        path, sidecar = folder / name, folder / f"{name}.json"
        os.link(kept.path, path)
        place = f"{name[:10]}/{name[11:]}"
        copy = kept.record.model_copy(
            update={"id": new_id(), "seed": seed, "storage_path": place}
        )
        sidecar.write_text(copy.to_sidecar())
        catalog.add(type(kept)(path, sidecar, copy), "pending")
    catalog.close()


def peak_kb(to: Account, count: int) -> int:
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
        fill(Path(folder), count, f"noise {count}")
        arguments = [folder, to.url, to.key.get_secret_value(), str(to.owner)]
        command = [sys.executable, "-c", CHILD, *arguments]
        return int(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    count = parser.parse_args().pictures
    with running() as server:
        few, many = (peak_kb(account(server), n) for n in (count // 10, count))
    print(
        f"{count} pictures {many / 1024:.0f} MB, {count // 10} pictures {few / 1024:.0f} MB,"
        f" ratio {many / few:.3f}"
    )


if __name__ == "__main__":
    main()
