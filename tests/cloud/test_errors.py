"""What servers say, and what it means for a picture: wait, give up on it, or ask the user."""

from __future__ import annotations

import httpx
import pytest
from postgrest import APIError
from storage3.exceptions import StorageApiError
from supabase_auth.errors import AuthApiError, AuthRetryableError

from imagen_nb.cloud.errors import Missing, Refused, Rejected, Taken, Unreachable, understood
from imagen_nb.system.throttling import ServerBusyError, raise_if_busy


def storage(status: str, message: str = "said so") -> StorageApiError:
    return StorageApiError(message, "code", status)


def table(code: str | None, message: str = "said so") -> APIError:
    return APIError({"code": code, "message": message, "hint": None, "details": None})


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (httpx.ConnectError("no route to host"), Unreachable, "no route to host"),
        (httpx.ReadTimeout(""), Unreachable, "ReadTimeout"),
        (httpx.RemoteProtocolError("torn"), Unreachable, "torn"),
        (httpx.UnsupportedProtocol("ftp"), Refused, "supabase.url"),
        (ServerBusyError(429, 3.0), Unreachable, "429"),
        (ServerBusyError(502, None), Unreachable, "502"),
        (storage("500"), Unreachable, "500"),
        (storage("503"), Unreachable, "503"),
        (storage("429"), Unreachable, "429"),
        (storage("409"), Taken, "409"),
        (storage("404", "Object not found"), Missing, "404"),
        (storage("404", "Bucket not found"), Refused, "imagen db migrate"),
        (storage("404", "The related resource does not exist"), Refused, "no bucket"),
        (storage("413"), Rejected, "413"),
        (storage("415"), Rejected, "415"),
        (storage("400"), Rejected, "400"),
        (storage("401"), Refused, "supabase.key"),
        (storage("403", 'new row violates "row-level security" policy'), Refused, "db migrate"),
        (storage("403", '"exp" claim timestamp check failed'), Refused, "403"),
        (table("PGRST106"), Refused, "not exposed"),
        (table("PGRST205"), Refused, "imagen.images is missing"),
        (table("PGRST301"), Refused, "supabase.key"),
        (table("42P01"), Refused, "imagen.images is missing"),
        (table("42501"), Refused, "imagen db migrate"),
        (table("23503"), Refused, "owner_user_id"),
        (table("22P05"), Rejected, "22P05"),
        (table("23514"), Rejected, "23514"),
        (table("57014"), Unreachable, "57014"),
        (table("40001"), Unreachable, "40001"),
        (table("PGRST003"), Unreachable, "PGRST003"),
        (table(None), Refused, "imagen db status"),
        (AuthApiError("Invalid login credentials", 400, None), Refused, "supabase.email"),
        (AuthApiError("Invalid API key", 401, None), Refused, "supabase.key"),
        (AuthRetryableError("gone", 0), Unreachable, "signing in"),
        (ValueError("Expecting value"), Unreachable, "supabase.url"),
    ],
)
def test_each_answer_has_its_meaning_and_says_what_to_do(
    error: Exception, kind: type[Exception], says: str
) -> None:
    meaning = understood(error, [])
    assert type(meaning) is kind
    assert says in str(meaning)
    assert "\n" not in str(meaning)


@pytest.mark.parametrize("code", ["42501", "PGRST205", "42703"])
def test_a_refusal_carries_its_code(code: str) -> None:
    meaning = understood(table(code), [])
    assert isinstance(meaning, Refused)
    assert meaning.code == code


def test_a_page_of_html_is_no_message() -> None:
    page = "<html>\n" + "<p>bad gateway</p>\n" * 1000
    assert len(str(understood(storage("400", page), []))) < 300


def test_what_was_understood_already_stays_as_it_is() -> None:
    error = Rejected("said so")
    assert understood(error, []) is error


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
