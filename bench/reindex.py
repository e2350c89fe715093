"""How long `imagen reindex` takes for 100,000 pictures.

python bench/reindex.py [COUNT]
"""

from __future__ import annotations

import sys
import tempfile
from datetime import date
from pathlib import Path

from PIL import Image
from timing import seconds

from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record, new_id
from imagen_nb.storage.reindex import reindex


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    record = Record(
        prompt="a boat", backend="bench", seed=0, steps=4, width=16, height=16
    )
    first = PictureFiles(folder).save(
        Image.new("RGB", (16, 16), "red"), record, date(2026, 1, 1)
    )
    png = first.path.read_bytes()
    for seed in range(1, count):
        path = folder / f"2026-01-01-a-boat-{seed}.png"
        changed = {
            "id": new_id(),
            "seed": seed,
            "storage_path": f"2026-01-01/a-boat-{seed}.png",
        }
        path.write_bytes(png)
        sidecar_of(path).write_text(
            first.record.model_copy(update=changed).to_sidecar()
        )
    for title in ("into an empty catalog", "with everything entered already"):
        print(f"{count} pictures {title}: {seconds(lambda: reindex(folder)):.1f} s")


if __name__ == "__main__":
    main()
