"""A live gallery takes in pictures of other machines as they come into the cloud."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_nb.cloud import live as cloud_live
from imagen_nb.cloud.account import Account
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.pictures import render, sync
from tests.fixtures.supabase_fixtures import TwoUsers
from tests.fixtures.views import View

WAIT_S = 30


@pytest.fixture
def shown(
    away: Studio,
    view: Callable[..., View],
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> View:
    """A live gallery of no pictures, beside a cloud with six, which it watches."""
    monkeypatch.setattr(cloud_live, "POLL_S", 0.1)
    shown = view(None, live=True)
    assert shown.ask("open", "shown")[0]["total"] == 0
    wait(lambda: looks(proxy) >= 2)
    return shown


def troubles(shown: View) -> list[str]:
    return [told["text"] for told, _ in shown.heard if told["kind"] == "trouble"]


def looks(proxy: FaultProxy) -> int:
    return sum("/claims?" in path for _, path in [*proxy.requests])


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def of(supabase: TwoUsers) -> Account:
    from pydantic import SecretStr

    return Account(
        supabase.url,
        SecretStr(supabase.anon_key),
        supabase.email,
        SecretStr(supabase.password),
    )


def test_pictures_of_another_machine_come_with_their_thumbnails(
    shown: View, tmp_path: Path, local_supabase: TwoUsers, proxy: FaultProxy
) -> None:
    told, _ = shown.wait("note")
    assert told["text"].startswith("new pictures are looked for every 2 s")
    render(tmp_path / "third", 2, first=50)
    sync(tmp_path / "third", of(local_supabase))
    wait(lambda: any(m["kind"] == "new" and m["total"] == 2 for m, _ in shown.heard))
    told, _ = shown.ask("filter", "shown", words="")
    assert (told["sort"], told["descending"]) == ("created_at", True)  # the newest at the top
    told, files = shown.ask("want", "cards", at=[0, 1])
    assert told["troubles"] == ["", ""]
    assert {file[8:12] for file in files} == {b"WEBP"}
    assert {told["seed"][0], told["seed"][1]} == {"50", "51"}


def test_a_server_that_goes_is_said_once_and_what_came_meanwhile_is_shown(
    shown: View, tmp_path: Path, local_supabase: TwoUsers, proxy: FaultProxy
) -> None:
    proxy.down = True
    shown.wait("trouble")
    render(tmp_path / "third", 3, first=50)
    sync(tmp_path / "third", of(local_supabase))
    before = len(proxy.requests)
    wait(lambda: len(proxy.requests) > before + 2)
    (said,) = troubles(shown)
    assert "Supabase cannot be reached" in said
    proxy.down = False
    wait(lambda: any(m["kind"] == "new" and m["total"] == 3 for m, _ in shown.heard))
    wait(lambda: troubles(shown) == [said, ""])
    assert len(shown.gallery.visible) == 0  # until a view asks
    assert sorted(shown.gallery._rows._frame["seed"]) == [50, 51, 52]


def test_it_asks_no_longer_once_the_last_view_is_gone_and_again_with_the_next(
    shown: View, tmp_path: Path, local_supabase: TwoUsers, proxy: FaultProxy
) -> None:
    shown.say("left")
    wait(lambda: not is_watching())
    proxy.requests.clear()
    render(tmp_path / "third", 1, first=50)
    sync(tmp_path / "third", of(local_supabase))
    assert looks(proxy) == 0
    shown.heard.clear()
    shown.say("open")
    wait(lambda: any(m["kind"] == "new" and m["total"] == 1 for m, _ in shown.heard))
    shown.gallery.close()
    wait(lambda: not is_watching())


def is_watching() -> bool:
    import threading

    names = {thread.name for thread in threading.enumerate()}
    return bool(names & {"imagen-cloud-live", "imagen-channel", "imagen-local-live"})
