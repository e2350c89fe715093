"""What is wrong with a cloud configuration, by its values and by asking the server."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from imagen_nb.cloud.account import NOT_CONFIGURED, account_of, is_supabase_url
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.connection import READER_TIMEOUTS
from imagen_nb.cloud.errors import RefusedError, UnreachableError
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.cloud.removal import MIGRATION
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError

_FIND_OWNER = "SELECT id, email FROM auth.users;"
_NOT_NULL_VIOLATION, _INSUFFICIENT_PRIVILEGE = "23502", "42501"  # PostgreSQL's codes
_MIGRATION_OF_POLICIES = {
    "images": "imagen_row_level_security",
    "claims": "imagen_claims",
    "jobs": "imagen_jobs",
    "workers": "imagen_workers",
    "votes": "imagen_votes",
}
_ATTEMPTS = 2  # at one question: a second may find a server that was busy
_SECRET_KEYS = (
    "supabase.key",
    "supabase.password",
    "supabase.database_url",
    "replicate.api_token",
)


def configuration_warnings(settings: Settings, file: Path) -> Iterator[str]:
    """Yield what would keep pictures from the cloud, or secrets from being secret.

    Asks no server. `file`: the configuration file, whose mode is looked at.
    """
    yield from cloud_warnings(settings)
    yield from secret_warnings(settings, file)


def cloud_warnings(settings: Settings) -> Iterator[str]:
    """Yield what would keep pictures from the cloud. Asks no server."""
    part = settings.supabase
    syncing = settings.output.cloud_sync != "off"
    signs_in = part.email and part.password  # then the session tells who the owner is
    if syncing and not settings.owner_user_id and not signs_in:
        yield (
            "owner_user_id is not set, so no picture goes to the cloud: "
            f"`{_FIND_OWNER}` finds it (or sign in with supabase.email and "
            "supabase.password)"
        )
    if part.url and not is_supabase_url(part.url):
        yield (
            "supabase.url is no address: "
            "expected one like https://your-project.supabase.co"
        )
    if part.url and not part.key:
        yield (
            "supabase.url is set, but supabase.key is not: no picture goes to the cloud"
        )
    if part.email and not part.password:
        yield "supabase.email is set, but supabase.password is not"


def secret_warnings(settings: Settings, file: Path) -> Iterator[str]:
    """Yield a warning if the configuration file has secrets that others may read."""
    has_secret = any(settings.sources.get(key) == str(file) for key in _SECRET_KEYS)
    if has_secret and is_readable_by_others(file):
        yield (
            f"{file} holds a secret, and others on this machine can read it: "
            f"chmod 600 {file}"
        )


def is_readable_by_others(file: Path) -> bool:
    """Return whether the group or the world may read a file."""
    try:
        return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question, `what`, about the server.

    `trouble`: what is wrong, and what to do; None if all is well. `migration`: the name
    of the one in `sql/` that would have made it, if one is missing. `answered`: whether
    there was an answer at all.
    """

    what: str
    trouble: str | None
    migration: str | None = None
    answered: bool = True


def check_server(settings: Settings) -> Iterator[Finding]:
    """Sign in, and look at table, policies, bucket and exposed schema.

    Leaves nothing behind. Stops at the first trouble that makes the rest pointless. Of
    a server that is silent it waits for 12 s at most: somebody waits for the answer.
    """
    account = account_of(settings)
    if account is None:
        yield Finding("configuration", NOT_CONFIGURED)
        return
    with closing(Cloud(account, _ATTEMPTS, READER_TIMEOUTS)) as cloud:
        signed_in = _run_check("sign-in", cloud.owner)
        yield signed_in
        if signed_in.trouble:
            return
        table = _run_check(
            "schema and table", lambda: cloud.paths([str(uuid4())]), "imagen_grants"
        )
        yield table
        if not table.answered:
            return
        if not table.trouble:
            yield _run_check(
                "table policies",
                lambda: _check_policies_of_images(cloud),
                "imagen_row_level_security",
            )
            yield _run_check(
                "removing pictures", lambda: _check_removal(cloud), MIGRATION
            )
        yield _run_check(
            "claims of paths",
            lambda: _check_policies_of_claims(cloud),
            "imagen_claims",
        )
        yield _run_check(
            "bucket and its policies",
            lambda: _check_bucket_policies(cloud),
            "imagen_bucket_policies",
        )
        yield _run_check(
            "drawing elsewhere", lambda: _check_jobs(cloud), "imagen_job_functions"
        )
        yield _run_check("votes", lambda: _check_votes(cloud), "imagen_votes")


