"""The outbox: what waits for the cloud, and who holds it."""

from __future__ import annotations

import datetime
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Outbox, waiting_frame
from imagen_nb.storage.output import (
    PictureFiles,
    load_png_record,
    load_record,
    load_sidecar,
)
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import apply_tag_change, load_queued_tags, make_tag_change

DAY = datetime.date(2026, 5, 11)
FULL = 2  # of `PRAGMA synchronous`


@pytest.fixture
def fill(folder: Path, make_image: Callable, make_record: Callable) -> Callable[..., list[str]]:
    """Keeps pictures of these seeds in a state, and gives their ids."""
    output, catalog = PictureFiles(folder), Catalog(folder)

    def fill(count: int, state: str = "pending") -> list[str]:
        kept = [
            output.save(make_image(seed), make_record(seed=seed, cloud=state != "off"), DAY)
            for seed in range(count)
        ]
        catalog.add_many((one, state) for one in kept)
        return [str(one.record.id) for one in kept]

    return fill


def test_what_waits_is_listed_oldest_first(folder: Path, fill: Callable) -> None:
    ids = fill(3)
    assert Outbox(Catalog(folder)).waiting() == ids


def test_a_picture_is_held_by_one_sender_at_a_time(folder: Path, fill: Callable) -> None:
    ids = fill(3)
    first, second = Outbox(Catalog(folder)), Outbox(Catalog(folder))
    with first.lease() as mine, second.lease() as others:
        assert len(mine.claim(ids[:2])) == 2
        assert [str(entry.record.id) for entry in others.claim(ids)] == ids[2:]


def test_at_the_end_of_a_lease_what_was_not_sent_is_free_again(
    folder: Path, fill: Callable
) -> None:
    ids = fill(2)
    outbox = Outbox(Catalog(folder))
    with outbox.lease() as lease:
        (entry,) = lease.claim(ids[:1])
        lease.acknowledge([entry])
        lease.claim(ids[1:])
    assert outbox.waiting() == ids[1:]
    with outbox.lease() as lease:
        assert len(lease.claim(ids)) == 1
    assert list((folder / ".imagen" / "leases").iterdir()) == []


@pytest.mark.posix
def test_what_a_killed_sender_held_is_free_for_the_next(folder: Path, fill: Callable) -> None:
    ids = fill(2)
    script = """
        import os, signal, sys
        from imagen_nb.storage.catalog import Catalog
        from imagen_nb.storage.outbox import Outbox
        with Outbox(Catalog(sys.argv[1])).lease() as lease:
            assert len(lease.claim(sys.argv[2:])) == 2
            print("held", flush=True)
            signal.pause()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder), *ids]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    outbox = Outbox(Catalog(folder))
    with outbox.lease() as lease:
        assert lease.claim(ids) == []  # its holder lives
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with outbox.lease() as lease:
        assert len(lease.claim(ids)) == 2


def test_a_rejected_picture_waits_with_the_reason(folder: Path, fill: Callable) -> None:
    ids = fill(1)
    outbox = Outbox(Catalog(folder))
    with outbox.lease() as lease:
        lease.reject(lease.claim(ids)[0], "too large")
    assert outbox.waiting(["pending"]) == []
    assert outbox.waiting() == ids
    (row,) = waiting_frame(outbox.catalog.select("")).to_dict("records")
    assert (row["state"], row["error"]) == ("failed", "too large")


def test_a_released_picture_stays_pending_with_the_reason(folder: Path, fill: Callable) -> None:
    ids = fill(1)
    outbox = Outbox(Catalog(folder))
    with outbox.lease() as lease:
        lease.release(lease.claim(ids), "no network")
        assert len(lease.claim(ids)) == 1
    (entry,) = outbox.entries()
    assert (entry.cloud_state, entry.cloud_error) == ("pending", "no network")


def test_what_is_released_is_free_for_others_at_once(folder: Path, fill: Callable) -> None:
    ids = fill(2)
    first, second = Outbox(Catalog(folder)), Outbox(Catalog(folder))
    with first.lease() as mine, second.lease() as others:
        kept, released = mine.claim(ids)
        mine.release([released])
        (taken,) = others.claim(ids)
        assert taken.record.id == released.record.id
        mine.release([taken])  # it is not mine any more
        assert mine.claim(ids) == [kept]


def test_where_a_picture_goes_is_in_its_sidecar_before_it_goes(
    folder: Path, fill: Callable
) -> None:
    ids = fill(1)
    owner, another, outbox = uuid4(), uuid4(), Outbox(Catalog(folder))
    with outbox.lease() as lease:
        assigned = lease.assign(lease.claim(ids)[0], owner, f"{owner}/2026-05-11/a.png")
    text = assigned.sidecar_path.read_text()
    assert Record.from_sidecar(text) == assigned.record
    assert (assigned.record.owner_user_id, assigned.record.storage_path) == (
        owner,
        f"{owner}/2026-05-11/a.png",
    )
    assert outbox.catalog.get(ids[0]) == assigned
    with outbox.lease() as lease:
        assert lease.assign(assigned, owner, f"{owner}/2026-05-11/a.png") is assigned
        again = lease.assign(assigned, owner, f"{owner}/2026-05-11/a-2.png")
        other = lease.assign(again, another, f"{owner}/2026-05-11/a-2.png")
    assert again.record.storage_path == f"{owner}/2026-05-11/a-2.png"
    assert other.record.owner_user_id == another


def test_only_private_pictures_are_included(folder: Path, fill: Callable) -> None:
    ids = fill(3)
    outbox = Outbox(Catalog(folder))
    with outbox.lease() as lease:
        sent, refused, _ = lease.claim(ids)
        lease.acknowledge([sent])
        lease.reject(refused, "too large")
        before = outbox.catalog.get_many(ids)
        assert outbox.include(ids) == []
    assert [entry.cloud_state for entry in before] == ["synced", "failed", "pending"]
    assert outbox.catalog.get_many(ids) == before


def test_what_shall_go_to_the_cloud_is_committed_for_good(
    folder: Path, fill: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes none of it back."""
    ids, catalog = fill(1, "off"), Catalog(folder)
    modes: list[int] = []

    def watch(begin: Callable) -> Callable:
        @contextmanager
        def begun(catalog: Catalog, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
            with begin(catalog, durable=durable) as connection:
                yield connection
                modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])

        return begun

    for name in ("connection", "transaction"):
        monkeypatch.setattr(Catalog, name, watch(getattr(Catalog, name)))
    Outbox(catalog).include(ids)
    assert modes[-1] == FULL
    with Outbox(catalog).lease() as lease:
        lease.acknowledge(lease.claim(ids))
    Outbox(catalog).resend(catalog.get_many(ids))
    assert modes[-1] == FULL


