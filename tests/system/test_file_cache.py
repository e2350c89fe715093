"""A cache's folder: what is over its limit goes, and nothing that is being written."""

from __future__ import annotations

from pathlib import Path

from imagen_nb.system.atomic import temporary_file
from imagen_nb.system.file_cache import FileCache


def test_making_room_leaves_what_another_process_is_writing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, limit=100)
    with temporary_file(tmp_path, b"x" * 90) as writing:  # as the process of another's would
        for number in range(4):
            cache._put(tmp_path / f"{number}", b"y" * 60)
        assert writing.read_bytes() == b"x" * 90
        assert len([path for path in tmp_path.iterdir() if path != writing]) == 1
