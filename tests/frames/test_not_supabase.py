"""What answers at supabase.url is no Supabase, or silent: the history is this machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from tenacity import wait_none

from imagen_nb.cloud import connection
from imagen_nb.cloud import worker as worker_module
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.worker import Worker
from imagen_nb.errors import CloudError, ImagenError
from imagen_nb.frames.sources.usage import with_usage
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.tags import load_queued_tags
from imagen_nb.studio.studio import Studio
from imagen_nb.system import idle_gate
from tests.fixtures.other_servers import (
    DEEP,
    ID,
    NOT_SUPABASES,
    PORTAL,
    server_that_says,
    silent_server,
)
from tests.fixtures.pictures import render


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_backoff", wait_none())


def asked(folder: Path, url: str, **account: Any) -> dict[str, Any]:
    signing_in = {"email": "me@here", "password": "p"}
    return {
        "output": {"dir": str(folder)},
        "supabase": {"url": url, "key": "k", **signing_in, **account, "exit_seconds": 0},
    }


@pytest.fixture
def here(folder: Path) -> Path:
    render(folder, 3)
    return folder


QUERIES: dict[str, dict[str, Any]] = {
    "all": {},
    "the newest": {"limit": 2},
    "words": {"prompt": "boat"},
    "many seeds": {"seed": range(500)},
    "ids": {"ids": [ID]},
}


# Each answer to one of the questions; all to all are long.
HISTORIES = [
    pytest.param(
        answer, query, marks=() if (turn - number) % len(QUERIES) == 0 else pytest.mark.soak
    )
    for number, answer in enumerate(NOT_SUPABASES)
    for turn, query in enumerate(QUERIES)
]


@pytest.mark.parametrize(("answer", "query"), HISTORIES)
def test_a_history_is_this_machines_with_one_notice_whatever_answers(
    answer: str, query: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        server_that_says(NOT_SUPABASES[answer]) as url,
        Studio(asked(here, url), background=False) as studio,
    ):
        frame = studio.history(**QUERIES[query])
        again = studio.history(**QUERIES[query])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("imagen: history: from ")
    local = len(frame) if "from this machine's catalog" in said else None
    assert local in (None, {"ids": 0, "the newest": 2}.get(query, 3))
    assert len(frame) == len(again)


@pytest.mark.parametrize("signs_in", [True, False])
@pytest.mark.parametrize("body", [PORTAL, DEEP, '{"a":' * 100_000], ids=["portal", "deep", "torn"])
def test_the_notice_asks_whether_the_address_is_right(
    body: str, signs_in: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        server_that_says(body, signs_in=signs_in) as url,
        Studio(asked(here, url), background=False) as studio,
    ):
        assert len(studio.history()) == 3
    assert "is supabase.url the project's address?" in capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
@pytest.mark.parametrize("body", [PORTAL, DEEP, f'{{"msg": {DEEP[99_000:101_000]}}}'])
def test_errors_of_other_servers_are_one_line_too(
    body: str, status: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        server_that_says(body, status, signs_in=False) as url,
        Studio(asked(here, url), background=False) as studio,
    ):
        assert len(studio.history()) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("answer", NOT_SUPABASES)
def test_what_asks_for_one_picture_or_its_tags_gives_a_line(answer: str, here: Path) -> None:
    with (
        server_that_says(NOT_SUPABASES[answer]) as url,
        Studio(asked(here, url), background=False) as studio,
    ):
        cloud = studio.reader()
        frame = studio.history(source="local")
        calls: list[Callable[[], object]] = [
            lambda: studio.reproduce(ID),
            lambda: studio.tag([ID], "keeper"),
            lambda: with_usage(frame, cloud, None),
            lambda: studio.sync(),
            lambda: studio.verify(),
        ]
        for call in calls:
            with suppress(ImagenError):
                call()


@pytest.mark.parametrize("synced", [False, True], ids=["pictures", "tags"])
@pytest.mark.parametrize("answer", NOT_SUPABASES)
def test_the_worker_in_the_background_survives_it(
    answer: str,
    synced: bool,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_gate, "_QUIET_S", 0.0)
    monkeypatch.setattr(worker_module, "_OTHER_PROCESS_S", 0.01)
    monkeypatch.setattr(worker_module, "_OUTAGE_PAUSE_S", (0.01, 0.02))
    rounds: list[object] = []
    really = Worker._send

    def counted(self: Worker, *arguments: Any) -> Any:
        rounds.append(arguments)
        return really(self, *arguments)

    monkeypatch.setattr(Worker, "_send", counted)
    catalog = Catalog(here)
    if synced:
        with catalog.connection() as connection:
            connection.execute("UPDATE images SET cloud_state = 'synced'")
        with Studio({"output": {"dir": str(here)}}, background=False) as studio:
            studio.tag([str(entry.record.id) for entry in catalog.latest(3)], "keeper")
    with server_that_says(NOT_SUPABASES[answer]) as url:
        account = Account(url, SecretStr("k"), "me@here", SecretStr("p"))
        worker = Worker(account, 0)
        worker.notify(catalog)
        until = time.monotonic() + 20
        while len(rounds) < 2 and worker._thread is not None and worker._thread.is_alive():
            assert time.monotonic() < until
            time.sleep(0.01)
            worker.notify(catalog)
        assert worker._thread is not None
        assert worker._thread.is_alive()
        worker.close()
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "an error of imagen_nb" not in said
    assert len(load_queued_tags(catalog)) == (3 if synced else 0)
    assert catalog.counts()["synced"] == (3 if synced else 0)


def test_a_mistake_in_the_worker_is_told_and_does_not_end_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **more: Any) -> None:
        raise KeyError("sb_secret_abcdefgh")

    monkeypatch.setattr(worker_module, "drain", fail)
    monkeypatch.setattr(worker_module, "_OUTAGE_PAUSE_S", (0.01, 0.02))
    worker = Worker(Account("http://127.0.0.1:9", SecretStr("k"), owner=UUID(int=1)), 0)
    report, left = worker._send(Catalog(here), None, Cloud(worker._account))
    assert report.trouble is not None
    assert "KeyError in test_not_supabase.py, line " in report.trouble
    assert "abcdefgh" not in report.trouble
    assert left


class TestSilence:
    def test_a_history_falls_back_within_ten_seconds(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It was three times sixty."""
        with (
            silent_server() as url,
            Studio(asked(here, url), background=False) as studio,
        ):
            import supabase  # noqa: F401 - its import is no waiting

            began = time.monotonic()
            assert len(studio.history()) == 3
            took = time.monotonic() - began
        assert took < 10
        assert "from this machine's catalog, the cloud does not answer" in capsys.readouterr().err

    def test_so_does_one_with_a_secret_key_whose_first_request_is_for_rows(
        self, here: Path
    ) -> None:
        with silent_server() as url:
            values = asked(here, url, email="", password="") | {"owner_user_id": ID}
            with Studio(values, background=False) as studio:
                began = time.monotonic()
                assert len(studio.history(limit=1)) == 1
                assert time.monotonic() - began < 10

    def test_whoever_wants_the_cloud_alone_is_told(self, here: Path) -> None:
        patience = connection.TimeoutPolicy(httpx.Timeout(0.2), 1)
        with silent_server() as url:
            cloud = Cloud(Account(url, SecretStr("k"), owner=UUID(ID)), 5, patience)
            with pytest.raises(CloudError, match="cannot be reached: timed out") as raised:
                cloud.paths([ID])
            cloud.close()
        assert getattr(raised.value, "timed_out", False)

    def test_senders_keep_their_longer_time(self) -> None:
        assert connection.SENDER_TIMEOUTS.timeout.read == 60
        assert connection.SENDER_TIMEOUTS.max_timeouts == connection.MAX_ATTEMPTS
        read = connection.READER_TIMEOUTS.timeout
        assert (read.connect, read.read) == (3, 9)
