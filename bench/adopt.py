"""How fast pictures of another program are adopted, beside a plain copy and hash of them.

python bench/adopt.py [COUNT]     files of 1.4 MB each, as A1111 writes them; 2000

The peer: shutil.copyfile and sha256 of each, without reading what is in it.
"""

from __future__ import annotations

import hashlib
import io
import os
import resource
import shutil
import sys
import tempfile
import time
import zlib
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from timing import seconds

from imagen_nb.studio.studio import Studio

SIDE = 690  # of a picture of noise: 1.4 MB
TEXT = (
    "a lighthouse in the fog, number {n}\nNegative prompt: blurry\nSteps: 20, "
    "Sampler: Euler a, CFG scale: 7, Seed: {n}, Size: 690x690, Model: dreamshaper_8"
)


def write_pictures(folder: Path, count: int) -> None:
    """Write PNGs of the same noise, each with a text of its own behind the header."""
    folder.mkdir()
    noise = Image.frombytes("RGB", (SIDE, SIDE), os.urandom(3 * SIDE * SIDE))
    first = folder / "0.png"
    for number in range(count):
        path = folder / f"{number}.png"
        if number == 0:
            noise.save(path, pnginfo=_text(0))
            pixels = first.read_bytes()
            pixels = pixels[pixels.index(b"IDAT") - 4 :]
            continue
        path.write_bytes(_head(number) + pixels)
        long_ago = time.time() - 86400  # as pictures are that wait to be adopted
        os.utime(path, (long_ago, long_ago))


def _text(number: int) -> PngInfo:
    info = PngInfo()
    info.add_text("parameters", TEXT.format(n=number))
    return info


def _head(number: int) -> bytes:
    """All of such a file that stands before its pixels."""
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", pnginfo=_text(number))
    data = bytearray(small.getvalue())
    data[16:24] = SIDE.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data[: data.index(b"IDAT") - 4])


def copy_and_hash(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, target / path.name)
        hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    theirs = folder / "theirs"
    write_pictures(theirs, count)
    plain = seconds(lambda: copy_and_hash(theirs, folder / "copied"))
    shutil.rmtree(folder / "copied")
    with Studio({"output": {"dir": folder / "ours"}}, background=False) as studio:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        first = seconds(lambda: studio.adopt_files(theirs, progress=False))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        again = seconds(lambda: studio.adopt_files(theirs, progress=False))
        assert studio.catalog().counts()["total"] == count
    print(f"{count} files of 1.4 MB, by hard link")
    print(f"adopted: {first:.1f} s, {count / first:.0f} a second (goal: 300)")
    print(f"copied and hashed only: {plain:.1f} s, {count / plain:.0f} a second")
    print(f"the same folder again: {again:.2f} s (goal: 5 for 10000)")
    print(f"memory grew by {grown / 1024:.0f} MiB")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
