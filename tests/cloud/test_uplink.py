"""A session's uplink: clients are made when they are needed, and closed with the session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from pydantic import SecretStr

from imagen_nb.cloud import uplink
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings, SupabaseSettings

THREADS = 8


@pytest.fixture
def settings() -> Settings:
    return Settings(supabase=SupabaseSettings(url="http://127.0.0.1:9", key=SecretStr("k")))


def test_threads_that_ask_at_once_share_one_client_which_the_session_closes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Cloud] = []
    closed: list[Cloud] = []

    class Counted(Cloud):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            made.append(self)

        def close(self) -> None:
            super().close()
            closed.append(self)

    monkeypatch.setattr(uplink, "Cloud", Counted)
    session, barrier = Uplink(settings), Barrier(THREADS)

    def ask(_: int) -> Cloud | None:
        barrier.wait(10)
        return session.reader()

    with ThreadPoolExecutor(THREADS) as pool:
        readers = [*pool.map(ask, range(THREADS))]
    session.close()
    assert len(made) == 1
    assert set(readers) == set(made)
    assert closed == made
