"""A path in the bucket is one picture's, whoever uploads at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.claims import MAX_IDS, is_claimed_by, next_id
from imagen_nb.cloud.client import Claim
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.outbox import Outbox
from tests.fixtures.fault_proxy import Fault, FaultProxy
from tests.fixtures.pictures import render, sync
from tests.fixtures.server_state import ServerState, assert_nothing_lost

# Two prompts with one slug: pictures of the same names, with other pixels.
PROMPTS = ("a boat", "a boat!")
NO_TABLE = Fault(
    "no table",
    404,
    b'{"code":"PGRST205","details":null,"hint":null,'
    b'"message":"Could not find the table \'imagen.claims\' in the schema cache"}',
)


def pictures_on_two_machines(tmp_path: Path, count: int) -> list[Path]:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, prompt in zip(folders, PROMPTS, strict=True):
        render(folder, count, prompt=prompt)
    return folders


@pytest.mark.parametrize("who", ["account", "signed_in"])
def test_two_machines_that_send_pictures_of_one_name_at_once_overwrite_nothing(
    who: str, tmp_path: Path, proxy: FaultProxy, server: ServerState, request: Any
) -> None:
    account = request.getfixturevalue(who)
    proxy.checks_first = 2.0
    folders = pictures_on_two_machines(tmp_path, 8)
    with ThreadPoolExecutor(2) as machines:
        reports = [*machines.map(lambda folder: sync(folder, account), folders)]
    assert [(report.synced, report.failed, report.trouble) for report in reports] == [
        (8, (), None)
    ] * 2
    assert proxy.overtaken == 0
    assert_nothing_lost(folders, server, 16)


def claim_requests(proxy: FaultProxy) -> list[str]:
    return [method for method, path in proxy.requests if path.startswith("/rest/v1/claims")]


def test_the_paths_of_a_part_are_claimed_in_one_request(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render(folder, 16)
    assert sync(folder, account).synced == 16
    assert claim_requests(proxy) == ["POST"] * 8  # for eight senders with two pictures each


def test_numbers_are_given_to_many_at_once(
    tmp_path: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    one, two = pictures_on_two_machines(tmp_path, 16)
    sync(one, account)
    proxy.requests.clear()
    assert sync(two, account).synced == 16
    assert claim_requests(proxy).count("POST") == 2 * 8
    assert claim_requests(proxy).count("GET") == 8
    assert {name[-6:] for name in server.objects() if "-2.png" in name} == {"-2.png"}
    assert_nothing_lost([one, two], server, 32)


def test_a_claim_without_an_upload_stays_its_pictures(
    tmp_path: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    """The first machine dies before the upload: the other one leaves it the path."""
    one, two = pictures_on_two_machines(tmp_path, 1)
    proxy.choose = lambda method, path: Fault("400", 400, b"{}") if "/object/" in path else None
    assert sync(one, account).synced == 0
    proxy.choose = lambda method, path: None
    assert sync(two, account).synced == 1
    assert sync(one, account).synced == 1
    names = {Catalog(folder).latest(1)[0].record.storage_path for folder in (one, two)}
    assert names == {"2026-05-11/a-boat-0.png", "2026-05-11/a-boat-0-2.png"}
    assert Catalog(one).latest(1)[0].record.storage_path == "2026-05-11/a-boat-0.png"
    assert_nothing_lost([one, two], server, 2)


def test_an_object_from_before_there_were_claims_is_not_overwritten(
    tmp_path: Path, account: Account, server: ServerState
) -> None:
    one, two = pictures_on_two_machines(tmp_path, 3)
    sync(one, account)
    server.forget_claims()
    assert sync(two, account).synced == 3
    assert_nothing_lost([one, two], server, 6)


def test_without_the_table_one_line_says_what_to_do_and_pictures_are_kept(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render(folder, 3)
    proxy.choose = lambda method, path: NO_TABLE if "/claims" in path else None
    report = sync(folder, account)
    assert (report.synced, report.pending) == (0, 3)
    assert report.trouble
    assert report.trouble.endswith("the table imagen.claims is missing: run `imagen db migrate`")
    assert [*server.objects()] == []
    proxy.choose = lambda method, path: None
    assert sync(folder, account).synced == 3
    assert_nothing_lost([folder], server, 3)


def entry_of(folder: Path) -> CatalogEntry:
    render(folder, 1)
    (entry,) = Outbox(Catalog(folder)).entries()
    return entry


def test_a_claim_is_a_pictures_under_each_id_that_it_had_and_nobody_elses(folder: Path) -> None:
    entry, owner = entry_of(folder), uuid4()
    id = entry.record.id
    assert is_claimed_by(entry, Claim(id, owner, False), owner)
    assert not is_claimed_by(entry, Claim(id, uuid4(), False), owner)
    assert not is_claimed_by(entry, Claim(uuid4(), owner, False), owner)
    first = UUID(int=7)
    renamed = entry.record.model_copy(update={"id": next_id(owner, next_id(owner, first))})
    later = CatalogEntry(renamed, entry.path, entry.sidecar_path, "pending")
    assert is_claimed_by(later, Claim(first, owner, False), owner)
    assert not is_claimed_by(later, Claim(first, uuid4(), False), owner)
    assert MAX_IDS >= 2
