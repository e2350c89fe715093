"""The history says the same wherever it is read: catalog and cloud, row by row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.schema import HISTORY_COLUMNS
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.histories import CASES, NOW, entered, inserted, records
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings


@pytest.fixture(scope="module")
def both(local_supabase: TwoUsers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A Studio of which catalog and cloud hold the same pictures, and the cloud a stranger's."""
    folder = tmp_path_factory.mktemp("both")
    rows = records(local_supabase.user_id)
    with closing(ServerState(local_supabase.url, local_supabase.service_key)) as server:
        server.clear()
        inserted(server, rows)
        stranger = records(local_supabase.other.id)
        inserted(server, [r.model_copy(update={"id": uuid.uuid4()}) for r in stranger[:40]])
    with Studio(settings(folder, local_supabase), background=False) as studio:
        entered(studio.catalog(), rows)
        yield studio
        _empty(local_supabase)


def _empty(supabase: TwoUsers) -> None:
    with closing(ServerState(supabase.url, supabase.service_key)) as server:
        server.clear()


@pytest.mark.parametrize("case", CASES)
def test_cloud_and_catalog_agree_row_by_row(both: Studio, case: str) -> None:
    asked, count = CASES[case]
    here = both.history(**asked, source="local", sidecar=True)
    there = both.history(**asked, source="cloud", sidecar=True)
    assert len(here) == count
    here["prompt"] = here["prompt"].str.replace("\0", "\N{REPLACEMENT CHARACTER}")
    pd.testing.assert_frame_equal(
        here.drop(columns="sidecar"), there.drop(columns="sidecar"), check_categorical=False
    )
    assert [r["sha256"] for r in here["sidecar"]] == [r["sha256"] for r in there["sidecar"]]


@pytest.mark.parametrize("source", ["local", "cloud", "merged"])
@pytest.mark.parametrize("asked", [{}, {"prompt": "no such thing"}])
def test_every_source_has_the_same_columns_and_types(
    both: Studio, source: str, asked: dict[str, Any]
) -> None:
    frame = both.history(**asked, source=source)
    assert tuple(frame.columns) == HISTORY_COLUMNS
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types == {
        **dict.fromkeys(HISTORY_COLUMNS, "str"),
        **dict.fromkeys(("seed", "steps", "width", "height", "latency_ms"), "Int64"),
        "backend": "category",
        "model": "category",
        "cost_usd_estimate": "float64",
        "created_at": "datetime64[us, UTC]",
        "tags": "object",
        "sidecar": "object",
    }
    assert isinstance(frame.index, pd.RangeIndex)


def test_seeds_keep_every_digit_and_tags_are_lists_of_their_own(both: Studio) -> None:
    frame = both.history(source="cloud")
    assert frame["seed"].max() == 2**53 - 2
    assert frame["latency_ms"].isna().sum() == 18
    assert frame["tags"].map(type).eq(list).all()
    frame["tags"].iloc[0].append("mine")
    assert sum("mine" in tags for tags in frame["tags"]) == 1


def test_sidecars_are_only_fetched_when_asked_for(
    both: Studio, local_supabase: TwoUsers, proxy: FaultProxy
) -> None:
    folder = both.settings.output.dir
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        assert studio.history(source="cloud")["sidecar"].isna().all()
        assert not any("sidecar" in path for _, path in proxy.requests)
        assert studio.history(source="cloud", sidecar=True)["sidecar"].map(type).eq(dict).all()
        assert any("sidecar" in path for _, path in proxy.requests)


def test_newest_first_with_the_id_deciding_between_equals(both: Studio) -> None:
    frame = both.history(source="cloud")
    keys = [*zip(frame["created_at"], frame["id"], strict=True)]
    assert keys == sorted(keys, reverse=True)
    assert frame["created_at"].duplicated().sum() == 80


