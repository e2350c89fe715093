"""A secret that a client's error quotes shows nowhere: stderr, catalog, `imagen sync --dry-run`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from postgrest import APIError
from pydantic import SecretStr
from storage3.exceptions import StorageApiError
from supabase_auth.errors import AuthApiError, AuthRetryableError
from tenacity import wait_none

import imagen_nb as im
from imagen_nb.cli import run
from imagen_nb.cloud import connection
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import cloud_error_of
from imagen_nb.errors import CloudError

KEY, PASSWORD = "sb_secret_abcdefgh/1'2", "hunter2 hunter2"
OWNER = "00000000-0000-4000-8000-000000000001"
SAID = f"Illegal header value {KEY.encode()!r}, {json.dumps(PASSWORD)}"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_backoff", wait_none())


@pytest.fixture
def somewhere() -> Iterator[str]:
    """Where somebody listens, so that httpx comes to look at the headers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def leaks(text: str) -> bool:
    return "abcdefgh" in text or "hunter2" in text


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> str:
    account = {"url": NOWHERE, "key": f"{KEY}\r\n", "password": PASSWORD, "exit_seconds": 0}
    drawing = {"backend": "flux-tiny-local", "steps": 1, "width": 64, "height": 64}
    more = {"output": {"dir": str(folder)}, "owner_user_id": OWNER, "supabase": account}
    file = tmp_path / "imagen.yaml"
    file.write_text(json.dumps(drawing | more))  # JSON is YAML
    file.chmod(0o600)
    return str(file)


def shown(config: str, capsys: pytest.CaptureFixture[str]) -> str:
    """All that a picture that cannot go up leaves to be read."""
    assert run(["generate", "a red boat", "--seed", "3", "--config", config]) == 0
    assert run(["sync", "--config", config]) == 1
    assert run(["sync", "--dry-run", "--config", config]) == 0
    assert run(["sync", "--dry-run", "--json", "--config", config]) == 0
    assert run(["status", "--config", config]) == 0
    said = capsys.readouterr()
    with im.Studio(json.loads(Path(config).read_text()), background=False) as studio:
        (waiting,) = studio.waiting()
    assert waiting.cloud_error
    return said.out + said.err + waiting.cloud_error


def test_a_key_that_ends_in_a_newline_is_sent_without_it(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def refuse(transport: object, request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["apikey"])
        raise httpx.ConnectError("nobody listens")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    told = shown(config, capsys)
    assert set(sent) == {KEY}
    assert "nobody listens" in told
    assert not leaks(told)


def test_an_error_that_quotes_the_key_shows_it_nowhere(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(transport: object, request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError(SAID)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    told = shown(config, capsys)
    assert "Illegal header value b" in told
    assert not leaks(told)


def test_what_httpx_itself_says_of_such_a_header_is_scrubbed(somewhere: str) -> None:
    """As an account says it that no settings were read for."""
    account = Account(somewhere, SecretStr(f"{KEY}\r\n"), owner=UUID(OWNER))
    with closing(Cloud(account, attempts=1)) as cloud, pytest.raises(CloudError) as raised:
        cloud.paths([OWNER])
    assert "Illegal header value b" in str(raised.value)
    assert not leaks(str(raised.value))


def test_the_token_of_who_signed_in_is_scrubbed_too(
    somewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the server, which may say anything."""
    user = {"id": OWNER, "aud": "x", "created_at": "2026-05-11T00:00:00Z"}
    user |= {"app_metadata": {}, "user_metadata": {}}
    session = {"access_token": "eyJh.abcdefgh.c2ln\n", "refresh_token": "r", "user": user}
    session |= {"token_type": "bearer", "expires_in": 3600}
    really = httpx.HTTPTransport.handle_request

    def answer(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/v1/token":
            return httpx.Response(200, json=session, request=request)
        return really(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    account = Account(somewhere, SecretStr(KEY), "me@here", SecretStr(PASSWORD))
    with closing(Cloud(account, attempts=1)) as cloud, pytest.raises(CloudError) as raised:
        cloud.paths([OWNER])
    assert "Illegal header value b" in str(raised.value)
    assert not leaks(str(raised.value))


@pytest.mark.parametrize(
    "error",
    [
        httpx.LocalProtocolError(SAID),
        StorageApiError(SAID, "code", KEY),
        StorageApiError(" " * 180 + SAID, "code", "400"),  # cut in the middle of the key
        APIError({"code": KEY, "message": SAID, "hint": None, "details": None}),
        AuthApiError(SAID, 400, None),
        AuthApiError(SAID, 401, None),
        AuthRetryableError(SAID, 0),
        ValueError(SAID),
    ],
)
def test_no_clients_error_tells_what_was_sent(error: Exception) -> None:
    assert not leaks(str(cloud_error_of(error, [SecretStr(KEY), SecretStr(PASSWORD), None])))
