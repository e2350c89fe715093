"""The Panel and the machines that draw elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.widgets.panel import Panel
from tests.fixtures.panels import Seen, until
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import forget_jobs, stand_in
from tests.fixtures.supabase_fixtures import TwoUsers, settings


def test_the_boxes_backends_are_offered_and_draw(
    server: ServerState,
    local_supabase: TwoUsers,
    folder: Path,
    tmp_path: Path,
    told: list[tuple[dict[str, Any], int]],
) -> None:
    forget_jobs(server)
    values = settings(folder, local_supabase) | {"backend": "flux-tiny-local"}
    with (
        im.Studio(values, background=False) as studio,
        stand_in(settings(tmp_path / "box", local_supabase)) as box,
    ):
        until(lambda: box.queue.workers())
        panel = Panel(studio)
        seen = Seen(panel, told)
        seen.say("hello")
        until(lambda: seen.told("boxes"))
        offered = seen.last("boxes")["backends"]
        assert [one["name"] for one in offered] == ["remote", "remote:flux-tiny-local"]
        assert offered[0]["where"].startswith("attic, seen ")
        assert offered[0]["defaults"]["steps"] == 6
        seen.draw("a boat", backend="remote:flux-tiny-local", steps=2, width=64, height=64)
        seen.drawn(1)
        (picture,) = panel.pictures
        assert (picture.record.id, picture.cloud) == (box.sent[0], "synced")
        panel.close()


@pytest.mark.usefixtures("no_network")
def test_without_a_supabase_nothing_is_asked_and_nothing_offered(panel: Seen) -> None:
    panel.say("hello")
    panel.say("boxes")
    until(lambda: panel.told("boxes"))
    assert panel.last("boxes")["backends"] == []
    assert panel.told("failed") == []
