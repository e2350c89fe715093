"""The format `webdataset`: tar files of pictures, captions and facts, to be streamed."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePath

from imagen_nb.frames.plugins.exporters import ExportedPicture
from imagen_nb.frames.plugins.metadata import shared_facts
from imagen_nb.frames.plugins.shards import write_shards

_TAR_MB = 500.0


class WebDataset:
    """Writes tar files; each picture is a sample of three members of one name."""

    def __call__(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        *,
        shard_mb: float = _TAR_MB,
    ) -> Iterator[Path]:
        """Write `<name>.png`, `<name>.txt` and `<name>.json` of each; yield its tar.

        The format is that of https://github.com/webdataset/webdataset. A file has at
        most `shard_mb` MB (of 10⁶ bytes) of pictures, or one larger picture.
        """
        return self.resume(pictures, folder, (), shard_mb=shard_mb)

    def resume(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        done: Sequence[Path],
        *,
        shard_mb: float = _TAR_MB,
    ) -> Iterator[Path]:
        """See `ResumableExporter.resume`: files that are whole stay."""
        return write_shards(pictures, folder, done, ".tar", shard_mb, _write_tar)


def _write_tar(pictures: Iterable[ExportedPicture], path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for picture in pictures:
            name = PurePath(picture.name)
            # A sample's name ends at its first dot; % is in no name, so it stays unique.
            key = name.stem.replace(".", "%")
            facts = json.dumps(shared_facts(picture), ensure_ascii=True)
            _add_member(archive, f"{key}{name.suffix}", picture.data)
            _add_member(archive, f"{key}.txt", picture.caption.encode(errors="replace"))
            _add_member(archive, f"{key}.json", facts.encode())


def _add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of nobody, and without a time
    member.size = len(data)
    archive.addfile(member, BytesIO(data))


webdataset = WebDataset()  # the entry point
