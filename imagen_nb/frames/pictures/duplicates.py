"""Pictures of a frame that are the same, or look it."""

from __future__ import annotations

import hashlib
import operator
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_file,
    load_image,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.system.paths import cache_folder
from imagen_nb.system.progress import counting
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_NEAR_BITS = (
    24  # bits of 64: two pictures that have nothing in common differ in about 32
)
_BLOCK = 512  # pictures compared with all others at once: 40 MB for 10,000 of them
_NOTED = 500  # pictures looked at between two notes of what was seen

Groups = list[list[int]]


def find_duplicates(
    frame: pd.DataFrame, near: int, cloud: Cloud | None
) -> pd.DataFrame:
    """The rows that have a like, with the column `group`, as `Accessor.duplicates` says."""
    bits = _bits(near)
    phash = _phash() if bits else None
    found = complete_from_cloud(locate_pictures(frame), cloud)
    facts = (
        _hashes(found, cloud, phash)
        if phash
        else map_in_threads(found, lambda p: _sha256(p, cloud))
    )
    if missing := [fact for fact in facts if isinstance(fact, ImagenError)]:
        complain(
            f"{len(missing)} of {len(found)} pictures were not compared: {missing[0]}"
        )
    compared = [
        place for place, fact in enumerate(facts) if not isinstance(fact, ImagenError)
    ]
    values: Any = [facts[place] for place in compared]
    groups = group_near(values, bits) if bits else group_equal(values)
    return _grouped(frame, [[compared[number] for number in group] for group in groups])


def _bits(near: int) -> int:
    try:
        bits = operator.index(near)
    except TypeError:
        bits = -1
    if not 0 <= bits <= MAX_NEAR_BITS:
        raise UsageError(
            f"near is a number of bits, 0 (the same file) to {MAX_NEAR_BITS}, not {near!r}"
        )
    return bits


def _grouped(frame: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    rows = [position for group in groups for position in group]
    numbers = [number for number, group in enumerate(groups) for _ in group]
    return frame.iloc[rows].assign(group=numbers).astype({"group": "Int64"})


def _sha256(place: PictureLocation, cloud: Cloud | None) -> str:
    return place.wanted.sha256 or hashlib.sha256(load_file(place, cloud)).hexdigest()


def group_equal(values: Sequence[Hashable]) -> Groups:
    """The places of equal values, where there are several."""
    found: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return [group for group in found.values() if len(group) > 1]


def group_near(hashes: Sequence[int], bits: int) -> Groups:
    """The places of hashes that are near: any two of a group differ in at most `bits` bits.

    Each hash goes to the first group that it fits, and groups begin in the order of the hashes.
    """
    import numpy as np
    import pandas as pd

    codes, unique = pd.factorize(np.array(hashes, dtype=np.uint64))
    members = [[code] for code in range(len(unique))]
    free = np.ones(len(unique), dtype=bool)
    for leader, others in _neighbours(unique, bits):
        if free[leader]:
            for other in map(int, others[free[others]]):
                if (
                    np.bitwise_count(unique[members[leader]] ^ unique[other]).max()
                    <= bits
                ):
                    members[leader].append(other)
                    free[other] = False
                    members[other] = []
    group_of = {code: number for number, group in enumerate(members) for code in group}
    return group_equal([group_of[int(code)] for code in codes])


def _neighbours(
    unique: NDArray[np.uint64], bits: int
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """For each hash those after it that are near, if there are any."""
    import numpy as np

    for start in range(0, len(unique), _BLOCK):
        block = unique[start : start + _BLOCK, None]
        near = np.bitwise_count(block ^ unique[None, start:]) <= bits
        for row in map(int, np.flatnonzero(near.sum(axis=1) > 1)):
            others = np.flatnonzero(near[row, row + 1 :]) + row + 1
            if len(others):
                yield start + row, others + start


def _phash() -> Callable[[Image], int]:
    """The perceptual hash as 64 bits. Raises `UsageError` when imagehash is not installed."""
    try:
        import imagehash
    except ImportError:
        raise UsageError(
            'pictures that look alike need imagehash: pip install "imagen_nb[similar]"'
        ) from None
    import numpy as np

    return lambda image: int.from_bytes(
        np.packbits(imagehash.phash(image).hash).tobytes()
    )


def _hashes(
    found: Sequence[PictureLocation], cloud: Cloud | None, phash: Callable[[Image], int]
) -> list[int | ImagenError]:
    """Of each picture, or why not; each is looked at once in its life."""
    seen = HashCache(cache_folder() / "looks.sqlite")
    keys = [_key(place) for place in found]
    known = seen.known(keys)
    facts: dict[str, int | ImagenError] = {**known}
    left = [
        *{
            key: place
            for key, place in zip(keys, found, strict=True)
            if key not in known
        }.items()
    ]
    with counting("looking at pictures") as count:
        for start in range(0, len(left), _NOTED):
            part = left[start : start + _NOTED]
            looks = map_in_threads(part, lambda item: phash(load_image(item[1], cloud)))
            facts |= (fresh := dict(zip((key for key, _ in part), looks, strict=True)))
            seen.learn(
                {key: look for key, look in fresh.items() if isinstance(look, int)}
            )
            count(start + len(part), len(left))
    return [facts[key] for key in keys]


def _key(place: PictureLocation) -> str:
    """What the picture's look hangs on: its bytes, or its file as it is now."""
    if place.wanted.sha256:
        return f"phash {place.wanted.sha256}"
    if place.local:
        with suppress(OSError):  # removed since: decoding it will say so
            stat = place.local.stat()
            return f"phash {stat.st_mtime_ns} {stat.st_size} {place.local}"
    return f"phash {place.wanted.id} {place.wanted.storage_path}"


_BUSY_S = 30  # seconds to wait for other processes that write
_MANY = 500  # keys in one question
_TABLE = (
    "CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, bits BLOB) WITHOUT ROWID"
)

T = TypeVar("T")


class HashCache:
    """64 bits for each key, in a file that processes may share. Nothing is raised for its sake."""

    def __init__(self, path: Path) -> None:
        """Creates nothing."""
        self.path = path

    def known(self, keys: Iterable[str]) -> dict[str, int]:
        """Those of the keys that are known."""
        if not self.path.exists():
            return {}
        digests = {_digest(key): key for key in keys}

        def ask(connection: sqlite3.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            asked = [*digests]
            for start in range(0, len(asked), _MANY):
                part = asked[start : start + _MANY]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, bits FROM seen WHERE key IN ({marks})", part
                )
                found |= {digests[key]: int.from_bytes(bits) for key, bits in rows}
            return found

        return self._with(ask) or {}

    def learn(self, values: Mapping[str, int]) -> None:
        """Note these for the next time."""
        rows = [(_digest(key), value.to_bytes(8)) for key, value in values.items()]
        self._with(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?)", rows
            )
        )

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """None when the file cannot be used. A damaged one is begun anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (
                closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as connection,
                connection,
            ):
                connection.execute(_TABLE)
                return work(connection)
        except (OSError, sqlite3.OperationalError) as error:  # full, locked, not ours
            complain(
                f"{self.path} cannot be used ({error}): pictures are looked at again"
            )
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self.path.unlink()
        return None


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
