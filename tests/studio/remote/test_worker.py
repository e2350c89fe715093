"""A worker draws what other machines ask for: each job once, whatever happens meanwhile."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from imagen_nb.backends import Step
from imagen_nb.cloud.errors import BUCKET, UnreachableError
from imagen_nb.cloud.rows import RowWriter
from imagen_nb.errors import BackendError, CloudError, StorageError, UsageError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.jobs import MAX_PREVIEW_BYTES, Job
from imagen_nb.storage.outbox import Outbox
from imagen_nb.studio import progress
from imagen_nb.studio.drawing import RequestDrawer
from imagen_nb.studio.remote import leases
from imagen_nb.studio.remote.checking import CheckedJob
from imagen_nb.studio.remote.claiming import JobPace, ReadyJobs, _Patience
from imagen_nb.studio.remote.events import Outage
from imagen_nb.studio.remote.sending import JobSender
from imagen_nb.studio.remote.steps import JobSteps
from imagen_nb.studio.remote.worker import JobWorker
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.job_queues import TINY, Box, TestQueue, empty_queue, entries_of
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers


@pytest.fixture
def jobs(local_supabase: TwoUsers, server: ServerState) -> Iterator[TestQueue]:
    with empty_queue(local_supabase, server) as queue:
        yield queue


@pytest.fixture
def box(local_supabase: TwoUsers, folder: Path) -> Box:
    return Box(local_supabase, folder)


def with_secret_key(box: Box) -> None:
    """Sign in with the secret key instead of as a user."""
    supabase = box.supabase
    part = {"url": supabase.url, "key": supabase.service_key}
    box.more = {"supabase": part, "owner_user_id": supabase.user_id}


@pytest.fixture
def second(local_supabase: TwoUsers, tmp_path: Path) -> Box:
    return Box(local_supabase, tmp_path / "second")


def boats(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": "a red boat", "seed": seed, **more} for seed in range(count)]


def coloured_png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (128, 128), colour).save(file, "PNG")
    return file.getvalue()


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def before_drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """What happens once, when the next call is about to draw."""

    def arrange(act: Callable[[], None]) -> None:
        draw, acts = RequestDrawer.draw, [act]

        def drawing(self: RequestDrawer, *arguments: Any) -> Any:
            if acts:
                acts.pop()()
            return draw(self, *arguments)

        monkeypatch.setattr(RequestDrawer, "draw", drawing)

    return arrange


def test_a_job_becomes_a_picture_with_its_id(jobs: TestQueue, box: Box) -> None:
    parent = {"how": "like", "id": str(uuid4()), "sha256": "a" * 64}
    (id,) = jobs.add(
        {
            "prompt": "a red boat",
            "seed": 7,
            "steps": 3,
            "tags": ["sea"],
            "derived_from": [parent],
        }
    )
    box.work(name="attic")
    jobs.require_one_picture_each([id], box.folder)
    (entry,) = entries_of(box.folder)
    record = entry.record
    assert (record.id, record.job, record.seed, record.steps) == (id, id, 7, 3)
    assert (record.tags, record.backend, record.derived_from) == (("sea",), TINY, (parent,))
    assert box.told() == {id: "done"}
    (seen, *_) = jobs.queue.workers()
    assert (seen.name, seen.stopped, seen.backends[0]) == ("attic", True, TINY)


def test_what_a_job_asks_for_is_drawn_as_here(jobs: TestQueue, box: Box, tmp_path: Path) -> None:
    jobs.add({"prompt": "a red boat", "seed": 7, "steps": 3})
    box.work()
    with Studio({"output": {"dir": str(tmp_path / "own")}, "backend": TINY}) as studio:
        own = studio.generate("a red boat", seed=7, steps=3, cloud=False)
    (entry,) = entries_of(box.folder)
    assert entry.record.decides() == own.record.decides()
    with Studio(box.settings()) as studio:
        assert studio.reproduce(entry.path, cloud=False, output=tmp_path).identical


def test_many_jobs_are_drawn_together(jobs: TestQueue, box: Box) -> None:
    ids = jobs.add(*boats(24), *boats(6, steps=2))
    bad = jobs.add({"prompt": "a boat", "steps": -1})
    box.work()
    jobs.require_one_picture_each(ids, box.folder)
    assert jobs.states(bad) == ["failed"]
    assert max(entry.record.batch_size for entry in entries_of(box.folder)) > 1


def test_other_backends_take_turns_and_bounds_are_kept(jobs: TestQueue, box: Box) -> None:
    box.more = {"work": {"max_steps": 5, "max_pixels": 128 * 128}}
    here = jobs.add({"prompt": "a boat", "steps": 4}, backend=TINY)
    elsewhere = jobs.add({"prompt": "a boat"}, backend="flux-dev-local")
    bad = jobs.add(
        {"prompt": "a boat", "steps": 6},
        {"prompt": "a boat", "width": 256, "height": 128},
        {"prompt": "a boat", "init_image": "0" * 64},
        {"prompt": "a boat", "model": "../../etc/passwd"},
        {"prompt": "a boat", "loras": [["/etc/passwd", 1]]},
    )
    box.work()
    assert jobs.states(here) == ["done"]
    assert jobs.states(elsewhere) == ["waiting"]
    reasons = [jobs.job(id).error for id in bad]
    assert reasons[:3] == [
        "steps: this worker draws 5 at most, not 6",
        "256 × 128 is more than the 16384 pixels that this worker draws",
        f"there is no input image with the sha256 {'0' * 64}",
    ]
    assert all("no path" in str(reason) for reason in reasons[3:])
    assert {box.told()[id] for id in bad} == {"failed"}


def test_input_images_come_from_the_owners_folder_only(
    jobs: TestQueue, box: Box, local_supabase: TwoUsers
) -> None:
    own, strangers = (coloured_png(colour) for colour in ("teal", "maroon"))
    jobs.queue.cloud.upload(f"{local_supabase.user_id}/inputs/{sha256_of(own)}.png", own)
    bucket = jobs.server.client.storage.from_(BUCKET)
    path = f"{local_supabase.other.id}/inputs/{sha256_of(strangers)}.png"
    bucket.upload(path, strangers, {"content-type": "image/png"})
    good, bad = jobs.add(
        *({"prompt": "a boat", "init_image": sha256_of(data)} for data in (own, strangers))
    )
    box.work()
    assert jobs.states([good, bad]) == ["done", "failed"]
    assert "no input image" in str(jobs.job(bad).error)
    (entry,) = entries_of(box.folder)
    assert [one["sha256"] for one in entry.record.inputs] == [sha256_of(own)]


def test_progress_and_a_small_preview_are_told_while_it_is_drawn(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DISPLAY_INTERVAL_S", 0.01)
    (id,) = jobs.add({"prompt": "a red boat", "seed": 1, "steps": 4})
    step, seen = JobSteps.__call__, list[Job]()

    def wait_until_it_is_seen(self: JobSteps, now: Step) -> None:
        step(self, now)
        deadline = time.monotonic() + 60
        while now.step == 2 and time.monotonic() < deadline:
            self(replace(now, step=3))  # as the next step would be
            job = jobs.queue.jobs([id], previews=True)[id]
            if job.preview and job.progress and job.progress["step"] == 3:
                seen.append(job)
                return

    monkeypatch.setattr(JobSteps, "__call__", wait_until_it_is_seen)
    box.work()
    (job,) = seen
    assert job.progress is not None
    assert job.progress["steps"] == 4
    data = base64.b64decode(str(job.preview))
    assert len(data) <= MAX_PREVIEW_BYTES
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    done = jobs.queue.jobs([id], previews=True)[id]
    assert (done.state, done.progress, done.preview) == ("done", None, None)


def test_with_a_secret_key_the_one_that_is_overtaken_leaves_nothing(
    jobs: TestQueue, box: Box, second: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is overtaken between its upload and its row."""
    (id,) = jobs.add({"prompt": "a red boat", "seed": 7})
    with_secret_key(box)
    write, overtaken = RowWriter.write, list[bool]()

    def overtake(self: RowWriter, entries: Any) -> Any:
        if not overtaken:
            overtaken.append(True)
            worker.stop()  # or it would claim the job itself again
            while not second.events:
                jobs.expire()
                second.work()
        return write(self, entries)

    monkeypatch.setattr(RowWriter, "write", overtake)
    with box.worker() as worker:
        worker.run()
    assert (box.told(), second.told()) == ({id: "dropped"}, {id: "done"})
    jobs.require_one_picture_each([id], second.folder)
    assert not [*box.folder.glob("*.png*")]


