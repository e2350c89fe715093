"""Errors on the way to Supabase: a line for the user, or an error of our own as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, suppress
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from storage3.utils import StorageException
from supabase import SupabaseException
from supabase_functions.errors import FunctionsError

from imagen_nb.cloud import connection
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RefusedError
from imagen_nb.errors import CloudError

OWNER = UUID(int=1)
ID = "00000000-0000-4000-8000-000000000001"
KEY = SecretStr("sb_secret_abcdefgh")
PATH = "2026-05-11/x.png"
ROW = {"id": ID, "storage_path": PATH, "owner_user_id": str(OWNER)}
CALLS: dict[str, Callable[[Cloud], object]] = {
    "upload": lambda cloud: cloud.upload(PATH, b"png"),
    "object_info": lambda cloud: cloud.object_info(PATH),
    "replace": lambda cloud: cloud.replace(PATH, b"png"),
    "claim": lambda cloud: cloud.claim([(PATH, ID)]),
    "insert": lambda cloud: cloud.insert([ROW]),
    "paths": lambda cloud: cloud.paths([ID]),
    "rows": lambda cloud: cloud.rows([]),
    "update": lambda cloud: cloud.update({"tags": []}, [("id", f"eq.{ID}")]),
    "insert_error_code": lambda cloud: cloud.insert_error_code("images", ROW),
    "require_upload_right": lambda cloud: cloud.require_upload_right(PATH),
    "signed_urls": lambda cloud: cloud.signed_urls([PATH]),
    "read": lambda cloud: cloud.read("http://127.0.0.1:9/x"),
}
ANSWERS = """
<html>
null
3
"text"
{}
[]
[null]
[3]
["text"]
[{}]
[[]]
{"size": "many"}
{"size": null}
{"id": null}
[{"id": null}]
[{"id": []}]
[{"path": null, "error": null, "signedURL": null}]
{"url": 3}
""".splitlines()


@pytest.fixture
def cloud() -> Any:
    with closing(Cloud(Account("http://127.0.0.1:9", KEY, owner=OWNER), attempts=1)) as cloud:
        yield cloud


def answer(monkeypatch: pytest.MonkeyPatch, status: int, text: str) -> None:
    def handle(transport: object, request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=text, request=request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("text", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_whatever_is_answered_there_is_a_result_or_a_line_for_the_user(
    call: str, text: str, status: int, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, status, text)
    with suppress(CloudError):
        CALLS[call](cloud)


def test_rows_that_nobody_asked_for_are_not_asked_for_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id in capitals comes back in small letters: it was asked for without end."""
    answers = iter([json.dumps([ROW])] * 9)

    def handle(transport: object, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=next(answers), request=request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    assert cloud.paths(["ABCDEF00-0000-4000-8000-000000000001"]) == {ID: PATH}


@pytest.mark.parametrize(
    "call", ["object_info", "paths", "claim", "insert", "update", "signed_urls"]
)
def test_json_of_another_shape_is_not_supabases(
    call: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, 200, '["text"]')
    with pytest.raises(CloudError, match=r"not Supabase's: is supabase\.url the project's"):
        CALLS[call](cloud)


@pytest.mark.parametrize("text", ANSWERS)
def test_whoever_answers_the_sign_in_there_is_a_line_for_the_user(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, 200, text)
    account = Account("http://127.0.0.1:9", KEY, "me@here", SecretStr("p"))
    with closing(Cloud(account, attempts=1)) as cloud, pytest.raises(CloudError):
        cloud.owner()


def test_a_user_without_a_uuid_is_not_supabases(monkeypatch: pytest.MonkeyPatch) -> None:
    user = {"id": "me", "aud": "x", "created_at": "2026-05-11T00:00:00Z"}
    user |= {"app_metadata": {}, "user_metadata": {}}
    session = {"access_token": "t", "refresh_token": "r", "user": user}
    answer(monkeypatch, 200, json.dumps(session | {"token_type": "bearer", "expires_in": 3600}))
    account = Account("http://127.0.0.1:9", KEY, "me@here", SecretStr("p"))
    with (
        closing(Cloud(account, attempts=1)) as cloud,
        pytest.raises(CloudError, match="the answer is not Supabase's"),
    ):
        cloud.owner()


class TestErrorsOfOurOwnCode:
    """They were taken for strange answers: "is supabase.url the project's address?"."""

    def test_an_attribute_that_does_not_exist(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        half = SimpleNamespace(token=None, expires_at=None)
        half.expires_within = lambda seconds: False
        monkeypatch.setattr(connection, "sign_in", lambda account, http, clock: half)
        with pytest.raises(AttributeError, match="storage"):
            cloud.upload(PATH, b"png")

    def test_an_attribute_that_does_not_exist_while_signing_in(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr("supabase.Client.schema")
        with pytest.raises(AttributeError, match="schema"):
            cloud.owner()

    def test_an_argument_of_the_wrong_type(self, cloud: Cloud) -> None:
        values: Any = 3
        with pytest.raises(TypeError, match="not iterable"):
            cloud.update(values, [])

    def test_a_filter_that_is_no_pair(self, cloud: Cloud) -> None:
        filters: Any = ["x"]
        with pytest.raises(ValueError, match="unpack"):
            cloud.rows(filters)


@pytest.mark.parametrize(
    "error",
    [
        SupabaseException(f"bad key {KEY.get_secret_value()}"),
        StorageException({"message": f"bad key {KEY.get_secret_value()}"}),
        FunctionsError(f"bad key {KEY.get_secret_value()}", "name", 400),
        httpx.StreamError(f"bad key {KEY.get_secret_value()}"),
        httpx.CookieConflict(f"bad key {KEY.get_secret_value()}"),
    ],
)
def test_a_librarys_error_of_any_type_is_a_line_without_the_key(
    error: Exception, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(transport: object, request: httpx.Request) -> httpx.Response:
        raise error

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", fail)
    with pytest.raises(CloudError, match="bad key …") as raised:
        cloud.paths([ID])
    assert "abcdefgh" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["my.supabase.co", "ftp://my.supabase.co", "https://", "http://[::1"]
)
def test_an_address_that_is_none_is_a_line_for_the_user(url: str) -> None:
    """Without a scheme it ended in supabase's own "Invalid URL", which nothing caught."""
    with (
        closing(Cloud(Account(url, KEY, owner=OWNER), attempts=1)) as cloud,
        pytest.raises(RefusedError, match=r"supabase\.url is no address: it looks like https://"),
    ):
        cloud.paths([ID])
