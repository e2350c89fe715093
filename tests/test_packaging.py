"""The package as users get it: wheel, sdist, and what importing it loads."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from jupyter_client.kernelspec import get_kernel_spec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures.plain_environment import installed_with, plain_environment
from tests.fixtures.readme_driver import sections
from tests.fixtures.supabase_fixtures import npm_as_at_home

ROOT = Path(__file__).parent.parent
SECTIONS = sections((ROOT / "README.md").read_text(encoding="utf-8"))
AUTHORITIES = os.environ.get("SSL_CERT_FILE")  # of this machine, before tests have their own
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
def test_wheel_and_sdist_have_the_version_of_the_package(built: dict[str, Path]) -> None:
    import imagen_nb

    assert built["wheel"].name.split("-")[1] == imagen_nb.__version__
    assert built["sdist"].name == f"imagen_nb-{imagen_nb.__version__}.tar.gz"


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
    wanted |= {"SECURITY.md", "CITATION.cff", "conda/recipe/recipe.yaml", "biome.json"}
    assert wanted <= names


@pytest.fixture(scope="module")
def plain_python(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and what it asks for, no extra, no source."""
    return plain_environment(tmp_path_factory.mktemp("plain") / "venv", built["wheel"])


def told_by(python: Path, *arguments: str, home: Path) -> str:
    """What a program of that Python puts out, in an empty home; it must succeed."""
    environment = os.environ | {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(python), *arguments]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def sections_done(python: Path, home: Path, *wanted: str) -> dict[str, dict[str, int]]:
    """What the sections of README did when that Python followed them."""
    driver = str(ROOT / "tests" / "fixtures" / "readme_driver.py")
    arguments = [driver, str(ROOT / "README.md"), str(home), *wanted]
    lines = told_by(python, *arguments, home=home).splitlines()
    return {done.pop("section"): done for done in map(json.loads, lines)}


@pytest.mark.slow
def test_the_wheel_works_with_the_source_out_of_reach(plain_python: Path, tmp_path: Path) -> None:
    code = (
        "import imagen_nb\n"
        "from importlib.util import find_spec\n"
        "print(*map(find_spec, ['pytest', 'peft', 'dask']))\n"
        "from importlib.metadata import entry_points\n"
        "print(imagen_nb.__file__)\n"
        "(command,) = entry_points(group='console_scripts', name='imagen')\n"
        "command.load()(['--help'])"
    )
    absent, place, *told = told_by(plain_python, "-c", code, home=tmp_path).splitlines()
    assert absent == "None None None"
    assert place.startswith(str(plain_python.parents[1]))
    assert any("generate" in line for line in told)


@pytest.mark.slow
def test_without_any_extra_each_section_of_the_readme_works(
    plain_python: Path, tmp_path: Path
) -> None:
    """All but the Supabase, for which npm fetches packages: the long form has that too."""
    wanted = [title for title in SECTIONS if title != "Your Supabase"]
    done = sections_done(plain_python, tmp_path, *wanted)
    assert {title for title in done if done[title]} == {
        "Install",
        "In a notebook",
        "Find",
        "In the shell",
        "Batches",
        "What was made",
    }
    assert (tmp_path / "runs" / "results.csv").is_file()


@pytest.mark.soak
def test_pip_installs_the_wheel_alone_into_an_empty_environment_and_the_readme_works(
    built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    if AUTHORITIES:
        monkeypatch.setenv("SSL_CERT_FILE", AUTHORITIES)
    home = tmp_path / "home"
    home.mkdir()
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    options = ["--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt")]
    install = [str(python), "-m", "pip", "install", *options, str(built["wheel"])]
    subprocess.run(install, check=True)
    for absent in ("pytest", "jupyterlab", "peft", "distributed"):
        told_by(
            python,
            "-c",
            f"import importlib.util as u; assert not u.find_spec({absent!r})",
            home=home,
        )
    with npm_as_at_home():
        done = sections_done(python, home)
    assert done.keys() == SECTIONS.keys()
    assert done["Your Supabase"] == {"imagen": 4}
    assert (
        b"generate"
        in subprocess.run(
            [python.with_name("imagen"), "--help"], check=True, capture_output=True
        ).stdout
    )


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, imagen_nb\n"
        "heavy = ('torch', 'diffusers', 'pandas', 'pydantic', 'PIL', 'matplotlib', 'pyarrow',"
        " 'supabase', 'papermill')\n"
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


def test_the_conda_recipe_asks_for_what_the_package_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = yaml.safe_load((ROOT / "conda/recipe/recipe.yaml").read_text())
    renamed = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    lowest = recipe["context"]["python_min"]
    listed = set()
    for item in recipe["requirements"]["run"]:
        name, _, bound = item.replace("${{ python_min }}", lowest).partition(" ")
        listed.add(renamed.get(name, name).replace("_", "-") + bound)
    assert listed == {*project["dependencies"], f"python{project['requires-python']}"}
    commands = [f"{name} = {place}" for name, place in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == commands


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
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["dev"], *extras["docs"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(tried[canonicalize_name(wanted.name)]), text
