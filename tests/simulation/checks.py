"""What must hold of a server and the machines that use it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from imagen_nb.storage.names import PICTURE_SUFFIXES
from imagen_nb.storage.output import load_sidecar
from imagen_nb.storage.tags import KEEPER, RATINGS, REJECT, load_queued_tags
from tests.simulation.machine import Machine
from tests.simulation.server import SimulatedSupabase


def assert_drawn_are_kept(machine: Machine) -> None:
    """What a user was told is kept is there, as it was, and in the catalog."""
    names = {entry.path.name for entry in machine.entries()}
    for name, png in machine.drawn.items():
        assert (machine.folder / name).read_bytes() == png, name
        assert name in names, f"{name} is not in the catalog of {machine.name}"


def assert_adopted_are_kept(machine: Machine) -> None:
    """What a user was told is adopted is in the catalog, with these bytes and a sidecar."""
    entries = {entry.record.sha256: entry for entry in machine.entries()}
    for digest in machine.adopted:
        entry = entries.get(digest)
        assert entry is not None, f"{digest} is not in the catalog of {machine.name}"
        assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == digest, entry.path
        assert load_sidecar(entry.sidecar_path) is not None, entry.sidecar_path


def assert_files_are_there_once(machine: Machine, files: set[str]) -> None:
    """None of these, by sha256, is in the folder twice, with a sidecar or without one."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in sorted(machine.folder.iterdir()):
        if path.suffix in PICTURE_SUFFIXES:
            names[hashlib.sha256(path.read_bytes()).hexdigest()].append(path.name)
    for digest in files & names.keys():
        assert len(names[digest]) == 1, f"{machine.name} has {names[digest]}"
        sidecar = machine.folder / f"{names[digest][0]}.json"
        assert sidecar.exists(), f"{machine.name} has {names[digest]} without a sidecar"


def assert_all_synced_are_there(machine: Machine, damaged: set[str]) -> None:
    """What a user was told is in the cloud has one row and one object there, its own."""
    for entry in machine.entries():
        id, path = str(entry.record.id), entry.record.storage_path or ""
        if entry.cloud_state != "synced" or id in damaged:
            continue
        row = machine.server.images.get(id)
        assert row is not None, f"{machine.name}: {entry.path.name} has no row {id}"
        assert row["owner_user_id"] == str(machine.user.id)
        assert row["storage_path"] == path, f"{row['storage_path']} is not {path}"
        assert machine.server.objects.get(path) == entry.path.read_bytes(), path


def assert_rows_are_sound(server: SimulatedSupabase) -> None:
    """No object belongs to two rows; no picture has two ratings, or is kept and rejected."""
    paths = [row["storage_path"] for row in server.images.values()]
    assert len(paths) == len(set(paths)), paths
    for row in server.images.values():
        for group in (RATINGS, (KEEPER, REJECT)):
            assert len(set(row["tags"]) & set(group)) <= 1, row["tags"]


def assert_sync_leaves_nothing(machine: Machine) -> None:
    """A sync without faults sends everything."""
    report = machine.sync()
    assert (report.trouble, report.failed, report.postponed, report.pending) == (None, (), (), 0)
    for entry in machine.entries():
        usual = {"synced", "off"} if entry.record.sha256 in machine.private else {"synced"}
        assert entry.cloud in usual, f"{machine.name}: {entry.path.name}: {entry.cloud}"
    assert load_queued_tags(machine.catalog) == {}


def assert_sidecars_agree(machine: Machine) -> None:
    """Sidecars, catalog and rows tell the same tags."""
    for entry in machine.entries():
        record = load_sidecar(entry.sidecar_path)
        if entry.cloud_state == "off":
            continue
        row = machine.server.images[str(entry.record.id)]
        assert record is not None
        tags = (set(record.tags), set(entry.record.tags), set(row["tags"]))
        assert tags[0] == tags[1] == tags[2], f"{machine.name}: {entry.path.name}: {tags}"
        assert record.unsent_tags == (), record.unsent_tags


def assert_rows_are_pictures(
    server: SimulatedSupabase,
    machines: Iterable[Machine],
    foreign: Mapping[str, Any],
    spoiled: set[str],
) -> None:
    """There is nothing in the cloud but the pictures of the machines, and what others put there.

    `spoiled`: paths of objects that were changed by hand.
    """
    entries = [entry for machine in machines for entry in machine.entries()]
    entries = [entry for entry in entries if entry.cloud_state != "off"]
    ids = {str(entry.record.id) for entry in entries}
    assert set(server.images) - set(foreign) == ids - set(foreign)
    paths = {entry.record.storage_path for entry in entries}
    assert set(server.objects) - spoiled == paths - spoiled
