"""What signing a 1024 × 1024 picture costs the writer's thread, and what verifying it costs.

python bench/provenance.py
"""

from __future__ import annotations

import datetime
import statistics
import tempfile
from functools import partial
from pathlib import Path

from timing import seconds
from write import PICTURES, photo_like

from imagen_nb.config.certificate import certificate_files, make_certificate
from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.storage.credentials import PictureSigner
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record
from imagen_nb.storage.verification import verify_picture


def main() -> None:
    folder = Path(tempfile.mkdtemp("imagen-bench"))
    files = certificate_files(folder / "imagen.yaml")
    make_certificate(files)
    signer = PictureSigner(
        ProvenanceSettings(
            c2pa=True, certificate=files.certificate, private_key=files.private_key
        )
    )
    first_ms = seconds(signer.require_ready) * 1e3
    kept = {
        "unsigned": PictureFiles(folder / "unsigned"),
        "signed": PictureFiles(folder / "signed", signer),
    }
    took: dict[str, list[float]] = {name: [] for name in kept}
    verified: list[float] = []
    day = datetime.date(2026, 5, 11)
    for seed in range(PICTURES + 1):
        image = photo_like(seed)
        record = Record(
            prompt="a", backend="b", seed=seed, steps=4, width=1024, height=1024
        )
        for name in sorted(kept, reverse=seed % 2 == 1):  # each is first in turn
            save = partial(kept[name].save, image, record, day)
            took[name].append(seconds(save) * 1e3)
        path = max(
            (folder / "signed").glob("*.png"), key=lambda p: p.stat().st_mtime_ns
        )
        verified.append(seconds(partial(verify_picture, path)) * 1e3)
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}
    more = [s - u for s, u in zip(took["signed"], took["unsigned"], strict=True)][1:]
    sizes = [
        statistics.median(path.stat().st_size for path in (folder / name).glob("*.png"))
        for name in ("signed", "unsigned")
    ]
    print(
        f"writing: {medians['unsigned']:.1f} ms unsigned, {medians['signed']:.1f} ms"
        f" signed: {statistics.median(more):.1f} ms more a picture (goal ≤ 60)"
    )
    print(f"in the file: {sizes[0] - sizes[1]:.0f} bytes more")
    print(
        f"once in a session: {first_ms:.0f} ms to load the library and the certificate"
    )
    print(f"imagen verify: {statistics.median(verified):.0f} ms a picture")


if __name__ == "__main__":
    main()
