"""What a notebook shows of an error: one line, and the user's own line, not the way through us."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from imagen_nb import errors


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_in_a_folder_named_like_the_package_is_the_users_own(tmp_path: Path) -> None:
    package, beside = tmp_path / "imagen_nb", tmp_path / "imagen_nb_x"
    package.mkdir()
    beside.mkdir()
    ours = load(Path(shutil.copy(str(errors.__file__), package)))
    (beside / "mine.py").write_text("def fail(error):\n    raise error\n")
    with pytest.raises(ours.UsageError) as caught:
        load(beside / "mine.py").fail(ours.UsageError("no"))
    assert caught.value._render_traceback_()[1:] == ["line 2: raise error"]
