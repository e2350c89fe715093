"""Reading pages: every row once, whatever the server's cap and whatever happens meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.histories import inserted, many
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.mark.parametrize(
    ("burst", "cap"),
    [
        (False, 1000),
        (False, 100),
        (False, 7),
        pytest.param(True, 1000, marks=pytest.mark.soak),
        (True, 100),
        (True, 7),
    ],
)
def test_nothing_is_lost_or_doubled_under_any_cap(
    server: ServerState,
    local_supabase: TwoUsers,
    proxy: FaultProxy,
    folder: Path,
    cap: int,
    burst: bool,
) -> None:
    """Rows of one moment (a batch, an import) are more than one page."""
    rows = many(local_supabase.user_id, max(cap * 23 // 10, 160), burst)
    inserted(server, rows)
    proxy.max_rows = cap
    keys = sorted(((r.created_at, str(r.id)) for r in rows), reverse=True)
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        frame = studio.history(source="cloud")
        assert frame["id"].tolist() == [id for _, id in keys]
        some = studio.history(source="cloud", limit=cap + 3)
        assert some["id"].tolist() == frame["id"].tolist()[: cap + 3]
        few = frame["id"].sample(150, random_state=1).tolist()
        assert set(studio.history(source="cloud", ids=few)["id"]) == set(few)


def test_rows_that_arrive_meanwhile_disturb_nothing(
    server: ServerState, local_supabase: TwoUsers, proxy: FaultProxy, folder: Path
) -> None:
    rows = many(local_supabase.user_id, 300, burst=False)
    inserted(server, rows)
    later = many(local_supabase.user_id, 200, burst=False)
    proxy.max_rows, proxy.delay = 50, 0.01
    over = threading.Event()

    def insert() -> None:
        for start in range(0, 200, 10):
            inserted(server, later[start : start + 10])
        over.set()

    thread = threading.Thread(target=insert)
    thread.start()
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        while not over.is_set():
            ids = studio.history(source="cloud")["id"]
            assert ids.is_unique
            assert {str(row.id) for row in rows} <= set(ids)
        thread.join()
        assert len(studio.history(source="cloud")) == 500


def test_limit_stops_early(
    server: ServerState, local_supabase: TwoUsers, proxy: FaultProxy, folder: Path
) -> None:
    inserted(server, many(local_supabase.user_id, 400, burst=False))
    proxy.max_rows = 100
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        assert len(studio.history(source="cloud", limit=250)) == 250
    reads = [path for method, path in proxy.requests if method == "GET" and "/images" in path]
    assert len(reads) == 3
