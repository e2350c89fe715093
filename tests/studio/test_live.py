"""`watch`: pictures of this machine and of others as they come, one row each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cloud import live as cloud_live
from imagen_nb.errors import UsageError
from imagen_nb.studio.live import Watch
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

WAIT_S = 60
TINY = {"backend": "flux-tiny-local", "steps": 1}


@pytest.fixture
def here(folder: Path) -> Iterator[Studio]:
    """A machine without a cloud."""
    with Studio({**TINY, "output": {"dir": str(folder)}}, background=False) as studio:
        yield studio


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    until = time.monotonic() + WAIT_S
    names = ("imagen-local-live", "imagen-cloud-live", "imagen-channel")
    while [one.name for one in threading.enumerate() if one.name in names]:
        assert time.monotonic() < until
        time.sleep(0.01)


def draw(studio: Studio, prompt: str, seed: int = 1, **options: Any) -> str:
    picture = studio.generate(prompt, seed=seed, progress=False, **options)
    return str(picture.record.id)


def test_it_gives_each_new_picture_that_matches_once(here: Studio) -> None:
    draw(here, "a boat before")
    with here.watch(prompt="boat", tags=["sea"], timeout=WAIT_S) as watch:
        draw(here, "a house", tags=["sea"])
        draw(here, "a boat without", 2)
        first = draw(here, "a red boat", 3, tags=["sea"])
        row = next(watch)
        assert (row["id"], row["seed"], row["prompt"]) == (first, 3, "a red boat")
        second = draw(here, "a blue boat", 4, tags=["sea"])
        assert next(watch)["id"] == second
    assert [*watch] == []
    assert here.lookup.original(row).record.seed == 3


def test_it_ends_when_none_came_for_so_long(here: Studio) -> None:
    watch = here.watch(timeout=0.05)
    assert [*watch] == []
    assert [*here.watch(timeout=0)] == []


def test_its_threads_end_with_it(here: Studio) -> None:
    watch = here.watch()
    assert any(thread.name == "imagen-local-live" for thread in threading.enumerate())
    del watch  # as at the end of a loop that was left


def test_ctrl_c_while_it_waits_is_heard(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = here.watch()

    def interrupted(timeout: float) -> Any:
        raise KeyboardInterrupt

    class Queue:
        put = staticmethod(lambda found: None)
        get = staticmethod(interrupted)

    monkeypatch.setattr(watch._feed, "found", Queue)
    with pytest.raises(KeyboardInterrupt):
        next(watch)
    watch.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "merged"}, "source must be one of auto, local, cloud, not 'merged'"),
        ({"source": "cloud"}, "nothing to watch: no Supabase is configured"),
        ({"timeout": -1}, "the timeout must be 0 seconds or more, not -1"),
        ({"prompts": "boat"}, "did you mean prompt"),
    ],
)
def test_what_cannot_be_watched_is_said_at_once(
    here: Studio, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((UsageError, TypeError), match=message):
        here.watch(**options)


@pytest.fixture
def there(server: ServerState, local_supabase: TwoUsers, tmp_path: Path) -> Iterator[Studio]:
    """Another machine of the same user."""
    values = settings(tmp_path / "there", local_supabase) | TINY
    with Studio(values, background=False) as studio:
        yield studio


@pytest.fixture
def mine(
    server: ServerState,
    local_supabase: TwoUsers,
    folder: Path,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Studio]:
    """This one, through the proxy."""
    monkeypatch.setattr(cloud_live, "POLL_S", 0.1)
    values = settings(folder, local_supabase, proxy.url) | TINY
    with Studio(values, background=False) as studio:
        yield studio


@pytest.fixture
def watched(mine: Studio, proxy: FaultProxy) -> Iterator[Callable[..., Watch]]:
    """Begins to watch, and waits until the cloud is."""
    watches = []

    def watched(**options: Any) -> Watch:
        watches.append(mine.watch(timeout=WAIT_S, **options))
        until = time.monotonic() + WAIT_S
        while sum("/claims?" in path for _, path in [*proxy.requests]) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        return watches[-1]

    yield watched
    for watch in watches:
        watch.close()


def test_pictures_of_another_machine_come_and_ones_own_come_once(
    watched: Callable[..., Watch],
    mine: Studio,
    there: Studio,
    capfd: pytest.CaptureFixture[str],
) -> None:
    late = draw(there, "a boat of yesterday", 9)
    watch = watched(prompt="boat")
    own = draw(mine, "my boat", 1)
    row = next(watch)
    assert (row["id"], row["cloud"]) == (own, "pending")
    draw(there, "a house", 2)
    theirs = draw(there, "their boat", 3)
    there.sync()
    mine.sync()
    rows = {row["id"]: row for row in (next(watch), next(watch))}
    assert rows.keys() == {late, theirs}
    assert rows[theirs]["cloud"] == "synced"
    last = draw(mine, "my last boat", 4)
    assert next(watch)["id"] == last
    assert "imagen: watch: new pictures are looked for every 2 s" in capfd.readouterr().err


def test_of_the_cloud_alone_ones_own_come_when_they_are_there(
    watched: Callable[..., Watch], mine: Studio
) -> None:
    watch = watched(source="cloud")
    own = draw(mine, "my boat")
    mine.sync()
    row = next(watch)
    assert (row["id"], row["cloud"]) == (own, "synced")
    assert Path(row["local_path"]).exists()


def test_while_the_cloud_is_away_it_says_so_and_goes_on_here(
    watched: Callable[..., Watch],
    mine: Studio,
    there: Studio,
    proxy: FaultProxy,
    capfd: pytest.CaptureFixture[str],
) -> None:
    watch = watched()
    proxy.down = True
    theirs = draw(there, "their boat", 3)
    there.sync()
    own = draw(mine, "my boat", 1)
    assert next(watch)["id"] == own
    proxy.down = False
    assert next(watch)["id"] == theirs
    assert capfd.readouterr().err.count("cannot") <= 1
