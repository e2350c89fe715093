"""A folder that can only be read can be looked at; what writes there says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_nb.errors import StorageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.studio.studio import Studio
from tests.fixtures.forks import assert_child_ends_well, forks
from tests.fixtures.pictures import render

pytestmark = forks
_NOBODY = 65534


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three pictures that everybody may read; nobody may write there."""
    folder = Path("/tmp") / tmp_path_factory.mktemp("shared").name
    folder = folder.with_name(f"{folder.name}-{os.getpid()}")
    render(folder / "pictures", 3)
    yield folder / "pictures"
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def look(folder: Path) -> list[int]:
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        history = studio.history(source="local")
        assert history.imagen.contact_sheet().width > 0
        with pytest.raises(StorageError, match=r"Permission denied|can be written to"):
            studio.tag(history, "sea")
        assert studio.history(source="local", tags="sea").empty
        return sorted(history["seed"])


def become_nobody() -> None:
    os.environ["HOME"] = "/"  # the tests' own may be looked into by nobody
    if os.geteuid() == 0:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


@pytest.mark.parametrize("catalog", ["closed", "open elsewhere", "missing"])
def test_history_gallery_and_filters_work(shared: Path, tmp_path: Path, catalog: str) -> None:
    elsewhere = Catalog(shared)
    if catalog == "open elsewhere":  # with a write-ahead log
        elsewhere.counts()
        render(shared, 1, first=3)
    if catalog == "missing":
        shutil.rmtree(shared / ".imagen")
    make_read_only(shared)
    render(tmp_path / "own", 1)

    def work() -> None:
        with Studio({"output": {"dir": str(tmp_path / "own")}}, background=False) as studio:
            studio.history(source="local").imagen.contact_sheet()  # imports all it needs
        become_nobody()
        assert look(shared) == [0, 1, 2, 3][: 4 if catalog == "open elsewhere" else 3]

    assert_child_ends_well(work)
    elsewhere.close()
