"""What is so when the chaos is over: each job one picture, wherever one looks."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.machines import Laptop
from tests.chaos.world import World
from tests.fixtures.job_queues import entries_of


def require_one_picture_for_each_job(world: World) -> None:
    """On the server, on every machine, and of what was asked for."""
    jobs = {
        str(id): {"owner": str(owner), "tag": tag, "state": state}
        for id, owner, tag, state in world.ask(
            "SELECT id, owner_user_id, request #>> '{tags,0}', state FROM imagen.jobs"
        )
    }
    rows = {row["id"]: row for row in world.server.rows()}
    _require_what_was_asked_for(world, jobs)
    hashes = _require_whole_server(world, jobs, rows)
    folders = {worker.folder: worker.settings for worker in world.workers}
    for folder in folders:
        _require_only_winners(folder, rows, hashes)
    for laptop in world.laptops:
        _require_all_at_home(laptop, jobs, rows, hashes)
    _require_nothing_foreign(world, jobs)
    _require_every_file_known(folders, jobs, rows)


def _require_what_was_asked_for(world: World, jobs: dict[str, Any]) -> None:
    """Each item has as many jobs as its plan says, and each ended as it was meant to."""
    states: dict[str, Counter[str]] = {}
    for job in jobs.values():
        states.setdefault(job["tag"], Counter())[job["state"]] += 1
    for item in (item for laptop in world.laptops for item in laptop.plan):
        found = states.pop(item.tag)
        if item.fails:
            expected = {"failed": item.jobs}
        elif item.cancels:
            assert found["done"] + found["cancelled"] == item.jobs, (item, found)
            continue
        else:
            expected = {"done": item.jobs}
        if item.waits:  # what a torn request cancelled was asked for anew
            del found["cancelled"]
        assert dict(found) == expected, (item, found)
    assert not states


def _require_whole_server(
    world: World, jobs: dict[str, Any], rows: dict[str, Any]
) -> dict[str, str]:
    """One row for each job that is done and no other, one object for each row."""
    done = {id for id, job in jobs.items() if job["state"] == "done"}
    assert set(rows) == done, (set(rows) - done, done - set(rows))
    objects = [*world.server.objects()]
    paths = {row["storage_path"] for row in rows.values()}
    assert len(objects) == len(rows) == len(paths)
    assert {*objects} == paths
    hashes = {id: world.server.sha256(row["storage_path"]) for id, row in rows.items()}
    for id, row in rows.items():
        assert row["owner_user_id"] == jobs[id]["owner"]
        assert row["sidecar"]["sha256"] == hashes[id]
        assert row["sidecar"]["job"] == id
    return hashes


def _files(folder: Path) -> set[Path]:
    """All but the catalog's own."""
    places = (path for path in folder.iterdir() if path.is_file())
    return {path for path in places if not path.name.startswith(".imagen.")}


def _require_only_winners(folder: Path, rows: dict[str, Any], hashes: dict[str, str]) -> None:
    """What is there is in the cloud, as it is there, and no other file is left."""
    entries, expected = entries_of(folder), set[Path]()
    for entry in entries:
        id = str(entry.record.id)
        expected |= {entry.path, entry.sidecar_path}
        assert entry.cloud_state == "synced", (folder, id, entry.cloud_state)
        assert id in rows, (folder, id)
        assert entry.record.storage_path == rows[id]["storage_path"], (folder, id)
        assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == hashes[id], (folder, id)
    pictures = {path for path in _files(folder) if ".png" in path.name}
    assert pictures == expected, (folder, pictures ^ expected)
    assert not [*folder.rglob("*.tmp")]


def _require_all_at_home(
    laptop: Laptop, jobs: dict[str, Any], rows: dict[str, Any], hashes: dict[str, str]
) -> None:
    own = {id for id, job in jobs.items() if job["tag"].startswith(f"{laptop.name}-")}
    entries = entries_of(laptop.folder)
    assert {str(entry.record.id) for entry in entries} == own & set(rows)
    _require_only_winners(laptop.folder, rows, hashes)


def _require_nothing_foreign(world: World, jobs: dict[str, Any]) -> None:
    """No machine has a picture of the other account's, and none said that it saw one."""
    for machine in world.machines:
        theirs = machine.settings["supabase"].get("email") == world.stranger.email
        owner = world.stranger.id if theirs else world.supabase.user_id
        for entry in entries_of(machine.folder):
            assert jobs[str(entry.record.id)]["owner"] == owner, machine.name
        log = machine.log.read_text()
        assert "FOREIGN" not in log, machine.name
        assert "Traceback" not in log, f"{machine.name}: {log[-5000:]}"
        foreign = [id for id, job in jobs.items() if job["owner"] != owner and id in log]
        assert not foreign, machine.name


def _require_every_file_known(
    folders: dict[Path, Any], jobs: dict[str, Any], rows: dict[str, Any]
) -> None:
    """Each picture that is in the cloud lies in exactly one worker's folder."""
    kept = Counter(str(entry.record.id) for folder in folders for entry in entries_of(folder))
    assert set(kept) == set(rows), set(kept) ^ set(rows)
    assert set(kept.values()) <= {1}, [id for id, number in kept.items() if number > 1]
