"""Whatever happens to the network, the server or the process: after one quiet `sync`, local
pictures = objects = rows, byte for byte, nothing twice, nothing orphaned; and no render failed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from imagen_nb.cloud import connection
from imagen_nb.cloud.account import Account, Session, sign_in
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.system.clock import SystemClock
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.kill_points import killing
from tests.fixtures.pictures import render, sync
from tests.fixtures.server_state import ServerState, assert_nothing_lost

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_waits")]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_on_a_third_of_the_requests(
    name: str, folder: Path, proxy: FaultProxy, account: Account, server: ServerState
) -> None:
    dice = random.Random(name)
    proxy.choose = lambda method, path: FAULTS[name] if dice.random() < 1 / 3 else None
    render(folder, 12)
    sync(folder, account)
    assert proxy.seen[name] > 0
    proxy.choose = lambda method, path: None
    report = sync(folder, account)
    assert (report.failed, report.trouble) == ((), None)
    assert_nothing_lost([folder], server, 12)


@pytest.mark.parametrize("who", ["account", "signed_in"])
def test_all_faults_at_random(
    who: str, folder: Path, proxy: FaultProxy, server: ServerState, request: Any
) -> None:
    account, dice = request.getfixturevalue(who), random.Random(who)
    faults: list[Fault | None] = [*FAULTS.values(), *([None] * 2 * len(FAULTS))]
    proxy.choose = lambda method, path: dice.choice(faults)
    for part in range(4):
        render(folder, 20, first=20 * part)
        sync(folder, account)
    proxy.choose = lambda method, path: None
    report = sync(folder, account)
    assert (report.failed, report.trouble) == ((), None)
    assert_nothing_lost([folder], server, 80)


def test_a_server_that_is_down_and_comes_back(
    folder: Path, proxy: FaultProxy, account: Account, server: ServerState
) -> None:
    proxy.down = True
    render(folder, 20)
    report = sync(folder, account)
    assert report.synced == 0
    assert report.pending == 20
    assert report.trouble
    assert "cannot be reached" in report.trouble
    proxy.down = False
    assert sync(folder, account).synced == 20
    assert_nothing_lost([folder], server, 20)


ROOT = Path(__file__).parents[2]
PROCESS = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from uuid import UUID
    from pydantic import SecretStr
    from tests.fixtures.pictures import render, sync, wait_little
    from imagen_nb.cloud.account import Account
    wait_little()
    folder, url, key, owner, count = Path(sys.argv[2]), *sys.argv[3:]
    print("ready", flush=True)
    sys.stdin.readline()
    if int(count):
        render(folder, int(count))
    report = sync(folder, Account(url, SecretStr(key), owner=UUID(owner)))
    print(report.synced, flush=True)
"""


