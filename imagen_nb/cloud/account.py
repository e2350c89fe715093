"""One user's account at a Supabase: how to sign in, and the session that this gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from imagen_nb.cloud.errors import URL_TROUBLE, RefusedError, decoding
from imagen_nb.system.clock import SYSTEM_CLOCK, SystemClock

if TYPE_CHECKING:
    from postgrest import SyncPostgrestClient
    from pydantic import SecretStr
    from storage3 import SyncStorageClient
    from supabase import Client

    from imagen_nb.config.settings import Settings

NOT_CONFIGURED = (
    "no Supabase is configured: set supabase.url and supabase.key"
    " (see `imagen config init`)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """How to sign in: with an e-mail and password, or with a secret key alone.

    The pictures belong to the user who signs in with the e-mail, otherwise to `owner`.
    """

    url: str
    key: SecretStr
    email: str | None = None
    password: SecretStr | None = None
    owner: UUID | None = None


def account_of(settings: Settings) -> Account | None:
    """Return the account that the settings name, or None if they name none."""
    part = settings.supabase
    if not part.url or not part.key:
        return None
    return Account(
        part.url, part.key, part.email, part.password, settings.owner_user_id
    )


def is_supabase_url(url: str) -> bool:
    """Return whether this can be the address of a Supabase: http or https, a host."""
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            return False
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. Threads may go on using an old one while a new one is made.

    `folder`: what the paths of this owner's objects begin with. `expires_at`: on the
    clock's `monotonic()`, so that a clock set back keeps no session alive; None if it
    never expires. `token`: what requests carry of the user who signed in.
    """

    storage: SyncStorageClient
    tables: SyncPostgrestClient
    owner: UUID
    folder: str
    expires_at: float | None
    token: SecretStr | None
    clock: SystemClock = SYSTEM_CLOCK

    def expires_within(self, seconds: float) -> bool:
        """Return whether the session runs out within so many seconds."""
        if self.expires_at is None:
            return False
        return self.clock.monotonic() > self.expires_at - seconds

    def seconds_left(self) -> float | None:
        """Return how long it lives, at least 1 second; None if it never expires."""
        if self.expires_at is None:
            return None
        return max(1.0, self.expires_at - self.clock.monotonic())


def sign_in(
    account: Account, http: httpx.Client, clock: SystemClock = SYSTEM_CLOCK
) -> Session:
    """Return a new session. Raise RefusedError, or the error that supabase raises."""
    if not is_supabase_url(account.url):
        raise RefusedError(URL_TROUBLE)
    owner, expires_at, token = account.owner, None, None
    client = _make_client(account, http)
    if account.email:
        began = clock.monotonic()
        owner, seconds, token = _sign_in_user(client, account)
        expires_at = began + seconds
    if owner is None:
        raise RefusedError(
            "owner_user_id is not set: a secret key needs to know whose they are"
        )
    folder = f"{owner}/" if account.email else ""
    tables = client.schema("imagen")
    return Session(client.storage, tables, owner, folder, expires_at, token, clock)


def _make_client(account: Account, http: httpx.Client) -> Client:
    from supabase import create_client
    from supabase.lib.client_options import SyncClientOptions

    options = SyncClientOptions(
        auto_refresh_token=False,  # a timer thread; `Connection` renews instead
        persist_session=False,
        httpx_client=http,
        postgrest_client_retry=False,  # it would wait on top of ours
    )
    return create_client(account.url, account.key.get_secret_value(), options)


def _sign_in_user(client: Client, account: Account) -> tuple[UUID, float, SecretStr]:
    """Sign in; return the user's id, for how many seconds it holds, and the token."""
    from pydantic import SecretStr

    if account.password is None:
        raise RefusedError(
            "supabase.password is not set: signing in with an e-mail needs it"
        )
    session = client.auth.sign_in_with_password(
        {"email": account.email or "", "password": account.password.get_secret_value()}
    ).session
    if session is None:
        raise RefusedError(
            "signed in without a session: confirm the e-mail address first"
        )
    with decoding():
        owner, seconds = UUID(session.user.id), float(session.expires_in)
        token = SecretStr(session.access_token)
    if account.owner and account.owner != owner:
        raise RefusedError(
            f"owner_user_id is {account.owner}, but {owner} signed in: remove it"
        )
    return owner, seconds, token
