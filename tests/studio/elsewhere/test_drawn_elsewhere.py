"""Pictures asked for on one machine and drawn by another, through the local Supabase."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagen_nb as im
from imagen_nb.backends import Step
from imagen_nb.storage.output import read_sidecar
from imagen_nb.studio.elsewhere import following
from imagen_nb.studio.remote.worker import JobWorker
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import StandIn, forget_jobs, stand_in
from tests.fixtures.supabase_fixtures import TwoUsers, settings

QUICK: dict[str, Any] = {"steps": 2, "width": 64, "height": 64}
MANY: dict[str, Any] = {"steps": 2, "size": (64, 64), "progress": False}


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def pixels(picture: im.Picture) -> np.ndarray[Any, Any]:
    return np.asarray(picture.image)


def test_it_is_the_picture_that_is_drawn_here_and_the_file_that_the_box_has(
    box: StandIn, laptop: im.Studio, server: ServerState
) -> None:
    steps: list[Step] = []
    picture = laptop.generate("a red boat", seed=3, tags=["sea"], progress=steps.append, **QUICK)
    here = laptop.generate("a red boat", seed=3, backend="flux-tiny-local", **QUICK)
    assert np.array_equal(pixels(picture), pixels(here))
    record = picture.record
    assert (record.backend, record.tags, record.job) == ("flux-tiny-local", ("sea",), record.id)
    there = box.studio.catalog().get(record.id)
    assert there
    assert picture.path.read_bytes() == there.path.read_bytes()
    assert read_sidecar(picture.sidecar_path) == read_sidecar(there.sidecar_path)
    assert server.sha256(str(record.storage_path)) == record.sha256
    assert hashlib.sha256(picture.path.read_bytes()).hexdigest() == record.sha256
    assert picture.cloud == "synced"
    assert [step.step for step in steps] == [1, 2]
    assert {(step.steps, step.total, step.indices) for step in steps} == {(2, 1, range(1))}


def test_a_sweep_comes_in_its_order_and_again_finds_what_was_drawn_today(
    box: StandIn, laptop: im.Studio
) -> None:
    pictures = laptop.sweep("a {red|blue} boat", seeds=range(2), **MANY)
    assert [(one.record.prompt, one.record.seed) for one in pictures] == [
        ("a red boat", 0),
        ("a red boat", 1),
        ("a blue boat", 0),
        ("a blue boat", 1),
    ]
    assert box.began == [one.record.id for one in pictures]
    same = laptop.sweep("a {red|blue} boat", seeds=range(2), again=False, **MANY)
    assert [one.path for one in same] == [one.path for one in pictures]
    assert len(box.began) == 4


def test_an_init_image_goes_by_way_of_the_bucket(
    server: ServerState, local_supabase: TwoUsers, tmp_path: Path, laptop: im.Studio
) -> None:
    first = laptop.generate("a boat", seed=1, backend="flux-tiny-local", **QUICK)
    with stand_in(settings(tmp_path / "box", local_supabase)):
        there = laptop.generate("a red boat", seed=2, init_image=first, strength=0.5, **QUICK)
    here = laptop.generate(
        "a red boat", seed=2, init_image=first, strength=0.5, backend="flux-tiny-local", **QUICK
    )
    assert np.array_equal(pixels(there), pixels(here))
    (given,) = there.record.inputs
    assert (there.path.parent / given["file"]).read_bytes() == first.path.read_bytes()


def test_a_preview_grows(box: StandIn, laptop: im.Studio) -> None:
    sizes = []

    def look(step: Step) -> None:
        if step.preview:
            sizes.append(step.preview(0).size)

    laptop.generate("a boat", seed=1, steps=30, width=128, height=128, progress=look)
    assert sizes
    assert max(max(size) for size in sizes) <= 128


def test_what_the_box_cannot_draw_is_an_error_with_its_line_and_the_others_are_kept(
    box: StandIn, laptop: im.Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = box.keep_and_send

    def fail_one(job: Any) -> None:
        if job.request["seed"] == 1:
            raise im.BackendError("the card is on \x1b[31mfire")
        draw(job)

    monkeypatch.setattr(box, "keep_and_send", fail_one)
    with pytest.raises(im.BackendError, match=r"the card is on .\[31mfire") as caught:
        laptop.sweep("a boat", seeds=range(3), **MANY)
    assert "\x1b" not in str(caught.value)
    assert {one.record.seed for one in laptop.catalog().latest(9)} == {0, 2}
    (failed,) = laptop.jobs("failed").to_dict("records")
    assert (failed["prompt"], failed["worker"]) == ("a boat", "attic")


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_cancelling_here_cancels_the_jobs_there(box: StandIn, laptop: im.Studio, how: str) -> None:
    box.may_draw.clear()

    def stop(step: Step) -> None:
        if how == "cancel":
            laptop.cancel()
        else:
            raise KeyboardInterrupt

    box.may_draw.set()
    with pytest.raises(im.Cancelled if how == "cancel" else KeyboardInterrupt):
        laptop.sweep("a boat", seeds=range(4), steps=60, progress=stop)
    states = laptop.jobs()["state"]
    assert set(states) <= {"cancelled", "done"}
    assert (states == "cancelled").sum() >= 3


def test_without_a_box_a_line_says_so_at_once_and_the_jobs_wait(
    server: ServerState, laptop: im.Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_jobs(server)
    handles = laptop.sweep(
        "a boat", seeds=[1, 2], backend="remote:flux-tiny-local", wait=False, **MANY
    )
    said = capsys.readouterr().err
    assert "no machine that draws was heard of in the last minute: run `imagen work`" in said
    assert [handle.state for handle in handles] == ["waiting"] * 2
    with pytest.raises(im.BackendError, match="not there after 0 s: it is waiting"):
        handles[0].picture(timeout=0)
    assert handles[0].cancel()
    assert not handles[0].cancel()
    with pytest.raises(im.Cancelled):
        handles[0].picture()
    assert set(laptop.jobs()["state"]) == {"waiting", "cancelled"}


def test_a_handle_gives_its_picture_after_a_restart_of_the_kernel(
    box: StandIn, laptop: im.Studio, local_supabase: TwoUsers, folder: Path
) -> None:
    handle = laptop.generate("a boat", seed=5, wait=False, **QUICK)
    values = settings(folder, local_supabase)
    code = (
        f"import imagen_nb as im; im.configure(**{values!r});"
        "row = im.jobs().iloc[0]; print(im.job(row).picture(timeout=60).path)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    picture = handle.picture()
    assert str(picture.path) == done.stdout.strip()
    (row,) = laptop.jobs().to_dict("records")
    assert (row["state"], row["progress"], row["local_path"]) == ("done", 1, str(picture.path))
    assert len(list(folder.glob("*.png"))) == 1


def test_a_network_cut_is_waited_for_with_one_line(
    box: StandIn,
    laptop: im.Studio,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    short_waits: None,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(following, "print_notice", said.append)
    box.may_draw.clear()
    with ThreadPoolExecutor() as pool:
        drawing = pool.submit(laptop.generate, "a boat", seed=5, progress=False, **QUICK)
        wait_until(lambda: bool(box.queue.newest(["waiting"])))
        proxy.down = True
        wait_until(lambda: bool(said))
        box.may_draw.set()
        wait_until(lambda: bool(box.sent))
        proxy.down = False
        assert drawing.result(60).cloud == "synced"
    assert ["waiting for the cloud, where the jobs go on" in line for line in said] == [True]


def test_only_remote_backends_do_not_wait_and_their_pictures_are_in_the_cloud(
    laptop: im.Studio,
) -> None:
    with pytest.raises(im.UsageError, match='wait=False goes with backend="remote"'):
        laptop.generate("a boat", backend="flux-tiny-local", wait=False)
    with pytest.raises(im.UsageError, match="come by way of the cloud"):
        laptop.generate("a boat", backend="remote:flux-tiny-local", cloud=False)
    with pytest.raises(im.UsageError, match="come by way of the cloud"):
        laptop.generate("a boat", backend="remote:flux-tiny-local", cloud=False, wait=False)
    with pytest.raises(im.UsageError, match="a multiple of 16"):
        laptop.generate("a boat", backend="remote:flux-tiny-local", width=130)
    with pytest.raises(im.UsageError, match="unknown backend 'flux-huge'"):
        laptop.generate("a boat", backend="remote:flux-huge")


def test_without_a_supabase_it_says_what_to_set(tmp_path: Path) -> None:
    with (
        im.Studio({"output": {"dir": str(tmp_path)}}) as studio,
        pytest.raises(im.UsageError, match=r"no Supabase is configured: set supabase\.url"),
    ):
        studio.generate("a boat", backend="remote")


def test_it_is_reproduced_and_varied_elsewhere(
    box: StandIn, laptop: im.Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    first = laptop.generate("a boat", seed=5, backend="flux-tiny-local", **QUICK)
    again = laptop.reproduce(first, backend="remote")
    assert again.identical
    assert again.record.job == again.record.id
    other = laptop.generate(like=first, seed=6, backend="remote")
    assert (other.record.steps, other.record.seed) == (2, 6)
    assert len(box.sent) == 2
    for child, how in ((again, "reproduce"), (other, "like")):
        parent = {"how": how, "id": str(first.record.id), "sha256": first.record.sha256}
        there = box.studio.catalog().get(child.record.id)
        assert there
        assert child.record.derived_from == there.record.derived_from == (parent,)
        family = laptop.lineage(child)
        ids = [str(first.record.id), str(child.record.id)]
        assert sorted(family["id"]) == sorted(ids)
        (row,) = family[family["id"] == ids[0]].to_dict("records")
        assert (row["how"], row["via"]) == (how, ids[1])
    with pytest.raises(im.UsageError, match="draws with the recorded backend"):
        laptop.reproduce(first, backend="remote:flux-dev-local")


def test_what_was_drawn_here_goes_up_while_another_machine_is_waited_for(
    box: StandIn, local_supabase: TwoUsers, folder: Path
) -> None:
    box.may_draw.clear()
    with (
        im.Studio(settings(folder, local_supabase)) as studio,
        ThreadPoolExecutor() as pool,
    ):
        drawing = pool.submit(studio.generate, "a boat", backend="remote", progress=False, **QUICK)
        wait_until(lambda: bool(box.queue.newest(["waiting"])))
        here = studio.generate("a house", backend="flux-tiny-local", **QUICK)
        wait_until(lambda: here.cloud == "synced")
        assert not drawing.done()
        box.may_draw.set()
        assert drawing.result(60).cloud == "synced"


def test_imagen_work_draws_what_was_handed_out(
    server: ServerState, local_supabase: TwoUsers, laptop: im.Studio, tmp_path: Path
) -> None:
    forget_jobs(server)
    first = laptop.generate("a boat", seed=1, backend="flux-tiny-local", **QUICK)
    handles = laptop.sweep(
        "a {red|blue} boat",
        seeds=[1, 2],
        init_image=first,
        strength=[0.5],
        backend="remote:flux-tiny-local",
        wait=False,
        **MANY,
    )
    values = settings(tmp_path / "box", local_supabase)
    with im.Studio(values, background=False) as studio:
        JobWorker(studio, name="attic", backends=["flux-tiny-local"]).run(once=True)
    for handle in handles:
        there = handle.picture(timeout=0)  # it is done: only to be fetched
        record = there.record
        here = laptop.generate(
            record.prompt,
            seed=record.seed,
            init_image=first,
            strength=0.5,
            backend="flux-tiny-local",
            **QUICK,
        )
        assert np.array_equal(pixels(there), pixels(here))
    assert set(laptop.jobs()["worker"]) == {"attic"}


def test_a_search_is_drawn_by_the_box(box: StandIn, laptop: im.Studio) -> None:
    space = {"prompt": "a {red|blue} boat", "steps": (1, 3)}
    usual: dict[str, Any] = {"size": (64, 64), "progress": False, "name": "boats", "seeds": [1, 2]}
    study = laptop.optimize(space, score="clip:tiny", trials=3, **usual)
    frame = study.frame()
    assert frame["state"].tolist() == ["complete"] * 3
    drawn = {str(one.record.id) for one in laptop.catalog().latest(9)}
    assert {id for ids in frame["pictures"] for id in ids} == drawn
    assert {*map(str, box.began)} == drawn
    assert len(laptop.history(tags="trial:boats/1", source="local")) == 2
