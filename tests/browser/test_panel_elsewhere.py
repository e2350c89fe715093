"""A Panel in JupyterLab that has its pictures drawn by another machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.test_panel_in_lab import LOADING_MS, SHOW, Panel
from tests.fixtures.jupyter_pages import Notebook
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import forget_jobs, stand_in
from tests.fixtures.supabase_fixtures import TwoUsers, settings

pytestmark = pytest.mark.slow


def test_another_machine_is_chosen_and_draws(
    notebook: Callable[..., Notebook],
    server: ServerState,
    local_supabase: TwoUsers,
    tmp_path: Path,
    shots: Path,
) -> None:
    forget_jobs(server)
    values = settings(tmp_path / "pictures", local_supabase) | {"backend": "flux-tiny-local"}
    box = settings(tmp_path / "box", local_supabase)
    with stand_in(box, name="<i>attic</i>"):
        opened = notebook(f"studio = im.configure(**{values!r})", SHOW)
        for number in range(3):
            opened.run(number)
        shown = Panel(opened, 2)
        backend = shown.field("Backend")
        there = backend.locator("option", has_text="remote:flux-tiny-local")
        expect(there).to_contain_text("remote:flux-tiny-local (<i>attic</i>, seen ")
        backend.select_option("remote:flux-tiny-local")
        expect(shown.field("Steps")).to_have_value("6")
        shown.draw("a red boat")
        expect(shown.image("a red boat")).to_be_visible(timeout=LOADING_MS)
        shown.shoot(shots / "panel-elsewhere.png")
        expect(backend).to_have_value("remote:flux-tiny-local")
