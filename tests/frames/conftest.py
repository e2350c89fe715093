"""Pictures that are in the cloud and not on this machine, and the session that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from fault_proxy import FaultProxy
from histories import settings
from pictures import render, sync
from pydantic import SecretStr
from server_state import ServerState
from supabase_fixtures import TwoUsers

from imagen_nb.cloud.client import Account
from imagen_nb.studio import Studio


@pytest.fixture
def elsewhere(server: ServerState, local_supabase: TwoUsers, tmp_path: Path) -> Path:
    """The folder of another machine, whose six pictures are in the cloud."""
    folder = tmp_path / "elsewhere"
    render(folder, 6)
    account = Account(
        local_supabase.url, SecretStr(local_supabase.anon_key), local_supabase.email,
        SecretStr(local_supabase.password), UUID(local_supabase.user_id),
    )  # fmt: skip
    assert sync(folder, account).synced == 6
    return folder


@pytest.fixture
def away(
    elsewhere: Path, folder: Path, local_supabase: TwoUsers, proxy: FaultProxy,
    session: Callable[[Studio], Studio],
) -> Studio:  # fmt: skip
    """The default session, on a machine where no picture is; it asks through the proxy."""
    return session(Studio(settings(folder, local_supabase, proxy.url), background=False))
