"""A job's request is data from outside: what it may ask for, and that it names no path here."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from imagen_nb.cloud.errors import ObjectMissingError
from imagen_nb.config.groups import WorkSettings
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.storage.jobs import Job
from imagen_nb.studio.remote.checking import JobChecker, locate_named_lora
from imagen_nb.studio.remote.worker import offered_backends
from imagen_nb.studio.studio import Studio

TINY = "flux-tiny-local"
FLUX = "flux"


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (128, 128), "teal").save(file, "PNG")
    return file.getvalue()


INPUT = hashlib.sha256(png()).hexdigest()


def fetch(sha256: str) -> bytes:
    if sha256 != INPUT:
        raise ObjectMissingError(f"there is no input image with the sha256 {sha256}")
    return png()


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    with Studio({"output": {"dir": str(folder)}, "backend": TINY}, background=False) as studio:
        yield studio


@pytest.fixture
def check(studio: Studio, tmp_path: Path) -> Callable[..., Any]:
    loras = tmp_path / "loras"
    loras.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    bounds = WorkSettings(max_pixels=256 * 256, max_steps=10)
    checker = JobChecker(studio._builder, (TINY, FLUX), bounds, (str(loras),), fetch)

    def check(request: Any, **columns: Any) -> Any:
        job = Job.model_validate({"id": uuid4(), "request": request, **columns})
        return checker.check(job)

    return check


def test_what_is_asked_for_is_completed_as_generate_does(check: Any) -> None:
    id = UUID("11111111-2222-4333-8444-555555555555")
    asked = {"prompt": "a boat", "seed": 3, "steps": 5, "tags": ["sea"], "width": None}
    checked = check(asked, id=id)
    request = checked.request
    assert (checked.backend.name, request.job, checked.id) == (TINY, id, id)
    assert (request.prompt, request.seed, request.steps, request.tags) == ("a boat", 3, 5, ("sea",))
    assert (request.width, request.height) == (128, 128)


def test_an_input_comes_by_its_sha256(check: Any) -> None:
    checked = check({"prompt": "a boat", "init_image": INPUT, "strength": 0.5}, backend=TINY)
    assert checked.request.init_image.sha256 == INPUT


def test_what_it_is_derived_from_is_for_its_record(check: Any) -> None:
    parents = [
        {"how": "like", "id": str(uuid4()), "sha256": "a" * 64},
        {"how": "reproduce", "id": str(uuid4()), "sha256": None},
    ]
    asked = {"prompt": "a boat", "derived_from": parents}
    assert check(asked).request.derived_from == (*parents,)
    assert check({"prompt": "a boat"}).request.derived_from == ()


PARENT = {"how": "like", "id": "11111111-2222-4333-8444-555555555555", "sha256": "a" * 64}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"seed": 1}, "prompt: Field required"),
    "a prompt that is no text": ({"prompt": 5}, "prompt: Input should be a valid string"),
    "a blank prompt": ({"prompt": " \n"}, "the prompt is empty: say what to draw"),
    "an endless prompt": ({"prompt": "a" * 20_001}, "prompt: String should have at most"),
    "a NUL": ({"prompt": "a\0boat"}, "the request has a NUL character: remove it"),
    "a NUL in a tag": ({"tags": ["a\0"]}, "the request has a NUL character: remove it"),
    "half a character": ({"prompt": "a \ud800"}, "half a character (lone surrogate)"),
    "an unknown field": ({"output": "/etc"}, "output: Extra inputs are not permitted"),
    "a memory plan": ({"memory": {"gguf": "/etc/passwd"}}, "memory: Extra inputs are not"),
    "an unknown field with an escape": ({"\x1b[31m": 1}, "Extra inputs are not permitted"),
    "a huge size": ({"width": 100_000, "height": 100_000}, "than the 65536 pixels"),
    "a negative size": ({"width": -100_000, "height": 100_000}, "than the 65536 pixels"),
    "a size of no pixels": ({"width": 0}, "width must be from"),
    "too many steps": ({"steps": 11}, "steps: this worker draws 10 at most, not 11"),
    "no step": ({"steps": 0}, "steps must be from 1"),
    "steps that are no number": ({"steps": "many"}, "steps: Input should be a valid integer"),
    "a seed beyond": ({"seed": 2**53}, "seed: Input should be less than or equal"),
    "a tag that is no line": ({"tags": ["a\nb"]}, "a tag must be a line of text"),
    "another backend": ({"backend": "flux-dev-local"}, f"this worker draws with {TINY}, flux only"),
    "an unknown scheduler": ({"scheduler": "../x"}, "there is no scheduler"),
    "a path as a model": ({"model": "/models/mine", "backend": FLUX}, "model: Value error"),
    "a path from home": ({"model": "~/mine", "backend": FLUX}, "model: Value error"),
    "a way up": ({"model": "../mine", "backend": FLUX}, "model: Value error"),
    "a longer path": ({"model": "a/b/c", "backend": FLUX}, "model: Value error"),
    "a folder here": ({"model": "models/mine", "backend": FLUX}, "no model of this worker's"),
    "one word, a folder": ({"model": "models", "backend": FLUX}, "no model of this worker's"),
    "a model not here": ({"model": "me/no-model", "backend": FLUX}, "no model of this worker's"),
    "a model of the embedded": ({"model": "me/mine"}, "no model of this worker's"),
    "no model": ({"backend": FLUX}, "needs model="),
    "a LoRA by a path": ({"loras": [["/etc/x.safetensors", 1]]}, "loras.0.0: Value error"),
    "a LoRA outside": ({"loras": [["../secret.safetensors", 1]]}, "loras.0.0: Value error"),
    "a LoRA not here": ({"loras": [["ink.safetensors", 1]]}, "lora_dirs have no ink.safetensors"),
    "no LoRA": ({"loras": [["ink.txt", 1]]}, "lora_dirs have no ink.txt"),
    "a LoRA without weight": ({"loras": ["ink.safetensors"]}, "loras.0"),
    "a file as an input": ({"init_image": "/etc/passwd"}, "init_image: Value error"),
    "a name as an input": ({"init_image": "a.png"}, "init_image: Value error"),
    "another's input": ({"init_image": "b" * 64}, "there is no input image with the sha256 bbb"),
    "a parent by no way": (
        {"derived_from": [PARENT | {"how": "mask"}]},
        "derived_from.0.how: Input should be 'like' or 'reproduce'",
    ),
    "a parent without id": (
        {"derived_from": [PARENT | {"id": "../x"}]},
        "derived_from.0.id: Input should be a valid UUID",
    ),
    "a parent's file": (
        {"derived_from": [PARENT | {"sha256": "/etc/passwd"}]},
        "derived_from.0.sha256: Value error, the sha256 of a file",
    ),
    "a parent with more": (
        {"derived_from": [PARENT | {"path": "/etc"}]},
        "derived_from.0.path: Extra inputs are not permitted",
    ),
    "many parents": ({"derived_from": [PARENT] * 9}, "derived_from: Tuple should have at most 8"),
    "no list of parents": ({"derived_from": PARENT}, "derived_from: Input should be a valid tuple"),
    "a mask alone": ({"mask": INPUT}, "mask needs init_image: give both"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_drawn_is_said_in_one_line(
    name: str, check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    request, expected = BAD[name]
    whole = request if name == "no prompt" else {"prompt": "a boat", **request}
    with pytest.raises(ImagenError) as raised:
        check(whole)
    assert expected in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def test_two_backends_contradict_each_other(check: Any) -> None:
    with pytest.raises(UsageError, match="two backends"):
        check({"prompt": "a boat", "backend": FLUX}, backend=TINY)


def test_a_lora_is_named_within_its_folder(tmp_path: Path) -> None:
    (tmp_path / "loras" / "ink").mkdir(parents=True)
    (tmp_path / "loras" / "ink" / "blue.safetensors").touch()
    folders = [str(tmp_path / "none"), str(tmp_path / "loras")]
    found = locate_named_lora("ink/blue.safetensors", folders)
    assert found == tmp_path / "loras" / "ink" / "blue.safetensors"
    with pytest.raises(UsageError, match="no ink"):
        locate_named_lora("ink", folders)


def test_a_worker_offers_its_own_choice_first_and_nothing_that_costs(studio: Studio) -> None:
    offered = offered_backends(studio, [])
    assert offered[0] == TINY
    assert not [name for name in offered if name.endswith("-replicate")]
    assert offered_backends(studio, [TINY]) == (TINY,)
    with pytest.raises(ImagenError, match="flux-dev-local"):
        offered_backends(studio, [TINY, "flux-dev-local"])
