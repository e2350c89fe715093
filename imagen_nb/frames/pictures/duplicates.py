"""Duplicates in a frame: pictures that are the same file, or look alike."""

from __future__ import annotations

import hashlib
import operator
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.grouping import linked_groups, near_pairs
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    load_image,
    load_picture_file,
    locate_pictures,
)
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.system.paths import cache_folder
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_NEAR_BITS = 24  # of 64: pictures with nothing in common differ in about 32
_PICTURES_PER_SAVE = 500  # hashed before the hashes are saved

Groups = list[list[int]]


def find_duplicates(
    frame: pd.DataFrame, near: int | str, cloud: Cloud | None
) -> pd.DataFrame:
    """Return the rows that have a duplicate, as `Accessor.duplicates` documents.

    Args:
        frame: needs the columns `id`, `storage_path` and `local_path`.
        near: 0 compares the files; more, the number of bits in which the perceptual
            hashes of 64 bits may differ.
        cloud: the client; None if none is configured.

    Returns:
        The rows group by group, with the column `group`. Pictures that cannot be read
        are left out, and a line on stderr says how many.

    Raises:
        UsageError: if `near` is not valid, or needs imagehash and that is not
            installed.
    """
    bits = _validated_near(near)
    phash = _make_phash() if bits else None
    locations = complete_from_cloud(locate_pictures(frame), cloud)
    hashes: Sequence[int | str | ImagenError]
    if phash:
        hashes = _perceptual_hashes(locations, cloud, phash)
    else:
        hashes = map_in_threads(locations, lambda one: _sha256_of_picture(one, cloud))
    failed = [one for one in hashes if isinstance(one, ImagenError)]
    if failed:
        print_notice(
            f"{len(failed)} of {len(locations)} pictures were not compared: {failed[0]}"
        )
    compared = [
        position
        for position, one in enumerate(hashes)
        if not isinstance(one, ImagenError)
    ]
    values: Any = [hashes[position] for position in compared]
    groups = group_near(values, bits) if bits else group_equal(values)
    return _rows_of_groups(
        frame, [[compared[number] for number in group] for group in groups]
    )


def _validated_near(near: Any) -> int:
    try:
        bits = operator.index(near)
    except TypeError:
        bits = -1
    if not 0 <= bits <= MAX_NEAR_BITS:
        raise UsageError(
            f"near is a number of bits, 0 (the same file) to {MAX_NEAR_BITS}, or"
            f' "look", not {near!r}'
        )
    return bits


def find_alike(
    frame: pd.DataFrame, vectors: NDArray[np.float32], alike: float
) -> pd.DataFrame:
    """Return the rows whose pictures have vectors that are nearly the same, by `group`.

    Args:
        frame: any frame.
        vectors: of its pictures: (len(frame), dimensions), of length 1; rows of NaN or
            zeros are like nothing.
        alike: the cosine from which on two pictures are alike.

    Raises:
        UsageError: if `alike` is no cosine above 0.
    """
    from imagen_nb.frames.pictures.alike import group_alike

    if not isinstance(alike, int | float) or not 0 < alike <= 1:
        raise UsageError(f"alike is a cosine, above 0 and up to 1, not {alike!r}")
    return _rows_of_groups(frame, group_alike(vectors, alike))


