"""Kernels: whether one is there, what it starts, and what to do where it is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from imagen_nb.system.kernels import explain_missing_kernel, find_kernel, is_program


def test_the_kernel_of_this_environment_starts_this_python() -> None:
    assert find_kernel("python3") == sys.executable
    assert is_program(sys.executable)


def test_a_kernel_of_another_python_is_told_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kernels" / "other"
    place.mkdir(parents=True)
    spec = {"argv": ["/opt/other/python", "-m", "ipykernel"], "display_name": "Other"}
    (place / "kernel.json").write_text(json.dumps(spec | {"language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert find_kernel("other") == "/opt/other/python"
    assert not is_program("/opt/other/python")


@pytest.mark.usefixtures("no_kernels")
def test_where_there_is_none_the_remedy_is_told() -> None:
    assert find_kernel("python3") is None
    assert explain_missing_kernel("python3") == "pip install ipykernel"
    assert "jupyter kernelspec list" in explain_missing_kernel("julia")
