"""What goes into a job and what comes out of one, without a cloud."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import imagen_nb as im
from imagen_nb.backends import FinishedFile, Step
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.request.request import resolve
from imagen_nb.storage.finished import keep_finished
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.jobs import JobNow, WorkerSeen
from imagen_nb.studio.elsewhere.asking import jobs_of, remote_options
from imagen_nb.studio.elsewhere.boxes import describe_waiting
from imagen_nb.studio.elsewhere.telling import StepsTold


def encoded(size: tuple[int, int], kind: str = "WEBP") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def now(**fields: object) -> JobNow:
    return JobNow.model_validate({"id": uuid4(), "state": "drawing", **fields})


def seen(name: str, seconds: float, *backends: str, stopped: bool = False) -> WorkerSeen:
    return WorkerSeen(id=uuid4(), name=name, backends=backends, stopped=stopped, seconds=seconds)


def test_a_job_is_the_whole_request_and_jobs_keep_their_order() -> None:
    requests = [
        resolve("a boat", defaults=FLUX_TINY.defaults, limits=FLUX_TINY.limits, seed=seed)
        for seed in range(5)
    ]
    jobs = jobs_of(requests, "flux-tiny-local", remote_options({}))
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    assert [job.request["seed"] for job in jobs] == [0, 1, 2, 3, 4]
    assert jobs[0].request == {
        "prompt": "a boat",
        "seed": 0,
        "steps": 6,
        "width": 128,
        "height": 128,
        "guidance": 0.0,
        "max_sequence_length": 16,
        "tags": [],
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("ink.safetensors", [("ink.safetensors", 1.0)]),
        ([("sub/ink.safetensors", 0.5)], [("sub/ink.safetensors", 0.5)]),
        (Path("/home/me/loras/ink.safetensors"), [("ink.safetensors", 1.0)]),
        (
            ["~/ink.safetensors", ("./x/b.safetensors", 2)],
            [("ink.safetensors", 1.0), ("b.safetensors", 2)],
        ),
    ],
)
def test_loras_go_by_name_and_no_path_of_this_machine_is_told(
    given: object, named: list[tuple[str, float]]
) -> None:
    assert remote_options({"loras": given})["loras"] == named


def test_what_no_machine_elsewhere_is_told_is_an_error() -> None:
    with pytest.raises(im.UsageError, match="is told model and loras, not memory"):
        remote_options({"memory": {"batch": 4}})
    with pytest.raises(im.UsageError, match="loras are names"):
        remote_options({"loras": {"a": 1}})
    request = resolve("a", defaults=FLUX_TINY.defaults, limits=FLUX_TINY.limits, seed=1)
    with pytest.raises(im.UsageError, match="no path"):
        jobs_of([request], "flux", remote_options({"model": "/models/mine"}))


@pytest.mark.parametrize(
    "preview", [None, "", "no base64", "AAAA", encoded((2000, 10)), encoded((8, 8), "GIF")]
)
def test_only_a_small_picture_is_a_preview(preview: str | None) -> None:
    assert now(preview=preview).preview_image() is None


def test_a_small_picture_is_a_preview() -> None:
    image = now(preview=encoded((64, 48))).preview_image()
    assert image
    assert (image.size, image.mode) == ((64, 48), "RGB")


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(),
            st.floats(),
            st.text(),
            st.fixed_dictionaries({"step": st.integers(-3, 99), "seconds_left": st.floats()}),
            st.fixed_dictionaries({"step": st.none(), "seconds_left": st.text()}),
        ),
        max_size=9,
    )
)
def test_each_step_is_told_once_whatever_the_queue_says(told: list[object]) -> None:
    steps: list[Step] = []
    listener = StepsTold([4], steps.append)
    for progress in told:
        listener.note(0, now(progress=progress if isinstance(progress, dict) else None))
    listener.note(0, now(state="done"))
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert all(step.seconds_left >= 0 for step in steps)


def test_who_draws_and_who_does_not_is_said_in_a_line() -> None:
    here = [seen("attic", 3, "flux-dev-local"), seen("lab", 7200, "flux-tiny-local")]
    assert describe_waiting(here, "flux-dev-local", 1) == ""
    assert describe_waiting(here, "flux-tiny-local", 2) == (
        "no machine that was heard of draws flux-tiny-local: run `imagen work --backends"
        " flux-tiny-local` on one; until then the 2 jobs wait (attic draws flux-dev-local)"
    )
    gone = [seen("at\x1btic", 200, "flux-dev-local", stopped=True)]
    line = describe_waiting(gone, "flux-dev-local", 1)
    assert line.endswith(
        "until then the job waits; at\N{REPLACEMENT CHARACTER}tic, ended 3 min ago"
    )


def test_a_finished_picture_is_kept_once_beside_others_and_never_over_them(
    folder: Path, tmp_path: Path
) -> None:
    with im.Studio({"output": {"dir": str(tmp_path / "box")}}, background=False) as box:
        drawn = box.generate("a boat", seed=1, steps=1, width=64, height=64)
    file = FinishedFile(drawn.path.read_bytes(), drawn.sidecar_path.read_text(encoding="utf-8"))
    home = OutputFolders(folder).folder()
    home.files.prepare()
    (folder / drawn.path.name).write_bytes(b"another's")
    kept = keep_finished(file, home)
    assert kept.path.name == f"{drawn.path.stem}-2.png"
    assert kept.path.read_bytes() == file.png
    assert kept.sidecar_path.read_text(encoding="utf-8") == file.sidecar
    assert kept.cloud == "synced"
    assert keep_finished(file, home).path == kept.path
    with pytest.raises(im.StorageError, match="is not the one of its record"):
        keep_finished(FinishedFile(file.png + b" ", file.sidecar), home)
    assert (folder / drawn.path.name).read_bytes() == b"another's"
