"""The widgets' JavaScript: each file is a module, and together they are one."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.cloud.local.node import find_node
from imagen_nb.widgets import script

_CLASS = re.compile(r"\.imagen-[a-z-]+")
FILES = sorted(Path(script.__file__).parent.glob("*.js"))


def check(code: str, folder: Path) -> str:
    """What Node says of a module; nothing when it can be read."""
    (folder / "code.mjs").write_text(code, encoding="utf-8")
    command = [str(find_node().node), "--check", str(folder / "code.mjs")]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_a_module_whose_imports_are_there_and_used(path: Path, tmp_path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert check(code, tmp_path) == ""
    for names, module in re.findall(r'import \{([^}]*)\} from "\./(\w+)\.js"', code):
        given = (path.parent / f"{module}.js").read_text(encoding="utf-8")
        for name in map(str.strip, names.split(",")):
            assert f"export const {name} " in given
            assert len(re.findall(rf"\b{name}\b", code)) > 1, f"{name} is not used"


@pytest.mark.parametrize("widget", [im.Gallery, im.Compare, im.Duel, im.Panel])
def test_together_they_are_one_module(widget: type, tmp_path: Path) -> None:
    code = str(widget._esm)
    assert check(code, tmp_path) == ""
    assert re.findall(r"^(?:import|export).*", code, re.MULTILINE) == ["export default { render };"]


def test_only_one_to_five_are_stars(tmp_path: Path) -> None:
    """Rows of the cloud can have any tags: a gallery shows them, too."""
    code = (Path(script.__file__).parent / "cards.js").read_text(encoding="utf-8")
    tags = [["keeper", "rating:4"], [], ["rating:-1"], ["rating:1e9", "rating:2"], ["rating:55"]]
    asked = f"console.log(JSON.stringify({json.dumps(tags)}.map(starCount)));"
    (tmp_path / "cards.mjs").write_text(f"{code}\n{asked}", encoding="utf-8")
    command = [str(find_node().node), str(tmp_path / "cards.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [4, 0, 0, 2, 0]


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    assert "SyntaxError" in check("const a = 1;\nconst a = 2;", tmp_path)


def test_no_style_of_one_widget_applies_to_another() -> None:
    """They are on one page: names of classes are the page's."""
    panel = (Path(script.__file__).parent / "panel.css").read_text(encoding="utf-8")
    sheets = (str(im.Gallery._css), panel, str(im.Duel._css))
    gallery, own, duel = ({*_CLASS.findall(sheet)} for sheet in sheets)
    assert len(gallery) > 5
    assert len(own) > 5
    assert not (gallery | duel) & own