def test_a_job_cancelled_while_it_is_drawn_leaves_nothing(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_ASKED_EVERY_S", 0.05)
    monkeypatch.setattr(leases, "_TOLD_EVERY_S", 0.05)
    unwanted, wanted = jobs.add(*boats(2))
    step, heard = JobSteps.__call__, threading.Event()

    def cancel_at_first(self: JobSteps, now: Step) -> None:
        if not heard.is_set():
            jobs.queue.cancel([unwanted])
            with self._held._changed:
                gone = lambda: bool(self._held._jobs[unwanted].unwanted)  # noqa: E731
                assert self._held._changed.wait_for(gone, 30)
            heard.set()
        step(self, now)

    monkeypatch.setattr(JobSteps, "__call__", cancel_at_first)
    box.work()
    assert jobs.states([unwanted]) == ["cancelled"]
    assert box.told() == {unwanted: "dropped", wanted: "done"}
    jobs.require_one_picture_each([wanted], box.folder)


def test_a_lease_lost_while_drawing_leaves_nothing(
    jobs: TestQueue, box: Box, second: Box, before_drawing: Any
) -> None:
    ids = jobs.add(*boats(1))

    def another_draws_it() -> None:
        worker.stop()  # or it would claim the job itself again
        while not second.events:  # the first one's lease is renewed meanwhile
            jobs.expire()
            second.work()

    before_drawing(another_draws_it)
    with box.worker() as worker:
        worker.run()
    assert (box.told(), second.told()) == ({ids[0]: "dropped"}, {ids[0]: "done"})
    jobs.require_one_picture_each(ids, second.folder)
    assert not [*box.folder.glob("*.png*")]


def test_a_network_cut_for_longer_than_the_lease_is_settled(
    jobs: TestQueue,
    local_supabase: TwoUsers,
    folder: Path,
    second: Box,
    proxy: FaultProxy,
    before_drawing: Any,
    short_waits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = Box(local_supabase, folder, proxy.url)
    ids = jobs.add(*boats(2))

    def cut_off() -> None:
        proxy.down = True
        jobs.expire()
        with second.worker() as worker:
            worker._tell = lambda event: worker.stop()
            worker.run()

    began, outages = Outage.began, Counter[str]()

    def mended_after_a_while(self: Outage, error: CloudError) -> None:
        began(self, error)
        outages[threading.current_thread().name] += 1
        if outages["imagen-job-sender"] == 2:
            proxy.down = False

    monkeypatch.setattr(Outage, "began", mended_after_a_while)
    before_drawing(cut_off)
    with box.worker() as worker:
        worker.run(max_idle=2)
    assert jobs.states(ids) == ["done", "done"]
    assert box.told()[min(ids)] == "dropped"  # of two added at once it is claimed first
    jobs.require_one_picture_each(ids, box.folder, second.folder)


def test_two_workers_in_one_folder_draw_each_job_once(jobs: TestQueue, box: Box) -> None:
    ids = jobs.add(*boats(30))
    other = Box(box.supabase, box.folder)
    thread = threading.Thread(target=other.work)
    thread.start()
    box.work()
    thread.join()
    jobs.require_one_picture_each(ids, box.folder)
    assert len(box.events) + len(other.events) == 30


def test_what_one_worker_left_the_next_one_settles(
    jobs: TestQueue, box: Box, second: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn and not sent; one is cancelled, one is drawn by another, one waits."""
    cancelled, drawn, waiting = jobs.add(*boats(3))
    box.more = {"supabase": {**box.settings()["supabase"], "exit_seconds": 0}}
    with monkeypatch.context() as patch, box.worker() as worker:

        def does_not_answer(self: JobSender, ids: list[UUID]) -> None:
            if len(ids) == 3:
                worker.stop()
            raise UnreachableError("no network")

        patch.setattr(JobSender, "_send", does_not_answer)
        worker.run()
    assert [entry.cloud_state for entry in entries_of(box.folder)] == ["off"] * 3
    assert jobs.states([cancelled, drawn, waiting]) == ["waiting"] * 3
    jobs.queue.cancel([cancelled])
    jobs.server.client.schema("imagen").from_("jobs").update({"priority": 9}).eq(
        "id", str(drawn)
    ).execute()
    with second.worker() as worker:
        worker._tell = lambda event: worker.stop()
        worker.run()
    assert jobs.states([cancelled, drawn]) == ["cancelled", "done"]
    box.work()
    jobs.require_one_picture_each([drawn, waiting], box.folder, second.folder)


def test_a_picture_that_another_process_is_sending_is_left_to_it(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = jobs.add(*boats(1))
    put_off, leases_held = JobSender._put_off, ExitStack()
    catalog = Catalog(box.folder)

    def taken_by_another(self: JobSender, sent: list[UUID]) -> None:
        if sent and first:
            first.pop()
            leases_held.enter_context(Outbox(catalog).lease()).hold([str(ids[0])])
        send(self, sent)

    def given_back(self: JobSender, sent: list[UUID]) -> bool:
        is_stuck = put_off(self, sent)
        if is_stuck:
            stuck.append(sent)
            leases_held.close()
        return is_stuck

    send, first, stuck = JobSender._send, [True], list[list[UUID]]()
    monkeypatch.setattr(JobSender, "_send", taken_by_another)
    monkeypatch.setattr(JobSender, "_put_off", given_back)
    with closing(catalog):
        box.work()
    assert stuck == [ids]
    jobs.require_one_picture_each(ids, box.folder)


def test_a_full_disk_ends_the_worker_and_gives_the_jobs_back(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = jobs.add(*boats(3))

    def full(self: RequestDrawer, *arguments: Any) -> Any:
        raise StorageError("the disk is full")

    monkeypatch.setattr(RequestDrawer, "draw", full)
    with pytest.raises(StorageError, match="full"):
        box.work()
    assert jobs.states(ids) == ["waiting"] * 3
    assert [jobs.job(id).attempts for id in ids] == [0, 0, 0]


def test_one_job_that_cannot_be_drawn_stops_no_other(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = jobs.add(*boats(6))
    (bad,) = jobs.add({"prompt": "a bad boat", "seed": 9}, max_attempts=2, priority=1)
    draw = RequestDrawer.draw

    def drawing(self: RequestDrawer, backend: Any, requests: Any, call: Any) -> Any:
        if any(request.job == bad for request in requests):
            raise BackendError("it came out broken")
        return draw(self, backend, requests, call)

    monkeypatch.setattr(RequestDrawer, "draw", drawing)
    box.work()
    jobs.require_one_picture_each(good, box.folder)
    assert (jobs.job(bad).error, jobs.job(bad).attempts) == ("it came out broken", 2)


def test_a_machine_that_draws_nothing_any_more_ends_and_gives_the_jobs_back(
    jobs: TestQueue, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = jobs.add(*boats(8))

    def broken(self: RequestDrawer, *arguments: Any) -> Any:
        raise RuntimeError("CUDA error: secret of a card")

    monkeypatch.setattr(RequestDrawer, "draw", broken)
    with pytest.raises(BackendError, match=r"5 jobs could not be drawn .* RuntimeError") as raised:
        box.work()
    assert "secret" not in str(raised.value)
    assert jobs.states(ids) == ["waiting"] * 8
    assert [jobs.job(id).attempts for id in ids] == [0] * 8


def test_without_a_supabase_it_says_so(folder: Path) -> None:
    with (
        Studio({"output": {"dir": str(folder)}, "backend": TINY}) as studio,
        pytest.raises(UsageError, match="no Supabase is configured"),
    ):
        JobWorker(studio)


def test_it_asks_less_often_when_nothing_came_for_a_minute() -> None:
    patience = _Patience(time.monotonic())
    assert patience.next() == patience.next() == 0.1
    patience.last_job -= 6
    assert patience.next() == patience.next() == 0.2
    patience.last_job -= 55
    waits = [patience.next() for _ in range(30)]
    assert waits == sorted(waits)
    assert waits[-1] == 2.0
    patience.found()
    assert patience.next() == 0.1


def test_it_claims_what_is_drawn_within_some_seconds() -> None:
    pace = JobPace()
    assert pace.together == 1
    pace.note(seconds=0.8, pictures=4)
    assert pace.together == 16
    pace.note(seconds=20, pictures=2)
    assert pace.together == 1


def test_jobs_are_taken_for_one_backend_at_a_time_in_their_order() -> None:
    ready, backends = ReadyJobs(), (object(), object())
    for number in range(6):
        ready.put(checked(number, backends[number % 2]))
    taken = [[job.request for job in ready.take(2, 0)] for _ in range(4)]
    assert taken == [[0, 2], [1, 3], [4], [5]]
    assert ready.take(2, 0) == []


def test_what_was_begun_before_is_taken_by_itself() -> None:
    ready, backend = ReadyJobs(), object()
    for number in range(6):
        ready.put(checked(number, backend, attempts=number in (1, 2)))
    taken = [[job.request for job in ready.take(9, 0)] for _ in range(3)]
    assert taken == [[0, 3, 4, 5], [1], [2]]


def checked(number: int, backend: object, attempts: int = 0) -> CheckedJob:
    job = Job(id=uuid4(), request={"prompt": "a boat"}, attempts=attempts)
    return CheckedJob(job, backend, number)  # type: ignore[arg-type]


# `imagen work` on a machine whose card falls out when it is to draw a certain prompt.
DEADLY = """
import os, time
from imagen_nb.cli import main
from imagen_nb.studio.drawing import RequestDrawer

draw = RequestDrawer.draw

def drawing(self, backend, requests, call):
    if any(request.prompt == "a maelstrom" for request in requests):
        time.sleep(1)
        os._exit(9)
    return draw(self, backend, requests, call)

RequestDrawer.draw = drawing
main()
"""


@pytest.mark.slow
def test_a_job_that_ends_its_workers_costs_no_other_its_attempts(
    jobs: TestQueue, box: Box, tmp_path: Path
) -> None:
    good = jobs.add(*boats(5), max_attempts=1)
    (deadly,) = jobs.add({"prompt": "a maelstrom"}, max_attempts=2, priority=1)
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(box.settings()))
    command = [sys.executable, "-c", DEADLY, "work", "--once", "--config", str(config)]
    ended = []
    for _ in range(3):
        ended.append(subprocess.run(command, capture_output=True, timeout=120).returncode)
        jobs.expire()
    assert ended == [9, 9, 0]
    assert jobs.states(good) == ["done"] * 5
    assert "2 workers" in (jobs.job(deadly).error or "")
