"""What Supabase's answers mean for a picture on its way up: wait, give up on it, or ask the user.

CloudError
├── Unreachable   passes by itself: torn connections, time-outs, 5xx, 429
├── Refused       concerns every picture: key, sign-in, rights, missing bucket or table
└── Rejected      concerns this picture: too large, wrong type, broken row
    ├── Taken     there is an object at its path already
    └── Missing   there is none
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx

from imagen_nb.errors import CloudError
from imagen_nb.system.secret_text import scrubbed
from imagen_nb.system.throttling import Busy

if TYPE_CHECKING:
    from pydantic import SecretStr
    from supabase_auth.errors import AuthError

BUCKET = "imagen-generated"
_MAX_MESSAGE_CHARS = 200  # characters; answers may be whole pages of HTML


class UnreachableError(CloudError):
    """It may work later. `retry_after`: seconds that the server asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(CloudError):
    """Nothing goes up until the user, or who runs the server, changes something.

    `migration`: the name of the one in `sql/` that is missing, where the answer tells it. `code`:
    what PostgreSQL or PostgREST calls the reason, where one of them is asked.
    """

    def __init__(
        self, message: str, migration: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.migration, self.code = migration, code


class RejectedError(CloudError):
    """This picture does not go up as it is; others may."""


class ObjectExistsError(RejectedError):
    """There is an object at this path."""


class ObjectMissingError(RejectedError):
    """There is no object at this path, as far as this user may know."""


_REMEDY_OF_CODE = {  # by code: PostgreSQL's, PostgREST's, or HTTP's
    "401": "check supabase.key",
    "PGRST106": "the schema imagen is not exposed: run `imagen db migrate`",
    "PGRST125": "is supabase.url the project's address?",
    "PGRST205": "the table imagen.images is missing: run `imagen db migrate`",
    "PGRST300": "the server has no JWT secret",
    "PGRST301": "check supabase.key",
    "PGRST302": "a publishable key needs supabase.email and supabase.password",
    "PGRST303": "the session has run out",
    "42P01": "the table imagen.images is missing: run `imagen db migrate`",
    "3F000": "the schema imagen is missing: run `imagen db migrate`",
    "23503": "owner_user_id is no user of this project",
    "42501": "no right to do that: run `imagen db migrate`, and with a publishable key sign in "
    "(supabase.email, supabase.password)",
}
_MIGRATION_OF_CODE = {  # by code: what was not applied
    "PGRST106": "imagen_expose",
    "PGRST205": "imagen_images",
    "42P01": "imagen_images",
    "3F000": "imagen_images",
}
_MISSING_BUCKET_PHRASES = (
    "bucket not found",
    "related resource does not exist",
)  # before and while writing
_REJECTING_STATUSES = {"400", "413", "415", "422"}


def cloud_error_of(error: Exception, secrets: Sequence[SecretStr | None]) -> CloudError:
    """What an error of supabase, httpx or their parsers means, as one line that says what to do.

    `secrets`: what was sent, of which nothing is in that line.
    """
    from postgrest import APIError
    from storage3.exceptions import StorageApiError
    from supabase_auth.errors import AuthError

    if isinstance(error, CloudError):
        return error
    said = _scrubbed_line(error, secrets)
    if isinstance(error, Busy):
        what = (
            "asks to be left alone for a while"
            if error.status == 429
            else "is in trouble"
        )
        return UnreachableError(
            f"Supabase {what} (HTTP {error.status})", error.retry_after
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return RefusedError(
            "supabase.url is no address: it looks like https://your-project.supabase.co"
        )
    if isinstance(error, httpx.HTTPError):
        return UnreachableError(
            f"Supabase cannot be reached: {said or type(error).__name__}"
        )
    if isinstance(error, StorageApiError):
        return _storage_error_of(
            _scrubbed_line(error.status, secrets),
            _scrubbed_line(error.message, secrets),
        )
    if isinstance(error, APIError):
        return _table_error_of(
            _scrubbed_line(error.code, secrets), _scrubbed_line(error.message, secrets)
        )
    if isinstance(error, AuthError):
        return _auth_error_of(error, said)
    return UnreachableError(
        "the answer is not Supabase's: is supabase.url the project's address?"
    )


def _auth_error_of(error: AuthError, said: str) -> CloudError:
    from supabase_auth.errors import AuthApiError, AuthRetryableError

    if isinstance(error, AuthRetryableError):
        return UnreachableError(f"signing in to Supabase failed: {said}")
    if isinstance(error, AuthApiError) and error.status != 401:
        return RefusedError(
            f"sign-in refused ({said}): check supabase.email and .password"
        )
    return RefusedError(
        f"sign-in refused ({said}): check supabase.key and supabase.url"
    )


def _storage_error_of(status: str, message: str) -> CloudError:
    """Storage answers 400 on the wire; what it means stands in the body (`status`)."""
    said = f"storage says {status} {message}"
    if status == "409":
        return ObjectExistsError(said)
    if status == "429" or status.startswith("5"):
        return UnreachableError(said)
    if any(sign in message.lower() for sign in _MISSING_BUCKET_PHRASES):
        said = f"no bucket {BUCKET}, or no right to see it: run `imagen db migrate`"
        return RefusedError(said, "imagen_bucket")
    if status == "404":
        return ObjectMissingError(said)
    if status in _REJECTING_STATUSES:
        return RejectedError(said)
    return RefusedError(
        f"{said}: {_REMEDY_OF_CODE.get('42501' if status == '403' else status, _GENERIC_REMEDY)}"
    )


def _table_error_of(code: str, message: str) -> CloudError:
    said = f"the database says {code} {message}"
    if code in _REMEDY_OF_CODE:
        return RefusedError(
            f"{said}: {_REMEDY_OF_CODE[code]}", _MIGRATION_OF_CODE.get(code), code
        )
    if code.startswith(("5", "08", "40", "PGRST0")) and code != "54000":
        return UnreachableError(said)
    if code.startswith(("22", "23", "P0")):  # data, constraints, triggers
        return RejectedError(said)
    return RefusedError(f"{said}: {_GENERIC_REMEDY}", code=code)


_GENERIC_REMEDY = "check supabase.url, supabase.key and `imagen db status`"


def _scrubbed_line(said: object, secrets: Sequence[SecretStr | None]) -> str:
    """The first of what a library or server said, on one line, without the secrets."""
    return " ".join(scrubbed(said, secrets).split())[:_MAX_MESSAGE_CHARS]
