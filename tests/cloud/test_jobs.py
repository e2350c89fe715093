"""The queue of jobs through the API of the local Supabase, as a user and with a secret key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.storage.jobs import Job
from tests.fixtures.supabase_fixtures import TwoUsers

BACKENDS = ["flux-tiny-local"]


@pytest.fixture(params=["user", "secret key"])
def queue(request: pytest.FixtureRequest, local_supabase: TwoUsers) -> Iterator[JobQueue]:
    """Empty at first."""
    supabase = local_supabase
    account = Account(
        supabase.url, SecretStr(supabase.anon_key), supabase.email, SecretStr(supabase.password)
    )
    if request.param == "secret key":
        account = Account(
            supabase.url, SecretStr(supabase.service_key), owner=UUID(supabase.user_id)
        )
    with closing(Cloud(account)) as cloud:
        jobs = JobQueue(cloud)
        jobs.cancel([job.id for job in jobs.newest(["waiting", "drawing"])])
        jobs.prune(0)
        yield jobs


def make_job(prompt: str = "a boat", **fields: object) -> Job:
    return Job.model_validate({"id": uuid4(), "request": {"prompt": prompt}, **fields})


def test_a_job_from_waiting_to_failed(queue: JobQueue) -> None:
    worker, job = uuid4(), make_job("a \0 boat", backend="flux-tiny-local")
    queue.add([job])
    queue.add([job])
    (claimed,) = queue.claim(worker, BACKENDS)
    assert (claimed.id, claimed.state, claimed.request) == (
        job.id,
        "drawing",
        {"prompt": "a \N{REPLACEMENT CHARACTER} boat"},
    )
    progress = {job.id: {"step": 1, "steps": 4, "preview": "AA"}}
    assert queue.renew(worker, [job.id], progress=progress) == {job.id: "drawing"}
    seen = queue.jobs([job.id], previews=True)[job.id]
    assert (seen.progress, seen.preview) == ({"step": 1, "steps": 4}, "AA")
    assert not queue.finish(worker, job.id)
    assert queue.finish_many(worker, [job.id, uuid4()]) == set()
    assert queue.fail(worker, job.id, "no\0 card") == "failed"
    assert queue.jobs([job.id])[job.id].error == "no\N{REPLACEMENT CHARACTER} card"


def test_what_is_given_back_is_claimed_by_another(queue: JobQueue) -> None:
    first, second, job = uuid4(), uuid4(), make_job()
    queue.add([job])
    queue.claim(first, BACKENDS)
    queue.release(first, [job.id])
    assert [one.id for one in queue.claim(second, BACKENDS)] == [job.id]
    assert queue.renew(first, [job.id]) == {job.id: "lost"}


def test_cancelling_and_pruning(queue: JobQueue) -> None:
    jobs = [make_job(str(number)) for number in range(3)]
    queue.add(jobs)
    assert queue.cancel([jobs[0].id, jobs[1].id]) == {jobs[0].id, jobs[1].id}
    assert queue.prune(3600) == 0
    assert queue.prune(0) == 2
    assert [one.id for one in queue.newest()] == [jobs[2].id]


def test_all_jobs_are_listed_newest_first_however_few_an_answer_holds(queue: JobQueue) -> None:
    jobs = [make_job(str(number), priority=number) for number in range(5)]
    for job in jobs:
        queue.add([job])
    listed = queue.newest()
    assert {one.id for one in listed} == {one.id for one in jobs}
    times = [one.created_at for one in listed if one.created_at]
    assert times == sorted(times, reverse=True)
    assert [one.id for one in queue.newest(limit=2)] == [one.id for one in listed[:2]]
    assert queue.newest(["failed"]) == []


def test_workers_say_that_they_are_there(queue: JobQueue) -> None:
    worker = uuid4()
    queue.register(worker, "attic", BACKENDS, 8000, "0.2.0")
    seen = {one.id: one for one in queue.workers()}[worker]
    assert (seen.name, seen.backends, seen.memory_mb) == ("attic", (*BACKENDS,), 8000)
    assert 0 <= seen.seconds < 60
    assert not seen.stopped
    queue.stop(worker)
    assert {one.id: one.stopped for one in queue.workers()}[worker]