def _run_check(
    what: str, check: Callable[[], object], migration: str | None = None
) -> Finding:
    """`migration`: what is missing if the error does not tell it more exactly."""
    try:
        check()
    except RefusedError as error:
        return Finding(what, str(error), error.migration or migration)
    except UnreachableError as error:
        return Finding(what, str(error), answered=False)
    except CloudError as error:
        return Finding(what, str(error))
    return Finding(what, None)


def _check_policies_of_images(cloud: Cloud) -> None:
    _check_policies_of_paths(cloud, "images", {"prompt": None})


def _check_policies_of_claims(cloud: Cloud) -> None:
    cloud.rows([("storage_path", "eq.x"), ("limit", "1")], table="claims")
    _check_policies_of_paths(cloud, "claims", {"image_id": None})


def _check_jobs(cloud: Cloud) -> None:
    """Look at the tables of jobs and workers, and at their functions."""
    for table in ("jobs", "workers"):
        cloud.rows([("id", f"eq.{uuid4()}")], "id", table)
    _check_policies(cloud, "jobs", {"request": None})
    _check_policies(cloud, "workers", {"name": None})
    JobQueue(cloud).workers()


def _check_votes(cloud: Cloud) -> None:
    cloud.rows([("id", f"eq.{uuid4()}")], "id", "votes")
    _check_policies(cloud, "votes", {"question": None})


def _check_policies_of_paths(cloud: Cloud, table: str, wrong: dict[str, None]) -> None:
    """As `_check_policies` does; rows that name paths outside the folder belong to others."""
    _, folder = cloud.owner()
    _check_policies(
        cloud,
        table,
        wrong | {"storage_path": f"{folder}x.png"},
        wrong | {"storage_path": "x.png"},
    )


def _check_policies(
    cloud: Cloud, table: str, wrong: dict[str, Any], *others: dict[str, Any]
) -> None:
    """Try rows that break a constraint, which is looked at after the policies.

    So none is written. `wrong`: a column that must have a value, without one; in
    `others` with what no own row may have.
    """
    owner, folder = cloud.owner()
    own = {"owner_user_id": str(owner)}
    code = cloud.insert_error_code(table, own | wrong)
    if code != _NOT_NULL_VIOLATION:
        raise RefusedError(
            f"own rows are refused ({code}): run `imagen db migrate` (grants, policies)",
            _MIGRATION_OF_POLICIES[table],
        )
    if not folder:
        return  # a secret key passes by every policy
    strange = {"owner_user_id": str(uuid4())} | wrong
    for row in (strange, *(own | other for other in others)):
        if cloud.insert_error_code(table, row) != _INSUFFICIENT_PRIVILEGE:
            raise RefusedError(
                "rows for others are not refused: run `imagen db migrate` (policies)",
                _MIGRATION_OF_POLICIES[table],
            )


def _check_removal(cloud: Cloud) -> None:
    """Delete a row that does not exist."""
    cloud.delete([("id", f"eq.{uuid4()}")])


def _check_bucket_policies(cloud: Cloud) -> None:
    """Ask for the right to upload, without uploading."""
    _, folder = cloud.owner()
    name = f"{uuid4()}.png"
    cloud.require_upload_right(f"{folder}{name}")
    if not folder:
        return
    try:
        cloud.require_upload_right(f"{uuid4()}/{name}")
    except CloudError:
        return
    raise RefusedError(
        "uploads to other users' folders are not refused: run `imagen db migrate`"
    )
