"""One user's account at a Supabase: how to sign in, and what that gives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from imagen_nb.cloud.errors import RefusedError

if TYPE_CHECKING:
    from postgrest import SyncPostgrestClient
    from pydantic import SecretStr
    from storage3 import SyncStorageClient
    from supabase import Client

    from imagen_nb.config.settings import Settings

NOT_CONFIGURED = "no Supabase is configured: see `imagen config init`"


@dataclass(frozen=True, slots=True)
class Account:
    """How to sign in. With an e-mail the owner is who signs in, otherwise `owner`."""

    url: str
    key: SecretStr
    email: str | None = None
    password: SecretStr | None = None
    owner: UUID | None = None


def account_of(settings: Settings) -> Account | None:
    """The account that the settings name, or None when there is none."""
    part = settings.supabase
    if not part.url or not part.key:
        return None
    return Account(
        part.url, part.key, part.email, part.password, settings.owner_user_id
    )


NOT_CONFIGURED = "no Supabase is configured: see `imagen config init`"


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. Threads may go on using an old one while a new one is made."""

    storage: SyncStorageClient
    tables: SyncPostgrestClient
    owner: UUID
    folder: str  # what the paths of this owner's objects begin with
    ends: float | None  # by time.monotonic(): a clock set back keeps no session alive
    token: SecretStr | None  # what requests carry of who signed in


def sign_in(account: Account, http: httpx.Client) -> Session:
    """A new session. Raises `Refused`, and whatever supabase raises."""
    owner, ends, token = account.owner, None, None
    client = _make_client(account, http)
    if account.email:
        began = time.monotonic()
        owner, seconds, token = _sign_in_user(client, account)
        ends = began + seconds
    if owner is None:
        raise RefusedError(
            "owner_user_id is not set: a secret key needs to know whose they are"
        )
    folder = f"{owner}/" if account.email else ""
    return Session(client.storage, client.schema("imagen"), owner, folder, ends, token)


def _make_client(account: Account, http: httpx.Client) -> Client:
    from supabase import create_client
    from supabase.lib.client_options import SyncClientOptions

    options = SyncClientOptions(
        auto_refresh_token=False,  # a timer thread; `_signed_in` renews instead
        persist_session=False,
        httpx_client=http,
        postgrest_client_retry=False,  # it would wait on top of ours
    )
    return create_client(account.url, account.key.get_secret_value(), options)


def _sign_in_user(client: Client, account: Account) -> tuple[UUID, float, SecretStr]:
    """Sign in: who that is, for how many seconds it holds, and the token."""
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
    owner = UUID(session.user.id)
    if account.owner and account.owner != owner:
        raise RefusedError(
            f"owner_user_id is {account.owner}, but {owner} signed in: remove it"
        )
    return owner, float(session.expires_in), SecretStr(session.access_token)
