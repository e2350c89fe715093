"""The package as users get it: wheel, sdist, and what importing it loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from jupyter_client.kernelspec import get_kernel_spec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
WEIGHTS = "imagen_nb/backends/tiny/weights"
EMBEDDER = "imagen_nb/frames/plugins/tiny_embedder/weights"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.mark.slow
def test_the_wheel_holds_the_weights_and_the_licence(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    assert f"{WEIGHTS}/model_index.json" in names
    assert f"{WEIGHTS}/transformer/diffusion_pytorch_model.safetensors" in names
    assert {f"{EMBEDDER}/config.json", f"{EMBEDDER}/model.safetensors"} <= set(names)
    assert "imagen_nb/py.typed" in names
    local = "imagen_nb/cloud/local"
    assert {f"{local}/server.mjs", f"{local}/package-lock.json"} <= set(names)
    code = [path.name for path in (ROOT / "imagen_nb" / "widgets").glob("*.[jc]s*")]
    assert {"gallery.js", "panel.js", "panel.css"} <= {*code}
    assert {f"imagen_nb/widgets/{name}" for name in code} <= set(names)
    migrations = {f"imagen_nb/sql/{path.name}" for path in (ROOT / "sql").glob("*.sql")}
    assert {name for name in names if name.startswith("imagen_nb/sql/")} == migrations
    assert {"imagen_nb/notebooks/batch.ipynb", "imagen_nb/batch/results/batch.css"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


@pytest.mark.slow
def test_the_wheel_asks_for_a_kernel_without_any_extra(built: dict[str, Path]) -> None:
    wheel = zipfile.ZipFile(built["wheel"])
    (place,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    asked = message_from_bytes(wheel.read(place)).get_all("Requires-Dist", [])
    kernels = [one for one in map(Requirement, asked) if one.name == "ipykernel"]
    assert [one.marker for one in kernels] == [None]


@pytest.mark.slow
def test_the_sdist_holds_what_the_tests_need(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"{WEIGHTS}/model_index.json", "tests/conftest.py", "constraints.txt", "LICENSE"}
    assert wanted <= names


@pytest.mark.slow
def test_the_wheel_works_with_the_source_out_of_reach(
    built: dict[str, Path], tmp_path: Path
) -> None:
    """The dependencies come from this environment; imagen_nb itself from the wheel only."""
    venv.create(tmp_path / "venv", with_pip=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--no-deps", "--quiet", str(built["wheel"])]
    subprocess.run(install, check=True)
    # A path file would run this environment's own .pth files, the editable install among them.
    dependencies = sysconfig.get_path("purelib")
    environment = {"PYTHONPATH": f"{site}:{dependencies}", "HOME": str(tmp_path)}
    code = "import imagen_nb; print(imagen_nb.__file__); print(imagen_nb._version.__version__)"
    done = subprocess.run(
        [str(python), "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(tmp_path / "venv")), done.stderr
    imagen = str(tmp_path / "venv" / "bin" / "imagen")
    told = subprocess.run([imagen, "--help"], env=environment, cwd=tmp_path, capture_output=True)
    assert (told.returncode, told.stderr) == (0, b"")
    assert b"generate" in told.stdout
    command = [imagen, "generate", "a red boat", "--steps", "1"]
    drawn = subprocess.run(
        [*command, "--backend", "flux-tiny-local", "--output", str(tmp_path / "out")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, imagen_nb\n"
        "heavy = ('torch', 'diffusers', 'pandas', 'pydantic', 'PIL')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import imagen_nb

    assert all(getattr(imagen_nb, name) is not None for name in imagen_nb.__all__)
    with pytest.raises(AttributeError, match="nothing_like_that"):
        imagen_nb.nothing_like_that  # noqa: B018


def test_the_conda_environment_asks_for_what_the_package_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (item["pip"] for item in conda if isinstance(item, dict))
    renamed = {"pytorch": "torch"}
    listed = set()
    for item in [*(item for item in conda if isinstance(item, str)), *pip]:
        name, bound, version = item.partition(">=")
        listed.add(renamed.get(name, name).replace("_", "-") + bound + version)
    wanted = {*project["dependencies"], f"python{project['requires-python']}"}
    assert listed - {"pip", "-e ."} == wanted


def installed_with(requirements: Iterable[str]) -> set[str]:
    """The distributions that pip brings with these, as far as they are in this environment."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with suppress(PackageNotFoundError):  # what another platform needs
            waiting += map(Requirement, distribution(name).requires or ())
    return found


def imported_in(folder: Path) -> set[str]:
    """The packages that the code of a folder imports, wherever it does."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found - {"imagen_nb", *sys.stdlib_module_names}


def test_a_plain_install_brings_the_kernel_and_all_else_that_a_batch_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = installed_with(project["dependencies"])
    owners = packages_distributions()
    needed = {*imported_in(ROOT / "imagen_nb" / "batch"), "ipykernel_launcher"}
    assert {"papermill", "IPython", "distributed", "ipykernel_launcher"} <= needed
    lacking = {name for name in needed if plain.isdisjoint(map(canonicalize_name, owners[name]))}
    assert lacking == {"distributed"}  # which the extra dask brings


def test_the_kernel_of_our_notebook_is_the_one_that_is_installed() -> None:
    notebook = json.loads((ROOT / "notebooks" / "batch.ipynb").read_text())
    name = notebook["metadata"]["kernelspec"]["name"]
    assert "ipykernel_launcher" in get_kernel_spec(name).argv


def test_every_direct_dependency_has_a_tried_version_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()[2:]]
    tried = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(tried[canonicalize_name(wanted.name)]), text


def test_the_version_is_written_the_same_everywhere() -> None:
    import imagen_nb

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == imagen_nb.__version__
    assert f"## {imagen_nb._version.__version__}" in (ROOT / "CHANGELOG.md").read_text()
