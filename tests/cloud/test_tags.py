"""Tags reach their rows and are merged there: from machines that are offline, at the same time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cloud import connection
from imagen_nb.errors import UsageError
from imagen_nb.storage.output import load_record
from imagen_nb.storage.tags import load_queued_tags
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.kill_points import arm
from tests.fixtures.pictures import render, wait_little
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers


def settings(folder: Path, supabase: TwoUsers, url: str | None = None) -> dict[str, Any]:
    key = {"url": url or supabase.url, "key": supabase.anon_key}
    user = {"email": supabase.email, "password": supabase.password}
    return {"output": {"dir": str(folder)}, "supabase": key | user}


@pytest.fixture
def here(folder: Path, local_supabase: TwoUsers, server: ServerState) -> Iterator[Studio]:
    """A machine with four pictures, which the cloud has too."""
    render(folder, 4)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        assert studio.sync().synced == 4
        yield studio


@pytest.fixture
def there(here: Studio, tmp_path: Path, local_supabase: TwoUsers) -> Iterator[Studio]:
    """Another machine of the same user, without any picture."""
    with Studio(settings(tmp_path / "there", local_supabase), background=False) as studio:
        yield studio


def in_cloud(server: ServerState) -> dict[int, list[str]]:
    return {row["seed"]: row["tags"] for row in server.rows()}


def test_tags_reach_the_row_at_the_next_sync(here: Studio, server: ServerState) -> None:
    frame = here.history(source="local")
    odd = ['a,"b"', "x{y}", "back\\slash", "naïve ☃", "null", "NULL", ""][:-1]
    here.tag(frame, *odd)
    here.rate(frame[frame["seed"] == 1], 5)
    assert in_cloud(server) == {seed: [] for seed in range(4)}
    report = here.sync()
    assert (report.tagged, report.trouble) == (4, None)
    assert in_cloud(server)[0] == odd
    assert in_cloud(server)[1] == [*odd, "rating:5"]
    assert load_queued_tags(here.catalog()) == {}
    here.untag(frame, *odd)
    assert here.sync().tagged == 4
    assert in_cloud(server) == {0: [], 1: ["rating:5"], 2: [], 3: []}
    assert here.sync().tagged == 0


def test_two_machines_lose_nothing_of_each_other(
    here: Studio, there: Studio, server: ServerState
) -> None:
    frame = there.history(source="cloud")
    here.tag(here.history(source="local"), "mine", "both", "rating:2")
    there.tag(frame, "yours", "both", "rating:4")
    there.sync()
    here.sync()
    assert set(in_cloud(server)[0]) == {"mine", "yours", "both", "rating:2"}
    sidecar = load_record(here.history(source="local", seed=0)["local_path"].iloc[0])
    assert set(sidecar.tags) == {"mine", "yours", "both", "rating:2"}
    there.untag(frame, "both")
    there.sync()
    assert set(in_cloud(server)[3]) == {"mine", "yours", "rating:2"}


def test_a_row_that_changes_between_reading_and_writing_is_read_again(
    here: Studio,
    there: Studio,
    server: ServerState,
    proxy: FaultProxy,
    local_supabase: TwoUsers,
) -> None:
    """The other machine writes at the worst moment: just before our write arrives."""
    there.tag(there.history(source="cloud"), "theirs")
    meanwhile = [lambda: there.sync().tagged]

    def choose(method: str, path: str) -> None:
        if method == "PATCH" and meanwhile:
            assert meanwhile.pop()() == 4

    proxy.choose = choose
    folder = here.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as mine:
        mine.tag(mine.history(source="local"), "ours")
        assert mine.sync().tagged == 4
    assert not meanwhile
    assert {seed: set(tags) for seed, tags in in_cloud(server).items()} == {
        seed: {"ours", "theirs"} for seed in range(4)
    }


def test_offline_tags_wait_and_are_not_lost(
    here: Studio,
    server: ServerState,
    proxy: FaultProxy,
    local_supabase: TwoUsers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_backoff", "_MAX_RETRY_AFTER_S", "SENDER_TIMEOUTS"):
        monkeypatch.setattr(connection, name, getattr(connection, name))
    wait_little()
    folder = here.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as mine:
        frame = mine.history(source="local")
        proxy.down = True
        mine.tag(frame, "offline")
        assert mine.sync().trouble is not None
        assert len(load_queued_tags(mine.catalog())) == 4
        proxy.down = False
        faults = iter([*FAULTS.values()] * 3)
        proxy.choose = lambda method, path: (
            next(faults, None) if "/rest/" in path and method == "PATCH" else None
        )
        for _ in range(60):
            if mine.sync().tagged and not load_queued_tags(mine.catalog()):
                break
    assert in_cloud(server) == {seed: ["offline"] for seed in range(4)}


def test_a_picture_tagged_before_it_went_up_has_its_tags_there(
    folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    render(folder, 2)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        studio.tag(studio.history(source="local"), "early")
        assert studio.sync().synced == 2
        assert in_cloud(server) == {0: ["early"], 1: ["early"]}
        studio.sync()
        assert load_queued_tags(studio.catalog()) == {}


def test_ids_are_looked_up_before_they_are_tagged(
    there: Studio, server: ServerState, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="here or in the cloud"):
        there.tag("00000000-0000-4000-8000-000000000000", "sea")
    row = there.history(source="cloud").iloc[0]
    there.tag(row["id"][:8], "sea")
    table = server.client.schema("imagen").from_("images")
    table.delete().eq("id", row["id"]).execute()
    there.sync()
    assert f"no row {row['id']} to tag" in capsys.readouterr().err
    assert load_queued_tags(there.catalog()) == {}


def test_a_notebook_sends_tags_in_the_background(
    here: Studio, local_supabase: TwoUsers, server: ServerState
) -> None:
    with Studio(settings(here.settings.output.dir, local_supabase)) as notebook:
        notebook.tag(notebook.history(source="local"), "soon")
    assert in_cloud(server)[0] == ["soon"]


def test_a_kill_after_writing_the_row_loses_nothing(
    here: Studio, local_supabase: TwoUsers, server: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.tag(here.history(source="local"), "killed")
    process = os.fork()
    if process == 0:
        arm("after-tags")
        with Studio(settings(here.settings.output.dir, local_supabase), background=False) as one:
            one.sync()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
    assert len(load_queued_tags(here.catalog())) == 4
    assert here.sync().tagged == 4
    assert in_cloud(server) == {seed: ["killed"] for seed in range(4)}
    assert load_queued_tags(here.catalog()) == {}
