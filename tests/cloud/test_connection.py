"""Errors on the way to Supabase: a line for the user, or an error of our own as it is."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RefusedError

OWNER = UUID(int=1)
ID = "00000000-0000-4000-8000-000000000001"
KEY = SecretStr("sb_secret_abcdefgh")
PATH = "2026-05-11/x.png"
ROW = {"id": ID, "storage_path": PATH}


@pytest.fixture
def cloud() -> Any:
    with closing(Cloud(Account("http://127.0.0.1:9", KEY, owner=OWNER), attempts=1)) as cloud:
        yield cloud


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
    "url", ["my.supabase.co", "ftp://my.supabase.co", "https://", "http://[::1"]
)
def test_an_address_that_is_none_is_a_line_for_the_user(url: str) -> None:
    """Without a scheme it ended in supabase's own "Invalid URL", which nothing caught."""
    with (
        closing(Cloud(Account(url, KEY, owner=OWNER), attempts=1)) as cloud,
        pytest.raises(RefusedError, match=r"supabase\.url is no address: it looks like https://"),
    ):
        cloud.paths([ID])
