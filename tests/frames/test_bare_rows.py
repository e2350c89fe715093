"""Rows of other programs, which say no more than the table asks for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.histories import inserted, records
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

OTHERS = 20


def bare_row(owner: str) -> dict[str, Any]:
    """What the table asks of a row, and no more: as another program may write it."""
    id = str(uuid.uuid4())
    need = {"prompt": "a bare row", "backend": "b", "storage_path": f"{owner}/x.png"}
    return {"id": id, "owner_user_id": owner, "created_at": None, **need}


@pytest.fixture
def bare(server: ServerState, local_supabase: TwoUsers) -> list[str]:
    """The ids of eight such rows without a time, in the order of a history."""
    rows = [bare_row(local_supabase.user_id) for _ in range(8)]
    server.client.schema("imagen").from_("images").insert(rows).execute()
    return sorted((row["id"] for row in rows), reverse=True)


@pytest.fixture
def others(server: ServerState, local_supabase: TwoUsers) -> None:
    """Rows that have a time."""
    inserted(server, records(local_supabase.user_id)[:OTHERS])


@pytest.fixture(params=[1000, 3])
def studio(
    request: pytest.FixtureRequest, local_supabase: TwoUsers, proxy: FaultProxy, folder: Path
) -> Iterator[Studio]:
    """A session whose server gives at most so many rows in an answer."""
    proxy.max_rows = request.param
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        yield studio


def test_rows_without_a_time_are_a_history(bare: list[str], studio: Studio) -> None:
    assert studio.history(source="cloud")["id"].tolist() == bare


@pytest.mark.usefixtures("others")
def test_rows_without_a_time_come_last_and_once(bare: list[str], studio: Studio) -> None:
    frame = studio.history(source="cloud")
    assert (len(frame), frame["id"].is_unique) == (OTHERS + 8, True)
    assert frame["id"].tolist()[OTHERS:] == bare
    assert frame["created_at"].isna().sum() == 8


@pytest.mark.usefixtures("bare", "others")
def test_rows_without_a_time_change_no_type(studio: Studio) -> None:
    frame = studio.history(source="cloud")
    nothing = studio.history(source="local")
    assert frame.dtypes.astype(str).tolist() == nothing.dtypes.astype(str).tolist()


@pytest.mark.usefixtures("others")
def test_a_limit_takes_rows_without_a_time_after_all_others(
    bare: list[str], studio: Studio
) -> None:
    assert studio.history(source="cloud", limit=OTHERS)["created_at"].notna().all()
    assert studio.history(source="cloud", limit=OTHERS + 2)["id"].tolist()[OTHERS:] == bare[:2]


@pytest.mark.usefixtures("others")
def test_ids_and_words_find_rows_without_a_time_and_a_time_does_not(
    bare: list[str], studio: Studio
) -> None:
    assert studio.history(source="cloud", ids=bare)["id"].tolist() == bare
    assert studio.history(source="cloud", prompt="bare")["id"].tolist() == bare
    assert len(studio.history(source="cloud", since="100 days")) == OTHERS


@pytest.mark.usefixtures("bare", "others")
def test_rows_without_a_time_are_merged(studio: Studio) -> None:
    assert len(studio.history(source="merged")) == OTHERS + 8


def test_the_command_shows_a_row_that_says_little(
    server: ServerState, local_supabase: TwoUsers, folder: Path, tmp_path: Path, capsys
) -> None:
    row = bare_row(local_supabase.user_id)
    server.client.schema("imagen").from_("images").insert(row).execute()
    file = tmp_path / "imagen.yaml"
    file.write_text(json.dumps(settings(folder, local_supabase)))
    file.chmod(0o600)
    for format in ("table", "csv", "json"):
        assert run(["history", "--config", str(file), "--format", format]) == 0
    out = capsys.readouterr().out
    assert out.count("a bare row") == 3
    assert not [word for word in ("NaT", "nan", "<NA>") if word in out]
    assert '"created_at": null' in out
