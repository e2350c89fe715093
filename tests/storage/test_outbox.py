"""The outbox: what waits for the cloud, and who holds it."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
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


def test_where_a_picture_goes_is_in_its_sidecar_before_it_goes(
    folder: Path, fill: Callable
) -> None:
    ids = fill(1)
    owner, outbox = uuid4(), Outbox(Catalog(folder))
    with outbox.lease() as lease:
        assigned = lease.assign(lease.claim(ids)[0], owner, f"{owner}/2026-05-11/a.png")
    text = assigned.sidecar_path.read_text()
    assert Record.from_sidecar(text) == assigned.record
    assert (assigned.record.owner_user_id, assigned.record.storage_path) == (
        owner,
        f"{owner}/2026-05-11/a.png",
    )
    assert outbox.catalog.get(ids[0]) == assigned


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
    assert catalog.find(UUID(first), found.path) == found
    assert load_png_record(found.path).id == UUID(first)


def test_what_was_sent_waits_again_if_its_copy_was_lost(folder: Path, fill: Callable) -> None:
    sent, catalog = fill(2), Catalog(folder)
    with Outbox(catalog).lease() as lease:
        lease.acknowledge(lease.claim(sent))
    Outbox(catalog).resend(catalog.get_many(sent[:1]))
    assert Outbox(catalog).waiting() == sent[:1]
