"""What Supabase's errors mean for a picture: try again, give up, or ask the user.

CloudError
├── UnreachableError         passes by itself: torn connections, time-outs, 5xx, 429
│   └── TooSlowError         one upload took too long; others may not
├── MissingTableError        not migrated so far; everything else works
│   ├── NoVectorsError       no search there: its table or pgvector is missing
│   └── NoVotesError         no votes there: their table is missing
├── RefusedError             concerns all: key, sign-in, rights, no bucket, no table
└── RejectedError            concerns this picture: too large, wrong type, broken row
    ├── ObjectExistsError    there is an object at its path already
    └── ObjectMissingError   there is none
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from imagen_nb.errors import CloudError
from imagen_nb.system.secret_text import scrub_secrets
from imagen_nb.system.throttling import ServerBusyError

if TYPE_CHECKING:
    from pydantic import SecretStr
    from supabase_auth.errors import AuthError

BUCKET = "imagen-generated"
_MAX_ANSWER_CHARS = 200  # answers may be whole pages of HTML


class UnreachableError(CloudError):
    """It may work later.

    `retry_after`: seconds that the server asked for. `timed_out`: whether it was silent
    for as long as it was waited for.
    """

    def __init__(
        self, message: str, retry_after: float | None = None, *, timed_out: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after, self.timed_out = retry_after, timed_out


class TooSlowError(UnreachableError):
    """This picture took too long to go up. It may work later, and others may work now."""


class RefusedError(CloudError):
    """Nothing goes up until the user, or the server's admin, changes something.

    `migration`: the name of the one in `sql/` that is missing, where the answer tells
    it. `code`: PostgreSQL's or PostgREST's, where one of them was asked.
    """

    def __init__(
        self, message: str, migration: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.migration, self.code = migration, code


class MissingTableError(CloudError):
    """The database lacks a table that not everything needs."""


class NoVectorsError(MissingTableError):
    """The database has no imagen.embeddings; everything else works."""


class NoVotesError(MissingTableError):
    """The database has no imagen.votes; everything else works."""


class RejectedError(CloudError):
    """This picture does not go up as it is; others may."""


class ObjectExistsError(RejectedError):
    """There is an object at this path."""


class ObjectMissingError(RejectedError):
    """There is no object at this path, as far as this user may know."""


_REMEDY_OF_CODE = {  # PostgreSQL's codes, PostgREST's, and HTTP's
    "401": "check supabase.key",
    "PGRST106": "the schema imagen is not exposed: run `imagen db migrate`",
    "PGRST125": "is supabase.url the project's address?",
    "PGRST202": "a function of imagen_nb's is missing: run `imagen db migrate`",
    "PGRST205": "the table {table} is missing: run `imagen db migrate`",
    "PGRST300": "the server has no JWT secret",
    "PGRST301": "check supabase.key",
    "PGRST302": "a publishable key needs supabase.email and supabase.password",
    "PGRST303": "the session has run out",
    "42883": "a function of imagen_nb's is missing: run `imagen db migrate`",
    "42P01": "the table {table} is missing: run `imagen db migrate`",
    "3F000": "the schema imagen is missing: run `imagen db migrate`",
    "23503": "owner_user_id is no user of this project",
    "42501": "no right to do that: run `imagen db migrate`, and with a publishable key "
    "sign in (supabase.email, supabase.password)",
}
_GENERIC_REMEDY = "check supabase.url, supabase.key and `imagen db status`"
_MIGRATION_OF_CODE = {  # what was not applied
    "PGRST106": "imagen_expose",
    "3F000": "imagen_images",
}
_MISSING_TABLE_CODES = ("PGRST205", "42P01")
MISSING_CODES = (*_MISSING_TABLE_CODES, "PGRST202")
_MISSING_BUCKET_PHRASES = (
    "bucket not found",  # before writing
    "related resource does not exist",  # while writing
)
_REJECTING_STATUSES = {"400", "413", "415", "422"}
_WRONG_SHAPE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a number or a time that no column holds
    RecursionError,  # JSON within JSON within JSON
)
_LIBRARIES = {  # that imagen_nb calls, or that supabase-py calls
    "httpx",
    "postgrest",
    "storage3",
    "supabase",
    "supabase_auth",
    "supabase_functions",
}
_OWN_PACKAGE = __name__.partition(".")[0]
URL_TROUBLE = (
    "supabase.url is no address: it looks like https://your-project.supabase.co"
)


def cloud_error_of(error: Exception, secrets: Sequence[SecretStr | None]) -> CloudError:
    """Return what an error of supabase, httpx or their parsers means.

    Its message is one line that says what to do, and quotes none of the `secrets` that
    were sent. A CloudError is returned as it is.
    """
    from postgrest import APIError
    from storage3.exceptions import StorageApiError
    from supabase_auth.errors import AuthError

    if isinstance(error, CloudError):
        return error
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return _http_error_of(error, secrets)
    if isinstance(error, StorageApiError):
        status = _scrubbed_line(error.status, secrets)
        return _storage_error_of(status, _scrubbed_line(error.message, secrets))
    if isinstance(error, APIError):
        code = _scrubbed_line(error.code, secrets)
        return _table_error_of(code, _scrubbed_line(error.message, secrets))
    if isinstance(error, AuthError):
        return _auth_error_of(error, _scrubbed_line(error, secrets))
    if isinstance(error, _WRONG_SHAPE):
        return _not_supabase()
    reason = _scrubbed_line(error, secrets) or type(error).__name__
    return RefusedError(f"supabase's client fails: {reason}: {_GENERIC_REMEDY}")


def is_library_error(error: Exception) -> bool:
    """Return whether an error is supabase's or httpx's, not one of our own code.

    Of the built-in types it is a library's if that library's code was the last to run:
    supabase raises TypeError and others for JSON that it does not expect.
    """
    if any(_package_of(cls.__module__) in _LIBRARIES for cls in type(error).__mro__):
        return True
    last = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = _package_of(frame.f_globals.get("__name__", ""))
        if package in _LIBRARIES or package == _OWN_PACKAGE:
            last = package
    return last in _LIBRARIES


@contextmanager
def decoding() -> Iterator[None]:
    """Raise UnreachableError if an answer has not the shape that Supabase gives it.

    Only for lines that take apart an answer: all wrong shapes look the same there.
    """
    try:
        yield
    except _WRONG_SHAPE:
        raise _not_supabase() from None


def _not_supabase() -> UnreachableError:
    return UnreachableError(
        "the answer is not Supabase's: is supabase.url the project's address?"
    )


def _package_of(module: str) -> str:
    return module.partition(".")[0]


def _http_error_of(
    error: httpx.HTTPError | httpx.InvalidURL, secrets: Sequence[SecretStr | None]
) -> CloudError:
    if isinstance(error, ServerBusyError):
        trouble = "is in trouble"
        if error.status == 429:
            trouble = "asks to be left alone for a while"
        message = f"Supabase {trouble} (HTTP {error.status})"
        return UnreachableError(message, error.retry_after)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return RefusedError(URL_TROUBLE)
    reason = _scrubbed_line(error, secrets) or type(error).__name__
    timed_out = isinstance(error, httpx.TimeoutException)
    return UnreachableError(
        f"Supabase cannot be reached: {reason}", timed_out=timed_out
    )


def _auth_error_of(error: AuthError, reason: str) -> CloudError:
    from supabase_auth.errors import AuthApiError, AuthRetryableError

    if isinstance(error, AuthRetryableError):
        timed_out = isinstance(error.__cause__, httpx.TimeoutException)
        return UnreachableError(
            f"signing in to Supabase failed: {reason}", timed_out=timed_out
        )
    remedy = "check supabase.key and supabase.url"
    if isinstance(error, AuthApiError) and error.status != 401:
        remedy = "check supabase.email and .password"
    return RefusedError(f"sign-in refused ({reason}): {remedy}")


def _storage_error_of(status: str, message: str) -> CloudError:
    """Storage answers 400 on the wire; what it means stands in the body (`status`)."""
    reason = f"storage says {status} {message}"
    if status == "409":
        return ObjectExistsError(reason)
    if status == "429" or status.startswith("5"):
        return UnreachableError(reason)
    if any(phrase in message.lower() for phrase in _MISSING_BUCKET_PHRASES):
        reason = f"no bucket {BUCKET}, or no right to see it: run `imagen db migrate`"
        return RefusedError(reason, "imagen_bucket")
    if status == "404":
        return ObjectMissingError(reason)
    if status in _REJECTING_STATUSES:
        return RejectedError(reason)
    code = "42501" if status == "403" else status
    return RefusedError(f"{reason}: {_REMEDY_OF_CODE.get(code, _GENERIC_REMEDY)}")


def _table_error_of(code: str, message: str) -> CloudError:
    reason = f"the database says {code} {message}"
    if code in _REMEDY_OF_CODE:
        table = _table_named_in(message)
        remedy = _REMEDY_OF_CODE[code].format(table=table)
        migration = _MIGRATION_OF_CODE.get(code)
        if code in _MISSING_TABLE_CODES:
            migration = table.replace(".", "_")
        return RefusedError(f"{reason}: {remedy}", migration, code)
    if code.startswith(("5", "08", "40", "PGRST0")) and code != "54000":
        return UnreachableError(reason)
    if code.startswith(("22", "23", "P0")):  # data, constraints, triggers
        return RejectedError(reason)
    return RefusedError(f"{reason}: {_GENERIC_REMEDY}", code=code)


def _table_named_in(message: str) -> str:
    others = ("claims", "embeddings", "parents", "jobs", "workers", "votes")
    named = [name for name in others if name in message]
    return f"imagen.{named[0] if named else 'images'}"


def _scrubbed_line(text: object, secrets: Sequence[SecretStr | None]) -> str:
    """The beginning of a library's or server's text, on one line, without secrets."""
    try:
        said = str(text)
    except RecursionError:  # a list within a list within a list, instead of a text
        said = type(text).__name__
    return " ".join(scrub_secrets(said, secrets).split())[:_MAX_ANSWER_CHARS]
