"""The program on a laptop: asks for what its plan says and brings every picture home.

It may be killed at any time; when it is started again it looks into the queue for what it had
asked for before. It ends when the folder has each picture that there is to be.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from imagen_nb.errors import BackendError, Cancelled, CloudError
from imagen_nb.storage.jobs import Job
from imagen_nb.studio.studio import Studio
from tests.chaos.clocks import shift_clock
from tests.chaos.plans import Item
from tests.fixtures.pictures import wait_little

_HOW = {"backend": "remote:flux-tiny-local", "steps": 1, "size": (64, 64)}
_FOREIGN = 3  # the exit status of a laptop that saw somebody else's job


def own_jobs(studio: Studio, laptop: str, friends: list[str]) -> list[Job]:
    """The jobs that it has asked for. Its friends' it may see, and nobody else's."""
    jobs = studio.job_queue().newest()
    for job in jobs:
        if job.request["tags"][0].split("-")[0] not in friends:
            print(f"FOREIGN {job.id}", flush=True)
            sys.exit(_FOREIGN)
    return [job for job in jobs if job.request["tags"][0].startswith(f"{laptop}-")]


def ask(studio: Studio, item: Item, missing: int) -> None:
    """Ask for so many pictures of an item."""
    how: dict[str, Any] = {**_HOW, "tags": [item.tag]}
    if item.fails:
        how["loras"] = [("missing.safetensors", 1.0)]
    while missing > 0:
        seeds = item.seeds[:missing]
        missing -= len(seeds)
        if item.waits:
            studio.sweep(item.prompt, seeds=list(seeds), **how)
        else:
            studio.sweep(item.prompt, seeds=list(seeds), wait=False, **how)


def ask_for_all(studio: Studio, laptop: str, friends: list[str], plan: list[Item]) -> None:
    asked = Counter(
        job.request["tags"][0]
        for job in own_jobs(studio, laptop, friends)
        if job.state != "cancelled" or not _waits(plan, job)
    )
    for item in plan:
        if asked[item.tag] < item.jobs:
            ask(studio, item, item.jobs - asked[item.tag])


def _waits(plan: list[Item], job: Job) -> bool:
    """Whether an error of this laptop cancels the job, so that it is to be asked for anew."""
    return any(item.waits for item in plan if item.tag == job.request["tags"][0])


def bring_home(studio: Studio, laptop: str, friends: list[str], plan: list[Item]) -> None:
    """Fetch every picture, as a kernel does that was started anew."""
    cancelled = {item.tag for item in plan if item.cancels}
    jobs = own_jobs(studio, laptop, friends)
    for job in jobs:
        if job.request["tags"][0] in cancelled and job.state in ("waiting", "drawing"):
            studio.job(job.id).cancel()
    for job in jobs:
        try:
            studio.job(job.id).picture()
        except (Cancelled, BackendError) as error:
            print(f"none: {job.id}: {error}", flush=True)


def main(config: str, plan_file: str) -> None:
    """Go on until all is here."""
    told = json.loads(Path(plan_file).read_text())
    shift_clock(told["hours"])
    wait_little()
    laptop, friends = told["name"], told["friends"]
    plan = [Item(**{**item, "seeds": tuple(item["seeds"])}) for item in told["items"]]
    with Studio(config=Path(config), background=False) as studio:
        while True:
            try:
                ask_for_all(studio, laptop, friends, plan)
                bring_home(studio, laptop, friends, plan)
                break
            except CloudError as error:
                print(f"again: {error}", flush=True)
                time.sleep(0.2)  # as a person does who reads this
    print("home", flush=True)
