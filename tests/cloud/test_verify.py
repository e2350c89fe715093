"""Copies compared with the pictures here, and sent again where they are lost or another."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import BUCKET
from imagen_nb.cloud.sync_report import RepairReport
from imagen_nb.cloud.verify import compare_copies, repair_copies
from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.credentials import PictureSigner
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.pictures import render, sync
from tests.fixtures.server_state import ServerState, assert_nothing_lost
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.fixture(params=["account", "signed_in"])
def who(request: Any) -> Account:
    account: Account = request.getfixturevalue(request.param)
    return account


def entries_of(folder: Path) -> list[CatalogEntry]:
    with closing(Catalog(folder)) as catalog:
        return catalog.select("ORDER BY path")


def path_of(entry: CatalogEntry) -> str:
    assert entry.record.storage_path
    return entry.record.storage_path


def differences(folder: Path, account: Account, attempts: int = 1) -> list[str]:
    with closing(Cloud(account, attempts)) as cloud:
        return [one.line for one in compare_copies(entries_of(folder), cloud)]


def repair(folder: Path, account: Account) -> RepairReport:
    with closing(Cloud(account)) as cloud, closing(Catalog(folder)) as catalog:
        return repair_copies(catalog, catalog.select("ORDER BY path"), cloud)


def remove(entry: CatalogEntry, server: ServerState) -> None:
    server.client.storage.from_(BUCKET).remove([path_of(entry)])


def overwrite(entry: CatalogEntry, png: bytes, server: ServerState) -> None:
    options: Any = {"content-type": "image/png", "upsert": "true"}
    server.client.storage.from_(BUCKET).upload(path_of(entry), png, options)


def remove_row(entry: CatalogEntry, server: ServerState) -> None:
    table = server.client.schema("imagen").from_("images")
    table.delete().eq("id", str(entry.record.id)).execute()


def test_every_picture_that_differs_is_named_though_one_object_answers_500(
    folder: Path, who: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render(folder, 6)
    sync(folder, who)
    entries = entries_of(folder)
    remove(entries[0], server)
    overwrite(entries[2], b"another", server)
    remove_row(entries[5], server)
    unreadable = path_of(entries[1])
    proxy.choose = lambda method, path: (
        FAULTS["500"] if method == "GET" and unreadable in path else None
    )
    lines = differences(folder, who)
    names = [entries[number].path.name for number in (0, 1, 2, 5)]
    assert [line.partition(":")[0] for line in lines] == names
    assert "no object" in lines[0]
    assert "could not be read: Supabase is in trouble (HTTP 500)" in lines[1]
    assert "is another file" in lines[2]
    assert "no row" in lines[3]


def test_a_signed_picture_arrives_as_it_was_signed(
    folder: Path, account: Account, server: ServerState, signing: ProvenanceSettings
) -> None:
    render(folder, 1, signer=PictureSigner(signing))
    assert sync(folder, account).synced == 1
    assert differences(folder, account) == []
    assert_nothing_lost([folder], server, 1)
    (row,) = server.rows()
    assert row["sidecar"]["content_credentials"] == "signed"


def test_what_is_lost_or_overwritten_is_sent_again(
    folder: Path, who: Account, server: ServerState
) -> None:
    render(folder, 6)
    sync(folder, who)
    rows, entries = server.rows(), entries_of(folder)
    remove(entries[0], server)
    overwrite(entries[2], b"another", server)
    remove_row(entries[4], server)
    remove(entries[5], server)
    remove_row(entries[5], server)
    report = repair(folder, who)
    assert (len(report.repaired), report.left, report.sync.synced) == (4, (), 4)
    assert_nothing_lost([folder], server, 6)
    assert server.rows() == rows
    assert repair(folder, who).sync.synced == 0


def test_the_copy_of_another_picture_is_never_overwritten_by_a_repair(
    tmp_path: Path, who: Account, server: ServerState
) -> None:
    """Two machines' pictures under one path, from before there were claims: the last won."""
    one, two = tmp_path / "one", tmp_path / "two"
    render(one, 1)
    render(two, 1, prompt="a boat!")
    sync(one, who)
    (first,) = entries_of(one)
    sync(two, who)
    (second,) = entries_of(two)
    remove(second, server)
    overwrite(first, second.path.read_bytes(), server)
    with closing(Catalog(two)) as catalog:
        catalog.amend(second, storage_path=path_of(first))
    redirected = {"storage_path": path_of(first)}
    table = server.client.schema("imagen").from_("images")
    table.update(redirected).eq("id", str(second.record.id)).execute()
    assert differences(two, who) == []
    report = repair(one, who)
    assert (len(report.repaired), report.left) == (1, ())
    assert differences(one, who) == differences(two, who) == []
    (moved,) = entries_of(one)
    assert path_of(moved) != path_of(first)
    assert (moved.record.id == first.record.id) == (who.email is None)


def test_a_sidecar_that_forgot_its_path_learns_it_from_the_row(
    tmp_path: Path, who: Account, server: ServerState
) -> None:
    render(tmp_path / "one", 1)
    render(tmp_path / "two", 1, prompt="a boat!")
    sync(tmp_path / "one", who)
    folder = tmp_path / "two"
    sync(folder, who)
    (entry,) = entries_of(folder)
    with closing(Catalog(folder)) as catalog:
        catalog.amend(entry, storage_path=path_of(entry).replace("-2.png", ".png"))
    assert "its row names" in differences(folder, who)[0]
    report = repair(folder, who)
    assert (len(report.repaired), report.left, report.sync.synced) == (1, (), 0)
    assert_nothing_lost([tmp_path / "one", folder], server, 2)


def test_a_file_that_was_changed_here_replaces_no_copy(
    folder: Path, who: Account, server: ServerState
) -> None:
    render(folder, 1)
    sync(folder, who)
    (entry,) = entries_of(folder)
    png = entry.path.read_bytes()
    entry.path.write_bytes(png + b"x")
    report = repair(folder, who)
    assert (report.repaired, len(report.left)) == ((), 1)
    assert "was changed since it was drawn" in report.left[0]
    entry.path.write_bytes(png)
    assert_nothing_lost([folder], server, 1)


def test_the_command_says_what_it_put_right(
    folder: Path,
    tmp_path: Path,
    local_supabase: TwoUsers,
    signed_in: Account,
    server: ServerState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    render(folder, 3)
    sync(folder, signed_in)
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings(folder, local_supabase)))
    config.chmod(0o600)
    remove(entries_of(folder)[1], server)
    assert run(["sync", "--verify", "--config", str(config)]) == 1
    told = capsys.readouterr()
    assert "2 of 3 copies" in told.out
    assert "no object" in told.err
    assert run(["sync", "--repair", "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert "3 of 3 copies" in told.out
    assert "put right: 2026-05-11-a-boat-1.png: no object" in told.out
    assert told.err == ""
    assert run(["sync", "--repair", "--json", "--config", str(config)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["verified"], facts["wrong"], facts["repaired"]) == (3, [], [])
