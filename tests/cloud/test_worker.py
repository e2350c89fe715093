"""The worker in the background: what it sends, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
