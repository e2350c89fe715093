"""Every test runs in an empty home, with nothing of the machine's own settings."""

from __future__ import annotations

import datetime
import gc
import itertools
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from PIL import Image
from xdist.scheduler import LoadFileScheduling

from imagen_nb.cloud import connection
from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.frames.schema import history_frame, history_table
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.default import using
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.studio import Studio
from tests.fixtures.forked_python import forked_kernels, forked_python
from tests.fixtures.pictures import wait_little
from tests.fixtures.signing import signing_settings

pytest_plugins = ["tests.fixtures.supabase_fixtures"]

DAY = datetime.date(2026, 5, 11)
AUTHORITY = Path(__file__).parent / "fixtures" / "authority.pem"  # one, whose key is gone

settings.register_profile("imagen", deadline=None)  # machines are busy; speed is bench's to judge
settings.load_profile("imagen")


class _ByFile(LoadFileScheduling):
    """A file's tests run in one process, and all that look into JupyterLab in the same.

    So there is one JupyterLab, and fixtures of modules are made once. (Groups of pytest-xdist 3.8
    are without effect in pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "lab" if file.startswith("tests/browser/") and file not in _NOT_IN_LAB else file


_homes = itertools.count()
_NOT_IN_LAB = {
    f"tests/browser/test_{name}.py" for name in ("elsewhere", "report_page", "batch_page")
}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


# The files that take longest: at the end, no process waits for another's.
_FIRST = ("tests/test_", "tests/browser/", "tests/widgets/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
    for item in items:
        if sys.platform == "win32" and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs what Windows has not"))


def pytest_collection_finish() -> None:
    """Collecting garbage looks at a million objects of libraries, each time a model is freed."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    # Not by `mktemp`, which looks at all folders there are, for each test.
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))
    home.mkdir(0o700, parents=True)
    for name in os.environ:
        if name.startswith(("IMAGEN_", "XDG_", "SUPABASE_", "REPLICATE_", "HF_", "PAPERMILL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Nothing here speaks TLS, but each client of httpx loads all authorities, in 30 ms.
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Python, forked from one process that has imported torch, which takes it 8 s."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("only Linux has what waits for a forked process")
    # A short path: sockets' names have at most 107 bytes.
    with forked_python(tmp_path_factory.mktemp("k")) as python:
        yield python


@pytest.fixture(scope="session")
def kernels(quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for JUPYTER_PATH with kernels that are forked from a process with torch."""
    return forked_kernels(quick_python, tmp_path_factory.mktemp("jupyter"))


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: $IMAGEN_TEST_SHOTS, to be looked at, or a folder of the session."""
    named = os.environ.get("IMAGEN_TEST_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def quick_kernels(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kernels are these."""
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `pip uninstall ipykernel`: its code is gone, and its entry in share/jupyter."""
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)
    monkeypatch.setattr("jupyter_client.kernelspec.jupyter_path", lambda *parts: [])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever connects to anything fails the test."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"reached for the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for the cloud, and between attempts, as short as they can be."""
    for name in ("_backoff", "_MAX_RETRY_AFTER_S", "SENDER_TIMEOUTS"):
        monkeypatch.setattr(connection, name, getattr(connection, name))  # put back afterwards
    wait_little()


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A record as a Studio makes it, with whatever fields the test cares about."""

    def make(**fields: Any) -> Record:
        usual = {
            "prompt": "a tiny lighthouse on a stormy cliff, photo",
            "backend": "flux-tiny-local",
            "model": "flux-tiny",
            "seed": 11,
            "steps": 4,
            "width": 32,
            "height": 16,
            "latency_ms": 120,
            "cost_usd_estimate": 0.0,
            "guidance": 0.0,
            "max_sequence_length": 64,
            "scheduler": "FlowMatchEulerDiscreteScheduler",
            "dtype": "float32",
            "device": "cpu",
            "versions": {"imagen_nb": "0.1.0", "torch": "2.13.0"},
        }
        return Record(**(usual | fields))

    return make


@pytest.fixture
def make_image() -> Callable[..., Image.Image]:
    """A small RGB picture, another one for each shade."""

    def make(shade: int = 0, size: tuple[int, int] = (32, 16)) -> Image.Image:
        image = Image.linear_gradient("L").resize(size).convert("RGB")
        image.putpixel((0, 0), (shade % 256, shade // 256 % 256, 0))
        return image

    return make


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> ProvenanceSettings:
    """Settings that sign every picture, with a certificate of the tests' own."""
    return signing_settings(tmp_path_factory.mktemp("signing"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go; not there yet."""
    return tmp_path / "pictures"


EVIL = (
    "<img src=x onerror=alert(1)>",
    '"><script>window.ran = true</script><style>*{background:url(//127.0.0.1:9/)}</style>',
    "\u202eright to left \u2066 שלום",
    "مرحبا قارب أحمر",
    "x" * 10_000,
    "👩\u200d👩\u200d👧 boats 🚤",
    "a nul \0, and\nnew\r\nlines",
    "&" * 500 + "'\"" * 500,
    "$\\frac{",
    "",
)


@pytest.fixture
def evil_history(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """A history of so many pictures whose texts would like to be more than text.

    `noise`: pixels of a side of the pictures, which then are files of pure noise.
    """

    def make(count: int, noise: int | None = None) -> pd.DataFrame:
        rng = np.random.default_rng(11)
        paths: list[str | None] = [None] * count
        for number in range(count if noise else 0):
            paths[number] = str(tmp_path / f"{number}.png")
            pixels = rng.integers(0, 256, (noise, noise, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(paths[number], compress_level=0)
        table = history_table(
            {
                "id": [str(UUID(int=number)) for number in range(count)],
                "prompt": [EVIL[number % len(EVIL)] for number in range(count)],
                "backend": [EVIL[number % 3] for number in range(count)],
                "model": [None if number % 2 else EVIL[1] for number in range(count)],
                "seed": [number % 5 for number in range(count)],
                "steps": [4 + number % 3 for number in range(count)],
                "width": [noise or 128] * count,
                "height": [noise or 128] * count,
                "latency_ms": [None if number % 7 == 0 else number for number in range(count)],
                "cost_usd_estimate": [(None, 0.0, 0.003)[number % 3] for number in range(count)],
                "storage_path": [f"2026-05-11/{number}.png" for number in range(count)],
                "tags": [list(EVIL[: number % 3]) for number in range(count)],
                "created_at": [
                    f"2026-05-{11 + number % 9}T12:00:00+00:00" for number in range(count)
                ],
                "local_path": paths,
                "cloud": [("synced", "failed: <b>")[number % 2] for number in range(count)],
            },
            count,
        )
        return history_frame(table)

    return make


@pytest.fixture
def session() -> Iterator[Callable[[Studio], Studio]]:
    """Makes a Studio the default one until the test ends, which closes it."""
    with ExitStack() as stack:

        def use(studio: Studio) -> Studio:
            stack.enter_context(studio)
            stack.enter_context(using(studio))
            return studio

        yield use


@pytest.fixture
def made(
    folder: Path,
    session: Callable[[Studio], Studio],
    make_record: Callable[..., Record],
    make_image: Callable[..., Image.Image],
) -> Callable[..., pd.DataFrame]:
    """The history of pictures on this machine, of these prompts and of seeds from `first` on."""
    studio = session(Studio({"output": {"dir": str(folder)}}))

    def make(
        *prompts: str, first: int = 0, size: tuple[int, int] = (32, 16), **fields: Any
    ) -> pd.DataFrame:
        pictures = []
        for seed, prompt in enumerate(prompts, first):
            record = make_record(prompt=prompt, seed=seed, width=size[0], height=size[1], **fields)
            kept = PictureFiles(folder).save(make_image(seed, size), record, DAY)
            studio.catalog().add(kept, "off")
            pictures.append(Picture(kept.record, kept.path, kept.sidecar_path, studio.catalog()))
        return Pictures(pictures).frame()

    return make
