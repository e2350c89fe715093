"""What the package asks for is read from its metadata, and compared with what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_nb.system.installed import load_libraries, pip_install, python_bounds


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts the metadata of a distribution on the path, before what is installed."""

    def describe(name: str, version: str, *lines: str) -> None:
        place = tmp_path / f"{name}-{version}.dist-info"
        place.mkdir()
        head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
        (place / "METADATA").write_text("\n".join([*head, *lines, ""]))

    monkeypatch.syspath_prepend(tmp_path)
    return describe


@pytest.fixture
def asking(described: Callable[..., None]) -> None:
    described(
        "imagen_nb",
        "0.1.0",
        "Requires-Python: >=3.11",
        "Requires-Dist: pandas>=3",
        "Requires-Dist: pywin32>=300; sys_platform == 'win32'",
        "Requires-Dist: nowhere-to-be-found>=1",
        "Provides-Extra: lora",
        "Requires-Dist: peft>=0.19; extra == 'lora'",
        "Provides-Extra: dev",
        "Requires-Dist: pytest>=8; extra == 'dev'",
    )


@pytest.mark.usefixtures("asking")
def test_each_is_told_with_its_bounds_its_version_and_its_extra(
    described: Callable[..., None],
) -> None:
    described("pandas", "2.3.1")
    described("peft", "0.20.0")
    told = {one.name: (one.bounds, one.version, one.extra, one.fits) for one in load_libraries()}
    assert told == {  # neither what another platform needs, nor what developers do
        "pandas": (">=3", "2.3.1", "", False),
        "nowhere-to-be-found": (">=1", None, "", False),
        "peft": (">=0.19", "0.20.0", "lora", True),
    }
    assert python_bounds() == ">=3.11"


def test_a_release_candidate_within_the_bounds_will_do(
    asking: None, described: Callable[..., None]
) -> None:
    described("pandas", "3.1.0rc1")
    (pandas,) = (one for one in load_libraries() if one.name == "pandas")
    assert pandas.fits


def test_the_line_that_installs_is_safe_in_a_shell() -> None:
    assert pip_install(["pandas>=3", "tqdm"]) == 'pip install "pandas>=3" "tqdm"'