def start(folder: Path, account: Account, count: int, killed_at: str = "") -> subprocess.Popen[str]:
    arguments = [str(ROOT), str(folder), account.url]
    arguments += [account.key.get_secret_value(), str(account.owner), str(count)]
    return subprocess.Popen(
        [sys.executable, "-c", killing(killed_at) + textwrap.dedent(PROCESS), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


KEEPING = ("before-flush", "before-png", "after-png", "after-sidecar", "after-catalog")
SENDING = (
    "after-claim",
    "before-upload",
    "after-upload",
    "after-verify",
    "before-row",
    "after-row",
    "after-ack",
)


@pytest.mark.parametrize("boundary", [*KEEPING, *SENDING])
def test_a_process_killed_at_any_boundary(
    boundary: str, folder: Path, account: Account, server: ServerState
) -> None:
    process = start(folder, account, 10, f"{boundary}:4" if "ack" not in boundary else boundary)
    process.communicate("\n", timeout=120)
    assert process.returncode == -signal.SIGKILL
    PictureFiles(folder)  # whoever works there next clears what the dead left
    reindex(folder)
    kept = len(Outbox(Catalog(folder)).waiting(["pending", "failed", "synced"]))
    assert kept == len([*folder.glob("*.png")]) >= 2
    assert [*folder.glob(".imagen-*.tmp")] == []
    sync(folder, account)
    assert_nothing_lost([folder], server, kept)


def test_two_processes_drain_one_catalog(
    folder: Path, account: Account, server: ServerState, proxy: FaultProxy
) -> None:
    render(folder, 60)
    processes = [start(folder, account, 0) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(counts) == 60
    uploads = [path for method, path in proxy.requests if method == "POST" and "/object/" in path]
    assert len(uploads) == len(set(uploads)) == 60
    assert_nothing_lost([folder], server, 60)


def test_two_folders_with_pictures_of_the_same_name(
    tmp_path: Path, account: Account, server: ServerState
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        render(folder, 10)
        sync(folder, account)
    assert_nothing_lost(folders, server, 20)


def test_a_torn_sidecar_is_whole_again_after_the_sync(
    folder: Path, account: Account, server: ServerState
) -> None:
    render(folder, 8)
    for sidecar in folder.glob("*.json"):
        sidecar.write_text(sidecar.read_text()[:100])
    sync(folder, account)
    assert_nothing_lost([folder], server, 8)
    for sidecar in folder.glob("*.json"):
        assert Record.from_sidecar(sidecar.read_text()).owner_user_id


def test_a_clock_set_back_between_render_and_sync(
    folder: Path, account: Account, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    render(folder, 8)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 7200)
    render(folder, 8, prompt="a boat, two hours earlier")
    sync(folder, account)
    assert_nothing_lost([folder], server, 16)


def test_a_full_disk_while_a_picture_is_assigned(
    folder: Path, account: Account, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    render(folder, 8)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as disk:
        disk.setattr("imagen_nb.storage.output.write_atomically", full)
        report = sync(folder, account)
    assert len(report.failed) == 8
    assert "No space left" in report.failed[0][1]
    assert [*server.objects()] == []
    sync(folder, account)
    assert_nothing_lost([folder], server, 8)


def test_a_revoked_key_is_a_clear_message_and_loses_nothing(
    folder: Path, account: Account, server: ServerState
) -> None:
    render(folder, 8)
    revoked = Account(account.url, SecretStr("sb_secret_revoked"), owner=account.owner)
    report = sync(folder, revoked)
    assert report.synced == 0
    assert report.trouble
    assert "supabase.key" in report.trouble
    assert "sb_secret_revoked" not in report.trouble
    sync(folder, account)
    assert_nothing_lost([folder], server, 8)


def test_an_expired_session_is_renewed(
    folder: Path, signed_in: Account, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Session] = []

    def spoiled_once(account: Account, http: httpx.Client, clock: SystemClock) -> Session:
        made.append(sign_in(account, http, clock))
        if len(made) == 1:
            spoil(made[0])
        return made[-1]

    monkeypatch.setattr(connection, "sign_in", spoiled_once)
    render(folder, 8)
    report = sync(folder, signed_in)
    assert (report.synced, report.trouble) == (8, None)
    assert len(made) == 2
    assert_nothing_lost([folder], server, 8)


def spoil(session: Session) -> None:
    """Let a session look like one that has run out: its token is refused."""
    for headers in (session.storage._headers, session.tables.headers):
        headers["Authorization"] = "Bearer " + headers["Authorization"][-20:]


def test_an_altered_picture_is_not_sent_and_says_so(
    folder: Path, account: Account, server: ServerState
) -> None:
    render(folder, 2)
    first = sorted(folder.glob("*.png"))[0]
    original = first.read_bytes()
    first.write_bytes(original + b"x")
    report = sync(folder, account)
    assert report.synced == 1
    assert "was changed since it was drawn" in report.failed[0][1]
    first.write_bytes(original)
    sync(folder, account)
    assert_nothing_lost([folder], server, 2)


def test_a_prompt_with_characters_that_no_database_takes(
    folder: Path, account: Account, server: ServerState
) -> None:
    render(folder, 1, prompt="a boat\0 and \U0001f409 'quoted' \\u0000")
    sync(folder, account)
    assert_nothing_lost([folder], server, 1)
    assert (
        server.rows()[0]["prompt"]
        == "a boat\N{REPLACEMENT CHARACTER} and \U0001f409 'quoted' \\u0000"
    )
