"""The background's list of what to send."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.worker import Worker
from imagen_nb.storage.catalog import Catalog


def test_pictures_named_while_others_are_interrupted_wait_beside_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A render interrupts the sending of one picture and names the next."""
    account, catalog = Account("http://127.0.0.1:9", SecretStr("k")), Catalog(folder)
    worker = Worker(account, 0)

    def interrupted(
        catalog: Catalog, ids: list[str] | None, cloud: Cloud
    ) -> tuple[SyncReport, bool]:
        worker._want(catalog, ["second"])
        return SyncReport(), True

    monkeypatch.setattr(worker, "_sent", interrupted)
    worker._want(catalog, ["first"])
    worker._send_all(Cloud(account))
    assert sorted(worker._waiting[catalog] or []) == ["first", "second"]
