"""Pictures kept without being drawn, and sent: what chaos needs by the thousand."""

from __future__ import annotations

import datetime
from contextlib import closing
from pathlib import Path

import httpx
from PIL import Image
from tenacity import wait_random

from imagen_nb.cloud import client
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync import drain
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import Output
from imagen_nb.storage.record import Record
from imagen_nb.system.faults import reach

DAY = datetime.date(2026, 5, 11)


def render(folder: Path, count: int, first: int = 0, prompt: str = "a boat") -> None:
    """Keep pictures as a Studio does: they are on disk and in the outbox afterwards."""
    output = Output(folder)
    with closing(Catalog(folder)) as catalog:
        for seed in range(first, first + count):
            image = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
            image.putpixel((0, 0), (seed % 256, seed // 256, len(prompt)))
            record = Record(prompt=prompt, backend="b", seed=seed, steps=4, width=24, height=16)
            catalog.add(output.keep(image, record, DAY), "pending")
            reach("after-catalog")


def sync(folder: Path, account: Account) -> SyncReport:
    """One drain of everything that waits."""
    with closing(Cloud(account)) as cloud, closing(Catalog(folder)) as catalog:
        return drain(catalog, cloud)


def wait_little() -> None:
    """Between attempts, and for answers, in this process: as little as still is waiting."""
    client._growing = wait_random(0, 0.02)
    client._LONGEST_WAIT_S = 2.0
    client._TIMEOUT = httpx.Timeout(1.0)
