"""What servers say, and what it means for a picture: wait, give up on it, or ask the user."""

from __future__ import annotations

import httpx
import pytest
from postgrest import APIError
from storage3.exceptions import StorageApiError
from supabase_auth.errors import AuthApiError, AuthRetryableError

from imagen_nb.cloud.errors import (
    ObjectExistsError,
    ObjectMissingError,
    RefusedError,
    RejectedError,
    UnreachableError,
    cloud_error_of,
)
from imagen_nb.system.throttling import ServerBusyError, raise_if_busy


def storage(status: str, message: str = "said so") -> StorageApiError:
    return StorageApiError(message, "code", status)


def table(code: str | None, message: str = "said so") -> APIError:
    return APIError({"code": code, "message": message, "hint": None, "details": None})


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (httpx.ConnectError("no route to host"), UnreachableError, "no route to host"),
        (httpx.ReadTimeout(""), UnreachableError, "ReadTimeout"),
        (httpx.RemoteProtocolError("torn"), UnreachableError, "torn"),
        (httpx.UnsupportedProtocol("ftp"), RefusedError, "supabase.url"),
        (ServerBusyError(429, 3.0), UnreachableError, "429"),
        (ServerBusyError(502, None), UnreachableError, "502"),
        (storage("500"), UnreachableError, "500"),
        (storage("503"), UnreachableError, "503"),
        (storage("429"), UnreachableError, "429"),
        (storage("409"), ObjectExistsError, "409"),
        (storage("404", "Object not found"), ObjectMissingError, "404"),
        (storage("404", "Bucket not found"), RefusedError, "imagen db migrate"),
        (storage("404", "The related resource does not exist"), RefusedError, "no bucket"),
        (storage("413"), RejectedError, "413"),
        (storage("415"), RejectedError, "415"),
        (storage("400"), RejectedError, "400"),
        (storage("401"), RefusedError, "supabase.key"),
        (
            storage("403", 'new row violates "row-level security" policy'),
            RefusedError,
            "db migrate",
        ),
        (storage("403", '"exp" claim timestamp check failed'), RefusedError, "403"),
        (table("PGRST106"), RefusedError, "not exposed"),
        (table("PGRST205"), RefusedError, "imagen.images is missing"),
        (table("PGRST301"), RefusedError, "supabase.key"),
        (table("42P01"), RefusedError, "imagen.images is missing"),
        (table("PGRST205", "no 'imagen.claims'"), RefusedError, "imagen.claims is missing"),
        (table("42501"), RefusedError, "imagen db migrate"),
        (table("23503"), RefusedError, "owner_user_id"),
        (table("22P05"), RejectedError, "22P05"),
        (table("23514"), RejectedError, "23514"),
        (table("57014"), UnreachableError, "57014"),
        (table("40001"), UnreachableError, "40001"),
        (table("PGRST003"), UnreachableError, "PGRST003"),
        (table(None), RefusedError, "imagen db status"),
        (AuthApiError("Invalid login credentials", 400, None), RefusedError, "supabase.email"),
        (AuthApiError("Invalid API key", 401, None), RefusedError, "supabase.key"),
        (AuthRetryableError("gone", 0), UnreachableError, "signing in"),
        (ValueError("Expecting value"), UnreachableError, "supabase.url"),
    ],
)
def test_each_answer_has_its_meaning_and_says_what_to_do(
    error: Exception, kind: type[Exception], says: str
) -> None:
    meaning = cloud_error_of(error, [])
    assert type(meaning) is kind
    assert says in str(meaning)
    assert "\n" not in str(meaning)


@pytest.mark.parametrize("code", ["42501", "PGRST205", "42703"])
def test_a_refusal_carries_its_code(code: str) -> None:
    meaning = cloud_error_of(table(code), [])
    assert isinstance(meaning, RefusedError)
    assert meaning.code == code


def test_a_page_of_html_is_no_message() -> None:
    page = "<html>\n" + "<p>bad gateway</p>\n" * 1000
    assert len(str(cloud_error_of(storage("400", page), []))) < 300


def test_what_was_understood_already_stays_as_it_is() -> None:
    error = RejectedError("said so")
    assert cloud_error_of(error, []) is error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        (
            {
                "retry-after": "Mon, 11 May 2026 10:00:30 GMT",
                "date": "Mon, 11 May 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(ServerBusyError) as raised:
        raise_if_busy(httpx.Response(503, headers=headers))
    assert raised.value.retry_after == seconds


def test_other_answers_pass() -> None:
    raise_if_busy(httpx.Response(400))
    raise_if_busy(httpx.Response(200))
