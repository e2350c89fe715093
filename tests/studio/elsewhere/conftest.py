"""A machine that draws, and one that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen_nb as im
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import StandIn, forget_jobs, stand_in
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.fixture
def box(server: ServerState, local_supabase: TwoUsers, tmp_path: Path) -> Iterator[StandIn]:
    """A machine that draws, with a folder of its own."""
    forget_jobs(server)
    with stand_in(settings(tmp_path / "box", local_supabase)) as box:
        yield box


@pytest.fixture
def laptop(
    server: ServerState, local_supabase: TwoUsers, proxy: FaultProxy, folder: Path
) -> Iterator[im.Studio]:
    """A machine that asks, through the proxy."""
    values = settings(folder, local_supabase, proxy.url) | {"backend": "remote"}
    with im.Studio(values, background=False) as studio:
        yield studio