def _rows_of_groups(frame: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    rows = [position for group in groups for position in group]
    numbers = [number for number, group in enumerate(groups) for _ in group]
    return frame.iloc[rows].assign(group=numbers).astype({"group": "Int64"})


def _sha256_of_picture(location: PictureLocation, cloud: Cloud | None) -> str:
    if location.picture.sha256:
        return location.picture.sha256
    return hashlib.sha256(load_picture_file(location, cloud)).hexdigest()


def group_equal(values: Sequence[Hashable]) -> Groups:
    """Return the positions of values that are equal, where there are several."""
    positions: dict[Hashable, list[int]] = {}
    for position, value in enumerate(values):
        positions.setdefault(value, []).append(position)
    return [group for group in positions.values() if len(group) > 1]


def group_near(hashes: Sequence[int], bits: int) -> Groups:
    """Return the positions of hashes (of 64 bits) that are near each other.

    Any two of a group differ in at most `bits` bits. Each hash goes to the first group
    that it fits, and groups begin in the order of the hashes.

    Example:
        >>> group_near([0b0000, 0b1111, 0b0001], bits=2)
        [[0, 2]]
    """
    import numpy as np
    import pandas as pd

    codes, unique = pd.factorize(np.array(hashes, dtype=np.uint64))

    def is_near(block: slice) -> NDArray[np.bool_]:
        differing = unique[block, None] ^ unique[None, block.start :]
        return np.asarray(np.bitwise_count(differing) <= bits)

    def fits(group: list[int], other: int) -> bool:
        return bool((np.bitwise_count(unique[group] ^ unique[other]) <= bits).all())

    groups = linked_groups(len(unique), near_pairs(len(unique), is_near), fits)
    first_of = {code: group[0] for group in groups for code in group}
    return group_equal([first_of.get(int(code), int(code)) for code in codes])


def _make_phash() -> Callable[[Image], int]:
    """Return the perceptual hash (64 bits); raise `UsageError` without imagehash."""
    try:
        import imagehash
    except ImportError:
        raise UsageError(
            'pictures that look alike need imagehash: pip install "imagen_nb[similar]"'
        ) from None
    import numpy as np

    def phash(image: Image) -> int:
        return int.from_bytes(np.packbits(imagehash.phash(image).hash).tobytes())

    return phash


def _perceptual_hashes(
    locations: Sequence[PictureLocation],
    cloud: Cloud | None,
    phash: Callable[[Image], int],
) -> list[int | ImagenError]:
    """Return the hash of each picture, or why there is none; hash each only once."""
    cache = HashCache(cache_folder() / "looks.sqlite")
    keys = [_key_of_location(location) for location in locations]
    hashes: dict[str, int | ImagenError] = {**cache.load(keys)}
    location_of = dict(zip(keys, locations, strict=True))
    left = [key for key in location_of if key not in hashes]

    def hash_picture(key: str) -> int:
        return phash(load_image(location_of[key], cloud))

    with progress_bar("looking at pictures") as count:
        for start in range(0, len(left), _PICTURES_PER_SAVE):
            part = left[start : start + _PICTURES_PER_SAVE]
            fresh = dict(zip(part, map_in_threads(part, hash_picture), strict=True))
            hashes |= fresh
            cache.save({key: n for key, n in fresh.items() if isinstance(n, int)})
            count(start + len(part), len(left))
    return [hashes[key] for key in keys]


def _key_of_location(location: PictureLocation) -> str:
    """Return what the hash depends on: the sha256, or the file as it is now."""
    if location.picture.sha256:
        return f"phash {location.picture.sha256}"
    if location.local:
        with suppress(OSError):  # removed since: decoding it will say so
            stat = location.local.stat()
            return f"phash {stat.st_mtime_ns} {stat.st_size} {location.local}"
    return f"phash {location.picture.id} {location.picture.storage_path}"


_CACHE_BUSY_TIMEOUT_S = 30  # to wait for other processes that write
_KEYS_PER_SELECT = 500
_CREATE_SEEN = (
    "CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, bits BLOB) WITHOUT ROWID"
)

T = TypeVar("T")


class HashCache:
    """Hashes of 64 bits by key, in a file that processes may share.

    Raises nothing: without the file, hashes are computed again, and a line on stderr
    says so.
    """

    def __init__(self, path: Path) -> None:
        """Creates nothing."""
        self.path = path

    def load(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the hashes of those keys that have one."""
        if not self.path.exists():
            return {}
        key_of = {_digest_of_key(key): key for key in keys}

        def select(connection: sqlite3.Connection) -> dict[str, int]:
            hashes: dict[str, int] = {}
            digests = [*key_of]
            for start in range(0, len(digests), _KEYS_PER_SELECT):
                part = digests[start : start + _KEYS_PER_SELECT]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, bits FROM seen WHERE key IN ({marks})", part
                )
                hashes |= {key_of[key]: int.from_bytes(bits) for key, bits in rows}
            return hashes

        return self._run_with_file(select) or {}

    def save(self, hashes: Mapping[str, int]) -> None:
        """Keep these hashes for the next time."""
        rows = [(_digest_of_key(key), n.to_bytes(8)) for key, n in hashes.items()]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)

        self._run_with_file(insert)

    def _run_with_file(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what `work` returns; None if the file cannot be used.

        A damaged file is removed, so that the next call begins a new one.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (
                closing(
                    sqlite3.connect(self.path, timeout=_CACHE_BUSY_TIMEOUT_S)
                ) as connection,
                connection,
            ):
                connection.execute(_CREATE_SEEN)
                return work(connection)
        except (OSError, sqlite3.OperationalError) as error:  # full, locked, not ours
            print_notice(
                f"{self.path} cannot be used ({error}): pictures are looked at again"
            )
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self.path.unlink()
        return None


def _digest_of_key(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
