"""The worker in the background: what it sends, and when."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from imagen_nb.cloud import worker as module
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.worker import Worker
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.outbox import Outbox
from tests.fixtures.pictures import render

NOWHERE = Account("http://127.0.0.1:9", SecretStr("k"))


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_pictures_named_while_others_are_interrupted_wait_beside_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A render interrupts the sending of one picture and names the next."""
    render(folder, 2)
    catalog, worker = Catalog(folder), Worker(NOWHERE, 0)
    first, second = Outbox(catalog).waiting()
    sent: list[list[str]] = []

    def interrupted(catalog: Catalog, cloud: Cloud, ids: list[str], **_: Any) -> SyncReport:
        sent.append(ids)
        if len(sent) == 1:
            worker.notify(catalog, [second])
        return SyncReport()

    monkeypatch.setattr(module, "drain", interrupted)
    worker.notify(catalog, [first])
    wait_until(lambda: len(sent) == 2)
    worker.close()
    assert sent == [[first], [first, second]]


def test_a_picture_that_takes_too_long_is_said_once_and_stops_no_tags(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    render(folder, 1)
    catalog, worker = Catalog(folder), Worker(NOWHERE, 0)
    tried: list[str] = []
    tagged: list[Catalog] = []

    def slow(catalog: Catalog, cloud: Cloud, ids: list[str], **_: Any) -> SyncReport:
        tried.extend(ids)
        return SyncReport(postponed=((ids[0], "x.png takes too long to go up"),))

    monkeypatch.setattr(module, "_OUTAGE_PAUSE_S", (0.01, 0.02))
    monkeypatch.setattr(module, "drain", slow)
    monkeypatch.setattr(module, "push_tags", lambda catalog, cloud: tagged.append(catalog))
    worker._pause_s = 0.01
    worker.notify(catalog)
    wait_until(lambda: len(tried) > 3)
    worker.close()
    assert len(tagged) >= 3
    assert capsys.readouterr().err.count("takes too long") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_forked_while_a_picture_is_drawn_sends_its_own(folder: Path) -> None:
    """The drawing is the parent's: the child would have waited for its end for ever."""
    render(folder, 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        worker = Worker(Account(url, SecretStr("k"), owner=UUID(int=1)), 0)
        with worker.drawing():
            child = os.fork()
            if child == 0:
                worker.notify(Catalog(folder))
                time.sleep(30)
                os._exit(0)
        try:
            server.accept()[0].close()  # the child comes with its first request
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
