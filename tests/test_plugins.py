"""The example package installs, its four plug-ins work, and the cookbook quotes its files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "imagen-nb-plugins"
COOKBOOK = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = [EXAMPLE / "pyproject.toml", *sorted((EXAMPLE / "imagen_nb_plugins").glob("*.py"))]

USE_ALL_FOUR = """
import json, sys
from pathlib import Path

import imagen_nb as im
from imagen_nb.frames.plugins.embedders import make_embedder

folder = Path(sys.argv[1])
linear = {"type": "gradient", "mode": "linear"}
im.configure(output={"dir": str(folder / "pictures")}, backend=linear)
frame = im.sweep("a boat", seeds=range(4), tags=["sea"], progress=False).frame()
radial = im.generate("a boat", seed=1, backend="gradient", mode="radial", progress=False)
try:
    im.generate("a boat", backend="gradient", mode="square")
except im.UsageError as error:
    refused = str(error)
first = frame.imagen.open(0)
colours = make_embedder()
print(json.dumps({
    "reproduced": [im.reproduce(each).identical for each in (frame.iloc[1], radial)],
    "radial": radial.record.options,
    "refused": refused,
    "similar": frame.imagen.similar(0, n=2, embedder="colours")["similarity"].tolist(),
    "like_red": colours.embed_texts(["a Red boat", "blue"]).tolist(),
    "scores": frame.imagen.score("colourfulness")["colourfulness"].tolist(),
    "exported": frame.imagen.export(folder / "set", format="captions")["path"].tolist(),
    "heavy": [name for name in ("torch", "diffusers") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of it, in a process that has the package as pip installs it."""
    folder = tmp_path_factory.mktemp("plugins")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*pip, *offline, str(EXAMPLE)], check=True)
    path = os.pathsep.join([str(folder / "site"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", USE_ALL_FOUR, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {"folder": folder, **json.loads(done.stdout)}


class TestExample:
    def test_its_backend_draws_keeps_options_and_repeats_without_torch(
        self, used: dict[str, Any]
    ) -> None:
        assert used["reproduced"] == [True, True]
        assert used["radial"] == {"mode": "radial"}
        assert used["refused"] == "mode is linear or radial, not square"
        assert used["heavy"] == []
        for path in (used["folder"] / "pictures").glob("*.png"):
            with Image.open(path) as file:
                assert file.size == (128, 128)

    def test_its_embedder_finds_what_is_alike(self, used: dict[str, Any]) -> None:
        first, second = used["similar"]
        assert 1 >= first >= second >= 0
        red, blue = used["like_red"]
        assert red.index(1.0) == 3
        assert red != blue

    def test_its_scorer_gives_each_picture_a_number(self, used: dict[str, Any]) -> None:
        assert len(used["scores"]) == 4
        assert len({*used["scores"]}) == 4
        assert all(score > 0 for score in used["scores"])

    def test_its_exporter_writes_captions_beside_the_pictures(self, used: dict[str, Any]) -> None:
        names = {path.name for path in (used["folder"] / "set").iterdir()}
        pictures = {Path(path).name for path in used["exported"]}
        assert len(pictures) == 4
        assert names == pictures | {name.replace(".png", ".txt") for name in pictures}
        texts = {path.read_text() for path in (used["folder"] / "set").glob("*.txt")}
        assert texts == {"a boat, sea\n"}

    def test_each_file_can_be_read_in_a_minute(self) -> None:
        assert len(FILES) == 6
        long = {path.name: len(path.read_text().splitlines()) for path in FILES}
        assert {name: lines for name, lines in long.items() if lines > 60} == {}


def test_the_cookbook_quotes_the_example_as_it_is() -> None:
    quoted = re.findall(r"^```(?:python|toml)\n(.*?)^```$", COOKBOOK, re.MULTILINE | re.DOTALL)
    assert len(quoted) >= 6
    texts = [path.read_text(encoding="utf-8") for path in FILES]
    assert [part for part in quoted if not any(part in text for text in texts)] == []
