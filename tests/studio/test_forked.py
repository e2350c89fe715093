"""A forked child draws, tags, reads, sends and ends, whatever its parent was doing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.backends.session import Backends
from imagen_nb.studio.studio import Studio
from tests.fixtures.forks import Halt, assert_child_ends_well, forks
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

pytestmark = forks
FAST: dict[str, Any] = {"progress": False, "steps": 2}


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    settings = {"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}
    with Studio(settings, background=False) as studio:
        yield studio


def seeds(studio: Studio) -> set[int]:
    return set(studio.history(source="local")["seed"])


def test_a_child_draws_tags_and_reads_with_the_model_of_its_parent(studio: Studio) -> None:
    parents = studio.generate("a boat", seed=1, **FAST)

    def work() -> None:
        drawn = studio.generate("a boat", seed=2, **FAST)
        studio.sweep("a boat", seeds=[3, 4], **FAST)
        assert studio.tag([parents, drawn], "seen by the child") == 2
        assert seeds(studio) == {1, 2, 3, 4}
        studio.close()

    assert_child_ends_well(work)
    assert seeds(studio) == {1, 2, 3, 4}
    assert len(studio.history(source="local", tags="seen by the child")) == 2
    studio.generate("a boat", seed=5, **FAST)


def test_a_child_made_while_its_parent_draws_is_not_in_its_way(studio: Studio) -> None:
    studio.generate("a boat", seed=1, **FAST)
    halt = Halt()
    parents: dict[str, Any] = {"progress": halt.stay, "steps": 2}

    def work() -> None:
        studio.cancel()  # there is nothing of its own to cancel
        studio.generate("a boat", seed=2, **FAST)
        studio.close()

    with halt.reached_by(lambda: studio.generate("a moon", **parents)):
        assert_child_ends_well(work)
    assert len(seeds(studio)) == 3


def test_a_child_made_while_a_backend_is_made_makes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backends, halt = Backends("flux-tiny-local", {}), Halt()

    def slow(self: Backends, name: str, options: dict[str, Any]) -> object:
        halt.stay()
        return object()

    monkeypatch.setattr(Backends, "_make", slow)

    def work() -> None:
        monkeypatch.undo()
        assert backends.get().name == "flux-tiny-local"

    with halt.reached_by(backends.get):
        assert_child_ends_well(work)


def test_a_child_reads_and_sends_by_connections_of_its_own(
    folder: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    account = {"url": local_supabase.url, "key": local_supabase.anon_key}
    account |= {"email": local_supabase.email, "password": local_supabase.password}
    settings = {"output": {"dir": str(folder)}, "supabase": account, "backend": "flux-tiny-local"}
    with Studio(settings, background=False) as studio:
        studio.generate("a boat", seed=1, **FAST)
        assert studio.sync().synced == 1
        assert len(studio.history(source="cloud")) == 1

        def work() -> None:
            assert len(studio.history(source="cloud")) == 1
            studio.generate("a boat", seed=2, **FAST)
            assert studio.sync().synced == 1
            studio.close()

        assert_child_ends_well(work)
        assert set(studio.history(source="cloud")["seed"]) == {1, 2}
