"""Uploads to servers that refuse early, read no more, or hang: the other pictures go up."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from PIL import Image

from imagen_nb.cloud import connection
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectExistsError, TooSlowError
from imagen_nb.cloud.objects import _TimedBody
from imagen_nb.cloud.sync import drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.pictures import DAY
from tests.fixtures.server_state import ServerState, assert_nothing_lost


def patience(timeout: httpx.Timeout) -> connection.TimeoutPolicy:
    return connection.TimeoutPolicy(timeout, connection.MAX_ATTEMPTS)


LARGE, HUGE = 330, 2000  # pixels of a side: 330 kB, and 12 MB, more than sockets buffer


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SENDER_TIMEOUTS", patience(httpx.Timeout(10, write=1)))


def render_noise(folder: Path, side: int, count: int, first: int = 0) -> None:
    output = PictureFiles(folder)
    with closing(Catalog(folder)) as catalog:
        for seed in range(first, first + count):
            image = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
            record = Record(
                prompt="noise", backend="b", seed=seed, steps=4, width=side, height=side
            )
            catalog.add(output.save(image, record, DAY), "pending")


def sync_once(folder: Path, account: Account) -> SyncReport:
    """A sync that tries every request once: one that hangs is trouble."""
    with closing(Cloud(account, attempts=1)) as cloud, closing(Catalog(folder)) as catalog:
        return drain(catalog, cloud)


def forget_acknowledgements(folder: Path) -> None:
    """As when the process died before it noted what the cloud has."""
    with Catalog(folder).connection() as catalog:
        catalog.execute("UPDATE images SET cloud_state = 'pending'")


def test_what_may_be_there_is_asked_for_before_it_is_sent_again(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    proxy.checks_first = 0
    render_noise(folder, LARGE, 6)
    assert sync_once(folder, account).synced == 6
    forget_acknowledgements(folder)
    proxy.requests.clear()
    assert sync_once(folder, account).synced == 6
    assert proxy.seen["refused early"] == 0
    assert not [path for method, path in proxy.requests if "/object/imagen" in path]
    assert_nothing_lost([folder], server, 6)


@pytest.mark.parametrize("senders", [1, 8])
def test_a_connection_over_which_an_upload_was_refused_is_not_used_again(
    senders: int, folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    proxy.checks_first = 0
    render_noise(folder, LARGE, 8)
    assert sync_once(folder, account).synced == 8
    forget_acknowledgements(folder)
    server.forget_claims()  # as those have none that an earlier version sent
    with closing(Cloud(account, attempts=1)) as cloud, closing(Catalog(folder)) as catalog:
        report = drain(catalog, cloud, senders=senders)
    assert (report.synced, report.unsent, report.trouble) == (8, (), None)
    assert proxy.seen["refused early"] == 8
    assert_nothing_lost([folder], server, 8)


def test_a_large_upload_that_is_refused_while_it_is_sent_is_found_to_be_there(
    folder: Path, account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    render_noise(folder, HUGE, 1)
    assert sync_once(folder, account).synced == 1
    forget_acknowledgements(folder)
    server.forget_claims()
    render_noise(folder, LARGE, 2, first=1)
    proxy.checks_first = 0
    report = sync_once(folder, account)
    assert (report.synced, report.unsent, report.trouble) == (3, (), None)
    assert proxy.seen["refused early"] == 1
    assert_nothing_lost([folder], server, 3)


HANG = Fault("hang", cut="before", hang=60)


def test_a_picture_that_takes_too_long_stops_no_other_and_waits(
    folder: Path,
    account: Account,
    proxy: FaultProxy,
    server: ServerState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SENDER_TIMEOUTS", patience(httpx.Timeout(4)))
    render_noise(folder, 8, 12)
    slow = "noise-5.png"
    proxy.choose = lambda method, path: HANG if method == "POST" and slow in path else None
    report = sync_once(folder, account)
    assert (report.synced, report.failed, report.trouble, report.pending) == (11, (), None, 1)
    ((id, reason),) = report.postponed
    assert "takes too long" in reason
    (entry,) = Catalog(folder).select("WHERE cloud_state = 'pending'")
    assert (str(entry.record.id), entry.cloud_error) == (id, reason)
    proxy.choose = lambda method, path: None
    assert sync_once(folder, account).synced == 1
    assert_nothing_lost([folder], server, 12)


def test_a_server_that_takes_too_long_for_every_picture_is_trouble(
    folder: Path,
    account: Account,
    proxy: FaultProxy,
    server: ServerState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render_noise(folder, 8, 80)
    proxy.choose = lambda method, path: (
        HANG if method == "POST" and "/object/imagen" in path else None
    )
    with monkeypatch.context() as impatient:
        impatient.setattr(connection, "SENDER_TIMEOUTS", patience(httpx.Timeout(1)))
        report = sync_once(folder, account)
    assert (report.synced, report.pending) == (0, 80)
    assert report.trouble
    assert len(report.postponed) <= 2 * 8
    proxy.choose = lambda method, path: None
    monkeypatch.setattr(connection, "SENDER_TIMEOUTS", patience(httpx.Timeout(60)))
    assert sync_once(folder, account).synced == 80


def test_an_upload_whose_answer_was_lost_is_asked_for_before_it_is_tried_again(
    account: Account, proxy: FaultProxy, server: ServerState
) -> None:
    faults = iter([FAULTS["cut after"]])
    proxy.choose = lambda method, path: next(faults, None) if "/object/imagen" in path else None
    with closing(Cloud(account)) as cloud:
        with pytest.raises(ObjectExistsError):
            cloud.upload("2026-05-11/x.png", b"png")
        assert cloud.object_info("2026-05-11/x.png")
    uploads = [path for method, path in proxy.requests if "/object/imagen" in path]
    assert len(uploads) == 1


def test_the_time_for_an_upload_follows_its_size_and_ends_it() -> None:
    assert _TimedBody(b"png", 10).read() == b"png"
    with pytest.raises(httpx.WriteTimeout):
        _TimedBody(b"png", -1).read()
    assert issubclass(TooSlowError, Exception)
