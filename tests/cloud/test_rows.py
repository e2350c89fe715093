"""Rows of imagen.images: halved if they are too many, under another id if that is taken."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.claims import next_id
from imagen_nb.cloud.client import Cloud
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.output import PictureFiles, load_png_record, load_sidecar
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import apply_tag_change, load_queued_tags, make_tag_change
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.kill_points import killing
from tests.fixtures.pictures import DAY, render, sync
from tests.fixtures.server_state import ServerState, assert_nothing_lost
from tests.fixtures.supabase_fixtures import TwoUsers, settings

ROOT = Path(__file__).parents[2]


def test_rows_that_are_too_large_together_are_sent_in_parts(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render(folder, 128)
    proxy.largest_body = 6_000
    report = sync(folder, account)
    assert (report.synced, report.failed, report.trouble) == (128, (), None)
    assert proxy.seen["too large"] > 0
    proxy.largest_body = None
    assert_nothing_lost([folder], server, 128)


def test_a_row_that_is_too_large_by_itself_fails_alone(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render(folder, 3)
    render(folder, 1, first=3, prompt="a boat " + "and another " * 2_000)
    proxy.largest_body = 20_000
    report = sync(folder, account)
    assert report.synced == 3
    ((_, reason),) = report.failed
    assert "HTTP 413" in reason


def take_ids(entries: list[CatalogEntry], owner: str, server: ServerState) -> None:
    """Insert rows of another user's with the ids of these pictures."""
    for entry in entries:
        row = entry.record.to_row() | {"owner_user_id": owner, "prompt": "not yours"}
        row |= {"storage_path": f"{owner}/2026-05-11/{entry.record.id}.png", "tags": []}
        server.client.schema("imagen").from_("images").insert(row).execute()


def entries_of(folder: Path) -> list[CatalogEntry]:
    with closing(Catalog(folder)) as catalog:
        return catalog.select("ORDER BY path")


def own_rows(server: ServerState, owner: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in server.rows() if row["owner_user_id"] == owner}


@pytest.mark.parametrize("who", ["account", "signed_in"])
def test_a_picture_whose_id_a_stranger_took_goes_up_under_another(
    who: str, folder: Path, local_supabase: TwoUsers, server: ServerState, request: Any
) -> None:
    render(folder, 3)
    before = entries_of(folder)
    take_ids(before[:2], local_supabase.other.id, server)
    report = sync(folder, request.getfixturevalue(who))
    assert (report.synced, report.failed, report.trouble) == (3, (), None)
    owner, after = UUID(local_supabase.user_id), entries_of(folder)
    assert [entry.record.id for entry in after] == [
        *(uuid5(owner, str(entry.record.id)) for entry in before[:2]),
        before[2].record.id,
    ]
    rows = own_rows(server, str(owner))
    assert set(rows) == {str(entry.record.id) for entry in after}
    assert len([*server.objects()]) == 3
    for entry, old in zip(after, before, strict=True):
        assert entry.cloud_state == "synced"
        assert load_sidecar(entry.sidecar_path) == entry.record
        assert load_png_record(entry.path).id == old.record.id
        path = rows[str(entry.record.id)]["storage_path"]
        assert path == entry.record.storage_path
        assert server.sha256(path) == entry.record.sha256
    assert [row["prompt"] for row in server.rows()].count("not yours") == 2


def test_queued_tags_go_with_the_id(
    folder: Path, account: Account, local_supabase: TwoUsers, server: ServerState
) -> None:
    render(folder, 1)
    (before,) = entries_of(folder)
    take_ids([before], local_supabase.other.id, server)
    with closing(Catalog(folder)) as catalog:
        apply_tag_change(catalog, [str(before.record.id)], make_tag_change(add=["sea"]))
        sync(folder, account)
        (after,) = entries_of(folder)
        assert [*load_queued_tags(catalog)] == [str(after.record.id)]
    (row,) = own_rows(server, local_supabase.user_id).values()
    assert row["tags"] == ["sea"]


