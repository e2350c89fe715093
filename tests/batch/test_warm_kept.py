"""What a warm kernel keeps: what it is for, and what docs/batches.md says is not isolated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_nb.batch.warm import kernels
from tests.fixtures.warm_notebooks import process, run, value

DRAW = (
    "import imagen_nb as im\n"
    "picture = im.generate('a red boat', backend='flux-tiny-local', seed={seed}, progress=False,\n"
    "                      cloud=False, output={folder!r})\n"
    "from imagen_nb.backends.flux.drawing.loaded import in_memory\n"
    "(one,) = in_memory()\n"
    "id(one.pipeline())"
)


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> Iterator[None]:
    yield
    kernels.close_kernel()


def test_the_pipeline_stays_loaded_and_the_session_does_not(tmp_path: Path) -> None:
    folder = str(tmp_path / "pictures")
    kernel = process()
    first = value(DRAW.format(seed=1, folder=folder), job_timeout=120)  # it imports torch
    looks = "import imagen_nb.studio.default; imagen_nb.studio.default._default is None"
    assert value(looks) == "True"
    assert value(DRAW.format(seed=2, folder=folder)) == first
    assert process() == kernel
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2


def test_a_session_takes_the_settings_of_its_own_notebook(tmp_path: Path) -> None:
    look = "import imagen_nb as im; str(im.configure().settings.output.dir)"
    run(f"import imagen_nb as im; im.configure(output={{'dir': {str(tmp_path)!r}}})")
    assert ast.literal_eval(value(look)) != str(tmp_path)


def test_models_are_given_up_before_the_kernel_is(tmp_path: Path) -> None:
    kernel = process()
    run(DRAW.format(seed=1, folder=str(tmp_path)), job_timeout=120)
    look = "from imagen_nb.backends.flux.drawing.loaded import in_memory; len(in_memory())"
    assert value(look) == "1"
    run(
        "import imagen_nb.batch.warm.clean as c; c._fresh_kernel._memory.left(1)"
    )  # any weight is too much
    assert value(look) == "0"
    assert process() == kernel


NOT_ISOLATED = {
    "files": ("open('left.txt', 'w').close()", "__import__('os').path.exists('left.txt')"),
    "data that it adds to a library": (
        "import numpy; numpy.leak = 1",
        "hasattr(__import__('numpy'), 'leak')",
    ),
    "data in a library's class": (
        "import pydantic; pydantic.BaseModel.leak = 1",
        "hasattr(__import__('pydantic').BaseModel, 'leak')",
    ),
    "a daemon thread of a library": (
        "import logging.handlers, queue\nlogging.handlers.QueueListener(queue.Queue()).start()",
        "sum('_monitor' in t.name for t in __import__('threading').enumerate())",
    ),
}


@pytest.mark.parametrize("what", NOT_ISOLATED)
def test_it_is_documented_that_the_next_notebook_finds(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    leak, look = NOT_ISOLATED[what]
    before, kernel = value(look), process()
    run(leak)
    assert value(look) != before
    assert process() == kernel
