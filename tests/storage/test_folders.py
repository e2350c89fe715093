"""Output folders of a session: each opened once, with its catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.folders import OutputFolders


def test_a_folder_has_one_catalog_however_it_is_named(tmp_path: Path) -> None:
    folders = OutputFolders(tmp_path / "usual")
    usual = folders.folder()
    named = folders.folder(tmp_path / "usual" / "mine.png")
    assert named.catalog is usual.catalog
    assert (usual.stem, named.stem) == (None, "mine")
    other = folders.folder(str(tmp_path / "other"))
    assert folders.catalogs() == [usual.catalog, other.catalog]


def test_one_file_for_several_pictures_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="these are 2"):
        OutputFolders(tmp_path / "usual").folder(tmp_path / "mine.png", 2)
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_written_to_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError):
        OutputFolders(tmp_path / "file" / "in it").folder()
