"""What autolog recorded goes up like every other picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.own_pipelines import Own, gradient
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers


@pytest.fixture
def online(server: ServerState, local_supabase: TwoUsers, folder: Path) -> Iterator[Studio]:
    user = {name: getattr(local_supabase, name) for name in ("url", "email", "password")}
    settings = {
        "output": {"dir": str(folder)},
        "supabase": {**user, "key": local_supabase.anon_key},
    }
    with Studio(settings) as studio, using(studio):
        yield studio
    im.autolog(disable=True)


def draw(prompt: str) -> None:
    Own()(SimpleNamespace(images=[gradient()]), prompt=prompt)


@pytest.mark.slow
def test_sync_right_after_a_call_sends_it(online: Studio, capsys: Any) -> None:
    im.autolog()
    assert "copied to your Supabase" in capsys.readouterr().err
    for prompt in ("a boat", "<img src=x onerror=alert(1)>", "a\0b"):
        draw(prompt)
    im.sync(timeout=60)
    assert online.waiting() == []
    rows = im.history(source="cloud")
    assert rows["seed"].isna().all()
    assert sorted(rows["prompt"]) == [
        "<img src=x onerror=alert(1)>",
        "a boat",
        "a\N{REPLACEMENT CHARACTER}b",
    ]
    assert online.verify() == []


@pytest.mark.slow
def test_a_private_one_stays_here(online: Studio) -> None:
    im.autolog(cloud=False)
    draw("a boat")
    assert im.sync(timeout=60).synced == 0
    assert im.history(source="local")["cloud"].tolist() == ["off"]
    assert im.history(source="cloud").empty
