"""Data sets in several files of bounded size, each written whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from imagen_nb.errors import UsageError
from imagen_nb.frames.plugins.exporters import ExportedPicture

_MAX_PER_SHARD = 10_000  # in one file


def write_shards(
    pictures: Iterable[ExportedPicture],
    folder: Path,
    done: Sequence[Path],
    suffix: str,
    shard_mb: float,
    write: Callable[[Iterable[ExportedPicture], Path], None],
) -> Iterator[Path]:
    """Write pictures to "00000<suffix>", "00001<suffix>" and so on.

    Yields the file of each picture once that file is whole.

    Args:
        pictures: those to write.
        folder: where to.
        done: the files that are whole, one for each picture; others are removed.
        suffix: of the files, ".tar".
        shard_mb: at most so many MB of pictures are in one file, or a single larger one.
        write: writes some pictures to a file; it goes through them once.

    Raises:
        UsageError: for a size that is none.
    """
    if not isinstance(shard_mb, int | float) or not shard_mb > 0:
        raise UsageError(f"shard_mb is a number of MB above 0, not {shard_mb!r}")
    remove_others(folder, done)
    number, source = len({*done}), _Source(pictures, int(shard_mb * 1e6))
    while source.has_more():
        path = folder / f"{number:05d}{suffix}"
        unfinished = path.with_name(f"{path.name}.part")
        write(source.next_shard(), unfinished)
        unfinished.rename(path)
        for _ in range(source.given):
            yield path
        number += 1


def remove_others(folder: Path, done: Sequence[Path]) -> None:
    """Remove the files of a folder that are not among these: they may be torn."""
    names = {path.name for path in done}
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


class _Source:
    """Gives pictures shard by shard, and has one of them in memory at a time."""

    def __init__(self, pictures: Iterable[ExportedPicture], max_bytes: int) -> None:
        self._pictures = iter(pictures)
        self._max_bytes = max_bytes
        self._next = next(self._pictures, None)
        self.given = 0  # of the present shard

    def has_more(self) -> bool:
        return self._next is not None

    def next_shard(self) -> Iterator[ExportedPicture]:
        self.given, size = 0, 0
        while self._next is not None and self.given < _MAX_PER_SHARD:
            size += len(self._next.data)
            if self.given and size > self._max_bytes:
                return
            picture, self._next = self._next, None
            self.given += 1
            yield picture
            self._next = next(self._pictures, None)
