"""One local Supabase for all tests of the cloud: `local_supabase`, with two users."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fault_proxy import FaultProxy
from server_state import ServerState

from imagen_nb.cloud import local
from imagen_nb.cloud.local import LocalSupabase

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
