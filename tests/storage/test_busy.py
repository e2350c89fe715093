"""A process that is suspended while it holds a lock keeps others for a bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.errors import StorageError
from imagen_nb.storage import catalog as module
from imagen_nb.storage import catalog_schema
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import apply_tag_change, make_tag_change
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render

pytestmark = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="this system does not tell who holds a lock"
)
_HOLD = """
import sys
from imagen_nb.storage.catalog import Catalog
catalog = Catalog(sys.argv[1])
with {what}:
    {then}
    print("held", flush=True)
    sys.stdin.read()
"""
SIDECARS = _HOLD.format(what="catalog.sidecar_lock()", then="pass")
TABLES = _HOLD.format(
    what="catalog.connection() as connection", then="connection.execute('BEGIN IMMEDIATE')"
)


@contextmanager
def suspended(program: str, folder: Path) -> Iterator[int]:
    """The id of a process that runs the program, and is stopped once it holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (module, catalog_schema):
        monkeypatch.setattr(place, "LOCK_TIMEOUT_S", 1)


@pytest.mark.parametrize("program", [SIDECARS, TABLES], ids=["sidecars", "tables"])
def test_who_waits_is_told_who_holds_it(folder: Path, program: str) -> None:
    render(folder, 1)
    with closing(Catalog(folder)) as catalog:
        (entry,) = catalog.latest(1)
        said = "process {} .*wait for it or end it"
        with suspended(program, folder) as pid, pytest.raises(StorageError, match=said.format(pid)):
            apply_tag_change(catalog, [str(entry.record.id)], make_tag_change(["sea"]))
        apply_tag_change(catalog, [str(entry.record.id)], make_tag_change(["sea"]))


def test_pictures_are_kept_meanwhile_and_entered_later(
    folder: Path,
    make_record: Callable[..., Record],
    make_image: Callable[..., Image.Image],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:

        def keep(seed: int) -> Path:
            (writing,) = studio.keep_drawn([(lambda: make_image(seed), make_record(seed=seed))])
            return writing.result().path

        with suspended(TABLES, folder):
            assert all(keep(seed).exists() for seed in (1, 2))
        assert "entered later" in capsys.readouterr().err
        assert set(studio.history(source="local")["seed"]) == {1, 2}