def test_the_frame_has_its_types_without_any_picture_and_all_times_are_utc(
    folder: Path, fill: Callable
) -> None:
    entries = [entry for id in fill(2) if (entry := Catalog(folder).get(id))]
    west = datetime.timezone(datetime.timedelta(hours=-5))
    record = entries[0].record
    moved = record.model_copy(update={"created_at": record.created_at.astimezone(west)})
    frame = waiting_frame([replace(entries[0], record=moved), entries[1]])
    assert list(frame["created_at"]) == [entry.record.created_at for entry in entries]
    types = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
    assert types == {
        "id": "str",
        "created_at": "datetime64[us, UTC]",
        "prompt": "str",
        "local_path": "str",
        "state": "str",
        "error": "str",
    }
    empty = waiting_frame([])
    assert {str(name): str(dtype) for name, dtype in empty.dtypes.items()} == types


def test_private_pictures_wait_only_when_they_are_named(folder: Path, fill: Callable) -> None:
    ids = fill(2, "off")
    outbox = Outbox(Catalog(folder))
    assert outbox.waiting() == []
    with outbox.lease() as lease:
        assert lease.claim(ids) == []
    assert outbox.include([UUID(ids[0])]) == ids[:1]
    assert outbox.include([ids[0], str(uuid4())]) == []
    assert outbox.waiting() == ids[:1]
    entry = outbox.catalog.get(ids[0])
    assert isinstance(entry, CatalogEntry)
    assert Record.from_sidecar(entry.sidecar_path.read_text()).cloud
    assert load_record(entry.path).cloud is True


def test_a_new_id_is_in_catalog_and_sidecar_and_queued_tags_have_it_too(
    folder: Path, fill: Callable
) -> None:
    first, second = fill(2)
    catalog, new = Catalog(folder), uuid4()
    apply_tag_change(catalog, [first, second], make_tag_change(add=["sea"]))
    with Outbox(catalog).lease() as lease:
        (entry,) = lease.claim([first])
        changed = lease.change_id(entry, new)
        assert Outbox(catalog).waiting() == [str(new), second]
        lease.acknowledge([changed])
    assert catalog.get(first) is None
    found = catalog.get(new)
    assert found
    assert (found.record, found.cloud_state) == (changed.record, "synced")
    assert load_sidecar(found.sidecar_path) == found.record
    assert set(load_queued_tags(catalog)) == {str(new), second}
    assert catalog.find(found.record.model_copy(update={"id": UUID(first)}), found.path) == found
    assert load_png_record(found.path).id == UUID(first)


def test_what_was_sent_waits_again_if_its_copy_was_lost(folder: Path, fill: Callable) -> None:
    sent, catalog = fill(2), Catalog(folder)
    with Outbox(catalog).lease() as lease:
        lease.acknowledge(lease.claim(sent))
    Outbox(catalog).resend(catalog.get_many(sent[:1]))
    assert Outbox(catalog).waiting() == sent[:1]
