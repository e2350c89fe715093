"""What signing and marking a 1024 × 1024 picture cost the writer's thread, and verifying it.

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
from imagen_nb.storage.watermark import PictureMarker


def main() -> None:
    folder = Path(tempfile.mkdtemp("imagen-bench"))
    files = certificate_files(folder / "imagen.yaml")
    make_certificate(files)
    signer = PictureSigner(
        ProvenanceSettings(
            c2pa=True, certificate=files.certificate, private_key=files.private_key
        )
    )
    marker = PictureMarker()
    first_ms = seconds(signer.require_ready) * 1e3
    first_marker_ms = seconds(marker.require_ready) * 1e3
    kept = {
        "unsigned": PictureFiles(folder / "unsigned"),
        "signed": PictureFiles(folder / "signed", signer),
        "marked": PictureFiles(folder / "marked", marker=marker),
    }
    took: dict[str, list[float]] = {name: [] for name in kept}
    verified: list[float] = []
    day = datetime.date(2026, 5, 11)
    for seed in range(PICTURES + 1):
        image = photo_like(seed)
        record = Record(
            prompt="a", backend="b", seed=seed, steps=4, width=1024, height=1024
        )
        names = sorted(kept)
        for name in names[seed % 3 :] + names[: seed % 3]:  # each is first in turn
            save = partial(kept[name].save, image, record, day)
            took[name].append(seconds(save) * 1e3)
        path = max(
            (folder / "signed").glob("*.png"), key=lambda p: p.stat().st_mtime_ns
        )
        verified.append(seconds(partial(verify_picture, path)) * 1e3)
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}
    more = {
        name: statistics.median(
            [t - u for t, u in zip(took[name], took["unsigned"], strict=True)][1:]
        )
        for name in ("signed", "marked")
    }
    sizes = [
        statistics.median(path.stat().st_size for path in (folder / name).glob("*.png"))
        for name in ("signed", "unsigned")
    ]
    print(
        f"writing: {medians['unsigned']:.1f} ms as it is, {medians['signed']:.1f} ms"
        f" signed, {medians['marked']:.1f} ms with a watermark: {more['signed']:.1f} and"
        f" {more['marked']:.1f} ms more a picture (goal for both together ≤ 60)"
    )
    print(f"in the file: {sizes[0] - sizes[1]:.0f} bytes more")
    print(
        f"once in a session: {first_ms:.0f} ms to load c2pa and the certificate,"
        f" {first_marker_ms:.0f} ms to load OpenCV"
    )
    print(f"imagen verify: {statistics.median(verified):.0f} ms a picture")


if __name__ == "__main__":
    main()
