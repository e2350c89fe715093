"""A local Supabase for the benches, with pictures that wait for it."""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
from PIL import Image
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.local import LocalSupabase, start, stop
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record

ROOT = Path(__file__).parent.parent
sys.path.append(
    str(ROOT)
)  # the proxy that delays and breaks requests is the tests' own

from tests.fixtures.fault_proxy import FaultProxy  # noqa: E402

__all__ = ["FaultProxy", "account", "fill", "running"]


@contextmanager
def running() -> Iterator[LocalSupabase]:
    """A fresh local Supabase, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
        server = start(folder=Path(folder), with_parent=True)
        try:
            yield server
        finally:
            stop(folder=Path(folder))


def account(server: LocalSupabase, url: str | None = None) -> Account:
    return Account(
        url or server.url, SecretStr(server.service_key), owner=UUID(server.user_id)
    )


def fill(folder: Path, count: int, side: int, prompt: str = "noise") -> None:
    """Keep pictures of noise, side × side pixels (3 bytes each, as noise does not compress)."""
    output, catalog, dice = (
        PictureFiles(folder),
        Catalog(folder),
        np.random.default_rng(0),
    )
    day = datetime.date.today()
    for seed in range(count):
        pixels = dice.integers(0, 256, (side, side, 3), dtype=np.uint8)
        record = Record(
            prompt=prompt, backend="b", seed=seed, steps=4, width=side, height=side
        )
        catalog.add(output.save(Image.fromarray(pixels), record, day), "pending")
    catalog.close()