def test_a_copied_folder_gets_the_same_new_id_and_one_row(
    tmp_path: Path, account: Account, local_supabase: TwoUsers, server: ServerState
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    render(one, 2)
    shutil.copytree(one, two)
    take_ids(entries_of(one), local_supabase.other.id, server)
    assert [sync(folder, account).synced for folder in (one, two)] == [2, 2]
    ids = [[entry.record.id for entry in entries_of(folder)] for folder in (one, two)]
    assert ids[0] == ids[1]
    assert len(own_rows(server, local_supabase.user_id)) == len([*server.objects()]) == 2


def test_a_colleague_with_a_copied_folder_has_pictures_of_their_own(
    tmp_path: Path,
    signed_in: Account,
    proxy: FaultProxy,
    local_supabase: TwoUsers,
    server: ServerState,
) -> None:
    from pydantic import SecretStr

    one, two = tmp_path / "one", tmp_path / "two"
    render(one, 2)
    shutil.copytree(one, two)
    other = local_supabase.other
    colleague = Account(proxy.url, signed_in.key, other.email, SecretStr(other.password))
    assert [sync(one, signed_in).synced, sync(two, colleague).synced] == [2, 2]
    assert_nothing_lost([one, two], server, 4)


def test_a_lost_catalog_and_another_way_to_sign_in_make_no_second_row(
    folder: Path, account: Account, signed_in: Account, server: ServerState
) -> None:
    render(folder, 2)
    sync(folder, account)
    rows = server.rows()
    for file in (folder / ".imagen").iterdir():
        if file.is_file():
            file.unlink()
    reindex(folder)
    report = sync(folder, signed_in)
    assert (report.synced, report.failed) == (2, ())
    assert server.rows() == rows
    assert [entry.record.storage_path for entry in entries_of(folder)] == [
        "2026-05-11/a-boat-0.png",
        "2026-05-11/a-boat-1.png",
    ]


PROCESS = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from uuid import UUID
    from pydantic import SecretStr
    from tests.fixtures.pictures import sync
    from imagen_nb.cloud.account import Account
    folder, url, key, owner = Path(sys.argv[2]), *sys.argv[3:]
    sync(folder, Account(url, SecretStr(key), owner=UUID(owner)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("boundary", ["after-id-queue", "after-id-sidecar", "after-id-row"])
def test_a_process_killed_while_an_id_changes(
    boundary: str,
    lost: bool,
    folder: Path,
    account: Account,
    local_supabase: TwoUsers,
    server: ServerState,
) -> None:
    render(folder, 1)
    (before,) = entries_of(folder)
    take_ids([before], local_supabase.other.id, server)
    with closing(Catalog(folder)) as catalog:
        apply_tag_change(catalog, [str(before.record.id)], make_tag_change(add=["sea"]))
    arguments = [str(ROOT), str(folder), account.url]
    arguments += [account.key.get_secret_value(), str(account.owner)]
    died = subprocess.run(
        [sys.executable, "-c", killing(boundary) + textwrap.dedent(PROCESS), *arguments],
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL
    if lost:
        reindex(folder)
    assert sync(folder, account).synced == 1
    (after,) = entries_of(folder)
    assert after.cloud_state == "synced"
    assert after.record.id == next_id(UUID(local_supabase.user_id), before.record.id)
    assert load_sidecar(after.sidecar_path) == after.record
    ((id, row),) = own_rows(server, local_supabase.user_id).items()
    assert (id, row["tags"]) == (str(after.record.id), ["sea"])
    assert len([*server.objects()]) == 1
    with closing(Catalog(folder)) as catalog, closing(Cloud(account)) as cloud:
        from imagen_nb.cloud.tags import push_tags

        push_tags(catalog, cloud)
        assert load_queued_tags(catalog) == {}
    assert [row["tags"] for row in server.rows() if row["prompt"] == "not yours"] == [[]]


def test_a_picture_knows_its_copy_and_is_tagged_after_its_id_changed(
    folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    drawing = {"backend": "flux-tiny-local", "steps": 1, "width": 64, "height": 64}
    with im.Studio(settings(folder, local_supabase) | drawing, background=False) as studio:
        picture = studio.generate("a red boat", seed=3)
        (entry,) = studio.waiting()
        take_ids([entry], local_supabase.other.id, server)
        assert studio.sync().synced == 1
        assert picture.cloud == "synced"
        assert studio.tag(picture, "sea") == 1
        assert studio.sync().tagged == 1
        assert studio.verify() == []
    (row,) = own_rows(server, local_supabase.user_id).values()
    assert row["tags"] == ["sea"]


def keep_job_picture(folder: Path, job: UUID, seed: int, shade: int) -> CatalogEntry:
    """Keep a picture that was drawn for a job, as a worker does."""
    image = Image.new("RGB", (24, 16), (shade, shade, shade))
    facts = {"prompt": "a boat", "backend": "b", "steps": 4, "width": 24, "height": 16}
    record = Record.model_validate({**facts, "seed": seed, "id": job, "job": job})
    with closing(Catalog(folder)) as catalog:
        catalog.add(PictureFiles(folder).save(image, record, DAY), "pending")
    (entry,) = entries_of(folder)
    return entry


@pytest.mark.parametrize("who", ["account", "signed_in"])
def test_a_jobs_picture_that_another_machine_drew_is_given_no_other_id(
    who: str, tmp_path: Path, server: ServerState, request: Any
) -> None:
    account, job = request.getfixturevalue(who), uuid4()
    first = keep_job_picture(tmp_path / "one", job, 1, 10)
    second = keep_job_picture(tmp_path / "two", job, 1, 20)
    assert sync(tmp_path / "one", account).synced == 1
    report = sync(tmp_path / "two", account)
    assert [id for id, _ in report.failed] == [str(job)]
    (row,) = server.rows()
    assert (row["id"], row["sidecar"]["sha256"]) == (str(job), first.record.sha256)
    assert server.sha256(row["storage_path"]) == first.record.sha256
    (after,) = entries_of(tmp_path / "two")
    assert (after.record.id, after.cloud_state) == (job, "failed")
    assert after.record.storage_path != row["storage_path"]
    assert after.record.sha256 == second.record.sha256


def test_a_jobs_picture_whose_id_is_a_strangers_is_given_no_other_id(
    folder: Path, account: Account, local_supabase: TwoUsers, server: ServerState
) -> None:
    entry = keep_job_picture(folder, uuid4(), 1, 10)
    take_ids([entry], local_supabase.other.id, server)
    assert [id for id, _ in sync(folder, account).failed] == [str(entry.record.id)]
    (after,) = entries_of(folder)
    assert after.record.id == entry.record.id
    assert own_rows(server, local_supabase.user_id) == {}


def test_a_jobs_picture_that_went_up_before_a_crash_is_acknowledged(
    folder: Path, account: Account, server: ServerState
) -> None:
    entry = keep_job_picture(folder, uuid4(), 1, 10)
    assert sync(folder, account).synced == 1
    with closing(Catalog(folder)) as catalog, catalog.transaction() as connection:
        connection.execute("UPDATE images SET cloud_state = 'pending'")
    assert sync(folder, account).synced == 1
    assert [row["id"] for row in server.rows()] == [str(entry.record.id)]
    assert len([*server.objects()]) == 1
