"""Folders of FLUX layout for the tests, each written once."""

from __future__ import annotations

import logging
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import pytest
from huggingface_hub import constants

from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.drawing import loaded
from imagen_nb.studio.studio import Studio
from tests.fixtures import flux_layout
from tests.fixtures.replicate_server import TOKEN, Replicate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def schnell_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = flux_layout.new_pipeline(guidance_embeds=False)
    return flux_layout.saved(tmp_path_factory.mktemp("layout") / "schnell-like", pipeline)


@pytest.fixture(scope="session")
def dev_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = flux_layout.new_pipeline(guidance_embeds=True)
    return flux_layout.saved(tmp_path_factory.mktemp("layout") / "dev-like", pipeline)


@pytest.fixture(scope="session")
def fill_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = flux_layout.new_fill_pipeline()
    return flux_layout.saved(tmp_path_factory.mktemp("layout") / "fill-like", pipeline)


@pytest.fixture(scope="session")
def kontext_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = flux_layout.new_kontext_pipeline()
    return flux_layout.saved(tmp_path_factory.mktemp("layout") / "kontext-like", pipeline)


@pytest.fixture(scope="session")
def klein_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = flux_layout.new_klein_pipeline()
    return flux_layout.saved(tmp_path_factory.mktemp("layout") / "klein-like", pipeline)


@pytest.fixture(params=["schnell", "dev"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Each layout in turn."""
    path: Path = request.getfixturevalue(f"{request.param}_folder")
    return path


@pytest.fixture
def schnell_like(schnell_folder: Path) -> FluxBackend:
    return custom(str(schnell_folder))


@pytest.fixture
def dev_like(dev_folder: Path) -> FluxBackend:
    return custom(str(dev_folder))


@pytest.fixture
def copied(schnell_folder: Path, tmp_path: Path) -> Path:
    """A folder of its own, to break."""
    return Path(shutil.copytree(schnell_folder, tmp_path / "broken"))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # Models of other tests, which go by the same names, may not have been collected.
    monkeypatch.setattr(loaded, "_LOADED_MODELS", WeakValueDictionary())
    return tmp_path / "hub"


@pytest.fixture
def fetched(hub_cache: Path) -> Callable[[str, Path], Path]:
    """Puts a folder into the cache as `hf download` would have, under a Hugging Face id."""

    def fetch(model: str, folder: Path) -> Path:
        place = hub_cache / f"models--{model.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0123abcd")
        return Path(shutil.copytree(folder, place / "snapshots" / "0123abcd"))

    return fetch


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What diffusers and transformers log, which are set to tell all."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    records: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = records.append  # type: ignore[method-assign]
    before = [(library, library.get_verbosity()) for library in (diffusers, transformers)]
    # Not by the libraries' own functions: transformers 5.6 cannot remove a handler.
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    for library, _ in before:
        library.set_verbosity_info()
        library.enable_progress_bar()
    for logger in loggers:
        logger.addHandler(listener)
    yield records
    for library, verbosity in before:
        library.set_verbosity(verbosity)
    for logger in loggers:
        logger.removeHandler(listener)


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The backends of pyproject.toml are there, though an older install does not say so.

    Gives the folder that says it, for other processes.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = tmp_path / "installed" / "imagen_nb-0.1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: imagen_nb\nVersion: 0.1.0\n")
    points = project["entry-points"]["imagen_nb.backends"].items()
    lines = [f"{name} = {where}\n" for name, where in points]
    (place / "entry_points.txt").write_text("".join(["[imagen_nb.backends]\n", *lines]))
    monkeypatch.syspath_prepend(place.parent)
    return place.parent


@pytest.fixture
def studio_at(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Studio]]:
    """Makes a Studio that draws at a server of `replicate_server`."""
    made = []

    def make(server: Replicate, **settings: object) -> Studio:
        monkeypatch.setenv("REPLICATE_BASE_URL", server.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        here = {"backend": "flux-dev-replicate", "output": {"dir": str(tmp_path / "out")}}
        made.append(Studio({**here, **settings}))
        return made[-1]

    yield make
    for studio in made:
        studio.close()
