"""Every public name has an example in its docstring, and each of them runs."""

from __future__ import annotations

import doctest
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb import analysis
from imagen_nb.studio.default import using
from imagen_nb.widgets.accessor import Accessor
from tests.fixtures.supabase_fixtures import TwoUsers, settings

OWNERS = (im.Studio, im.Picture, im.Pictures, im.RemoteJob, im.Study, im.SyncReport, Accessor)


class AnyOutput(doctest.OutputChecker):
    """What an example shows must be what it gives; where it shows nothing, anything is right."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def public_members(owner: type) -> Iterator[str]:
    """The methods and properties that a class of ours defines; no fields, nothing of Python's."""
    for name, value in inspect.getmembers_static(owner):
        function = value.fget if isinstance(value, property) else inspect.unwrap(value)
        is_method = inspect.isfunction(function) and not name.startswith("_")
        if is_method and function.__module__.startswith("imagen_nb."):
            yield name


def documented() -> dict[str, str]:
    """The docstrings of all that is public, by name."""
    found = {"imagen_nb": im.__doc__ or ""}
    for name in {*im.__all__} - {"__version__"}:
        found[name] = inspect.getdoc(getattr(im, name)) or ""
    for name in analysis.__all__:
        if callable(getattr(analysis, name)):
            found[f"analysis.{name}"] = inspect.getdoc(getattr(analysis, name)) or ""
    for owner in OWNERS:
        for name in public_members(owner):
            found[f"{owner.__name__}.{name}"] = inspect.getdoc(getattr(owner, name)) or ""
    return found


DOCUMENTED = documented()
EXAMPLES = {text: name for name, text in sorted(DOCUMENTED.items()) if ">>> " in text}


def test_every_public_name_and_method_has_an_example() -> None:
    assert len(DOCUMENTED) > 90
    assert [name for name, text in DOCUMENTED.items() if ">>> " not in text] == []


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory, local_supabase: TwoUsers) -> dict[str, Any]:
    """The settings of all examples' sessions: a folder, and a Supabase."""
    folder = tmp_path_factory.mktemp("pictures")
    return settings(folder, local_supabase) | {"backend": "flux-tiny-local", "steps": 1}


@pytest.fixture(scope="module")
def pictures(values: dict[str, Any]) -> Iterator[im.Pictures]:
    with im.Studio(values, background=False) as studio:
        pictures = studio.sweep("a {red|blue} boat", seeds=range(2), progress=False)
        space = {"prompt": "a {red|blue} boat", "steps": (1, 2)}
        studio.optimize(space, score="sharpness", trials=2, seeds=[0], name="boats")
        studio.sync()
        yield pictures


@pytest.fixture
def names(
    values: dict[str, Any], pictures: im.Pictures, request: pytest.FixtureRequest
) -> Iterator[dict[str, Any]]:
    """What examples may take for granted: a session, pictures, their history, a job, a study."""
    text = request.node.callspec.params["text"]
    with im.Studio(values, background=False) as studio, using(studio):
        job = None
        if "job" in text:
            job = studio.generate("a boat", backend="remote:flux-tiny-local", wait=False)
            job.cancel()
        yield {
            "im": im,
            "analysis": analysis,
            "studio": studio,
            "picture": pictures[0],
            "pictures": pictures,
            "job": job,
            "study": studio.optimize(name="boats") if "study" in text else None,
            "threading": threading,
            "Path": Path,
            "df": pictures.frame(),
        }
    if "delete" in text:
        with im.Studio(values, background=False) as studio:  # examples may close theirs
            for one in studio.trash():
                studio.restore(one.id)


@pytest.mark.slow
@pytest.mark.parametrize("text", EXAMPLES, ids=EXAMPLES.values())
def test_it_runs(
    text: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(AnyOutput(), optionflags=flags)
    parser = doctest.DocTestParser()
    example = parser.get_doctest(text, names, EXAMPLES[text], EXAMPLES[text], 0)
    said: list[str] = []
    runner.run(example, out=said.append)
    assert runner.failures == 0, "".join(said)
