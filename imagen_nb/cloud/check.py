"""What is wrong with a cloud configuration: by looking at it, and by asking the server."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from imagen_nb.cloud.account import NOT_CONFIGURED, account_of
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RefusedError
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError

FIND_OWNER = "SELECT id, email FROM auth.users;"
_NOT_NULL_VIOLATION, _INSUFFICIENT_PRIVILEGE = "23502", "42501"  # PostgreSQL's codes
_SECRET_KEYS = ("supabase.key", "supabase.password", "supabase.database_url")


def configuration_warnings(settings: Settings, file: Path) -> Iterator[str]:
    """What would keep pictures from the cloud, or secrets from being secret. Asks no server."""
    part = settings.supabase
    syncing = settings.output.cloud_sync != "off"
    if syncing and not settings.owner_user_id and not part.email:
        yield (
            f"owner_user_id is not set, so no picture goes to the cloud: `{FIND_OWNER}` finds it"
            " (or sign in with supabase.email)"
        )
    if part.url and not is_supabase_url(part.url):
        yield "supabase.url is no address: expected one like https://your-project.supabase.co"
    if part.url and not part.key:
        yield "supabase.url is set, but supabase.key is not: no picture goes to the cloud"
    if part.email and not part.password:
        yield "supabase.email is set, but supabase.password is not"
    if is_readable_by_others(file) and any(
        settings.sources.get(key) == str(file) for key in _SECRET_KEYS
    ):
        yield f"{file} holds a secret, and others on this machine can read it: chmod 600 {file}"


def is_supabase_url(url: str) -> bool:
    """Whether it can be the address of a Supabase."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:
        return False


def is_readable_by_others(file: Path) -> bool:
    """Whether the group or the world may read a file."""
    try:
        return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing asked of the server. `trouble`: what is wrong, and what to do; None when good.

    `migration`: the name of the one in `sql/` that would have made it, if one is missing.
    """

    what: str
    trouble: str | None
    migration: str | None = None


def check_server(settings: Settings) -> Iterator[Finding]:
    """Signs in and looks at table, policies, bucket and exposed schema; leaves nothing behind."""
    account = account_of(settings)
    if account is None:
        yield Finding("configuration", NOT_CONFIGURED)
        return
    with closing(Cloud(account)) as cloud:
        yield (signed_in := _run_check("sign-in", cloud.owner))
        if signed_in.trouble:
            return
        table = _run_check(
            "schema and table", lambda: cloud.paths([str(uuid4())]), "imagen_grants"
        )
        yield table
        if not table.trouble:
            policies = "imagen_row_level_security"
            yield _run_check(
                "table policies", lambda: _check_table_policies(cloud), policies
            )
        yield _run_check(
            "bucket and its policies",
            lambda: _check_bucket_policies(cloud),
            "imagen_bucket_policies",
        )


def _run_check(
    what: str, question: Callable[[], object], migration: str | None = None
) -> Finding:
    """`migration`: what is missing when nothing in the answer tells it more exactly."""
    try:
        question()
    except RefusedError as error:
        return Finding(what, str(error), error.migration or migration)
    except CloudError as error:
        return Finding(what, str(error))
    return Finding(what, None)


def _check_table_policies(cloud: Cloud) -> None:
    """Tries rows that break a constraint after the policies were asked, so that none is written."""
    owner, folder = cloud.owner()
    own = cloud.code_of_insert(
        {"owner_user_id": str(owner), "storage_path": f"{folder}x.png"}
    )
    if own != _NOT_NULL_VIOLATION:
        raise RefusedError(
            f"own rows are refused ({own}): run `imagen db migrate` (grants, policies)"
        )
    if not folder:
        return  # a secret key passes by every policy
    for row in (
        {"owner_user_id": str(uuid4()), "storage_path": f"{folder}x.png"},
        {"owner_user_id": str(owner), "storage_path": "x.png"},
    ):
        if cloud.code_of_insert(row) != _INSUFFICIENT_PRIVILEGE:
            raise RefusedError(
                "rows for others are not refused: run `imagen db migrate` (policies)"
            )


def _check_bucket_policies(cloud: Cloud) -> None:
    """Asks for the right to upload, without uploading."""
    _, folder = cloud.owner()
    name = f"{uuid4()}.png"
    cloud.may_upload(f"{folder}{name}")
    if not folder:
        return
    try:
        cloud.may_upload(f"{uuid4()}/{name}")
    except CloudError:
        return
    raise RefusedError(
        "uploads to other users' folders are not refused: run `imagen db migrate`"
    )