def test_auto_says_nothing_of_a_cloud_that_nobody_ever_had_and_makes_no_catalog(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Studio({"output": {"dir": str(folder)}}) as studio:
        assert studio.history().empty
    assert capsys.readouterr().err == ""
    assert not folder.joinpath(".imagen").exists()


def test_auto_without_a_cloud_that_may_be_missed_says_so(
    folder: Path, both: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    half = {"output": {"dir": str(folder)}, "supabase": {"url": "https://x.supabase.co"}}
    earlier = {"output": {"dir": str(both.settings.output.dir)}}  # whose pictures were synced
    for given in (half, earlier):
        with Studio(given, background=False) as studio:
            studio.history(limit=1)
            studio.history(limit=1)
        said = capsys.readouterr().err
        assert said.count("from this machine's catalog: no Supabase is configured") == 1


def test_auto_takes_the_cloud_and_says_so_once(
    both: Studio, local_supabase: TwoUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    own = settings(both.settings.output.dir, local_supabase)
    with Studio(own, background=False) as studio:
        assert [len(studio.history()) for _ in range(2)] == [120, 120]
    assert capsys.readouterr().err == "imagen: history: from the cloud\n"


def test_auto_takes_the_catalog_when_the_cloud_is_away_and_says_so(
    both: Studio, local_supabase: TwoUsers, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    own = settings(both.settings.output.dir, local_supabase, proxy.url)
    with Studio(own, background=False) as studio:
        studio.history()
        capsys.readouterr()
        proxy.down = True
        assert len(studio.history(limit=7)) == 7
        said = capsys.readouterr().err
        assert said.startswith("imagen: history: from this machine's catalog, the cloud")
        assert said.count("\n") == 1
        with pytest.raises(CloudError):
            studio.history(source="cloud")


def test_a_refused_key_is_said_and_the_catalog_read(
    both: Studio, local_supabase: TwoUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    own = settings(both.settings.output.dir, local_supabase)
    own["supabase"]["password"] = "not that one"
    with Studio(own, background=False) as studio:
        assert len(studio.history(seed=0)) == 1
    said = capsys.readouterr().err
    assert "from this machine's catalog, the cloud does not answer" in said
    assert "not that one" not in said


@pytest.fixture
def ahead(both: Studio, local_supabase: TwoUsers, tmp_path: Path) -> Iterator[Studio]:
    """A folder with two pictures that are in the cloud, and three newer ones that are not."""
    rows = records(local_supabase.user_id)
    newer = {"created_at": NOW, "storage_path": "x"}
    with Studio(settings(tmp_path, local_supabase), background=False) as studio:
        for seed, (state, row) in enumerate(zip(("pending", "failed", "off"), rows, strict=False)):
            changes = {**newer, "id": uuid.uuid4(), "seed": 5000 + seed}
            entered(studio.catalog(), [row.model_copy(update=changes)], state)
        entered(studio.catalog(), rows[3:5])
        yield studio


def test_merged_has_what_is_not_in_the_cloud_yet(ahead: Studio) -> None:
    frame = ahead.history(source="merged")
    assert (len(frame), frame["id"].is_unique) == (123, True)
    assert set(frame["cloud"].iloc[:3]) == {"pending", "failed: None", "off"}
    assert frame["local_path"].notna().sum() == 5


def test_every_source_has_its_own_pictures_and_merged_keeps_to_a_limit(ahead: Studio) -> None:
    assert len(ahead.history(source="local")) == 5
    assert len(ahead.history(source="cloud")) == 120
    assert len(ahead.history(source="merged", limit=4)) == 4


def test_auto_says_how_many_pictures_are_not_in_the_cloud(
    ahead: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    ahead.history()
    assert "3 pictures here are not in it: source='merged'" in capsys.readouterr().err


BAD: list[tuple[dict[str, Any], str]] = [
    ({"since": "last tuesday"}, "since must be a date, a time, or a span"),
    ({"until": 7}, "until must be a date"),
    ({"size": 128}, "size must be (width, height)"),
    ({"size": "128"}, "expected sizes like 128x128"),
    ({"seed": "eleven"}, "seed must be a whole number"),
    ({"seed": -1}, "seed must be 0 or more"),
    ({"limit": -1}, "limit must be 0 or more"),
    ({"ids": ["abc"]}, "an id is a UUID"),
    ({"prompt": ["a", "b"]}, "prompt must be words"),
    ({"tags": "two\nlines"}, "a tag must be a line of text"),
    ({"backend": 3}, "backend must be a name"),
    ({"source": "disk"}, "source must be one of auto, cloud, local, merged"),
]


@pytest.mark.parametrize(("asked", "said"), BAD)
def test_a_condition_that_is_none_is_refused_in_one_line(
    folder: Path, asked: dict[str, Any], said: str
) -> None:
    with Studio({"output": {"dir": str(folder)}}) as studio, pytest.raises(UsageError) as error:
        studio.history(**{"source": "local", **asked})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
