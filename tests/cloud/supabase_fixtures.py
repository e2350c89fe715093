"""One local Supabase for all tests of the cloud: `local_supabase`, with two users."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fault_proxy import FaultProxy
from pictures import render, sync
from pydantic import SecretStr
from server_state import ServerState

from imagen_nb.cloud import local
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.studio.studio import Studio

HOME = Path.home()  # before tests get one of their own
PACKAGES = Path(sys.prefix) / "imagen-tests-cache"  # what npm brings outlives the session


@dataclass(frozen=True)
class User:
    """Who can sign in."""

    email: str
    password: str = field(repr=False)
    id: str


@dataclass(frozen=True)
class TwoUsers(LocalSupabase):
    """A local Supabase that somebody else uses, too."""

    other: User


@contextmanager
def npm_as_at_home() -> Iterator[None]:
    """npm with the packages fetched before, and the settings of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(PACKAGES))
        patch.setenv("NPM_CONFIG_CACHE", os.environ.get("NPM_CONFIG_CACHE", str(HOME / ".npm")))
        patch.setenv("NPM_CONFIG_USERCONFIG", str(HOME / ".npmrc"))
        yield


def second_user(supabase: LocalSupabase) -> User:
    """Signs up who is a stranger to the first one."""
    email, password = "you@localhost.test", "somebody else's"
    answer = httpx.post(
        f"{supabase.url}/auth/v1/signup",
        headers={"apikey": supabase.anon_key},
        json={"email": email, "password": password},
        timeout=60,
    )
    return User(email, password, answer.raise_for_status().json()["user"]["id"])


@pytest.fixture(scope="session")
def local_supabase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoUsers]:
    """A local Supabase with two users; tests leave rows and objects of their own in it."""
    folder = tmp_path_factory.mktemp("supabase")
    with npm_as_at_home():
        started = local.start(folder, with_parent=True)
    try:
        values = {name: getattr(started, name) for name in LocalSupabase.__slots__}
        yield TwoUsers(**values, other=second_user(started))
    finally:
        local.stop(folder)


@pytest.fixture
def server(local_supabase: TwoUsers) -> Iterator[ServerState]:
    """The same, emptied, as its secret key sees it."""
    with closing(ServerState(local_supabase.url, local_supabase.service_key)) as state:
        state.clear()
        yield state


@pytest.fixture
def proxy(local_supabase: TwoUsers) -> Iterator[FaultProxy]:
    """A way to it that breaks when it is told to."""
    with FaultProxy(local_supabase.url) as proxy:
        yield proxy


def settings(folder: Path, supabase: LocalSupabase, url: str | None = None) -> dict[str, Any]:
    """Those of the first user, with this folder; `url`: another way to it."""
    return {
        "output": {"dir": str(folder)},
        "supabase": {
            "url": url or supabase.url,
            "key": supabase.anon_key,
            "email": supabase.email,
            "password": supabase.password,
        },
    }


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
