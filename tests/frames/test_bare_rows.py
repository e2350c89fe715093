"""Rows of other programs, which say no more than the table asks for."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.histories import inserted, records
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings


def bare_row(owner: str) -> dict[str, Any]:
    """What the table asks of a row, and no more: as another program may write it."""
    id = str(uuid.uuid4())
    need = {"prompt": "a bare row", "backend": "b", "storage_path": f"{owner}/x.png"}
    return {"id": id, "owner_user_id": owner, "created_at": None, **need}


@pytest.mark.parametrize("cap", [1000, 3])
def test_rows_without_a_time_come_last_and_once(
    server: ServerState, local_supabase: TwoUsers, proxy: FaultProxy, folder: Path, cap: int
) -> None:
    owner = local_supabase.user_id
    bare = sorted((bare_row(owner) for _ in range(8)), key=lambda row: row["id"], reverse=True)
    server.client.schema("imagen").from_("images").insert(bare).execute()
    proxy.max_rows = cap
    ids = [row["id"] for row in bare]
    with Studio(settings(folder, local_supabase, proxy.url), background=False) as studio:
        assert studio.history(source="cloud")["id"].tolist() == ids
        inserted(server, records(owner))
        frame = studio.history(source="cloud")
        assert (len(frame), frame["id"].is_unique) == (128, True)
        assert frame["id"].tolist()[120:] == ids
        assert frame["created_at"].isna().sum() == 8
        nothing = studio.history(source="local")
        assert frame.dtypes.astype(str).tolist() == nothing.dtypes.astype(str).tolist()
        assert studio.history(source="cloud", limit=120)["created_at"].notna().all()
        assert studio.history(source="cloud", limit=122)["id"].tolist()[120:] == ids[:2]
        assert len(studio.history(source="cloud", since="100 days")) == 120
        assert studio.history(source="cloud", ids=[*ids, frame["id"][0]])["id"].tolist()[1:] == ids
        assert studio.history(source="cloud", prompt="bare")["id"].tolist() == ids
        assert len(studio.history(source="merged")) == 128


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
