"""A live gallery while another machine draws: its pictures appear, once, through an outage, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.jupyter_pages import Lab, Notebook
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

pytestmark = pytest.mark.slow

WAIT_S = 60


@pytest.fixture
def elsewhere(server: ServerState, local_supabase: TwoUsers, tmp_path: Path) -> Iterator[Studio]:
    """Another machine of the same user, with one picture in the cloud."""
    values = settings(tmp_path / "elsewhere", local_supabase) | {"backend": "flux-tiny-local"}
    with Studio(values, background=False) as studio:
        draw(studio, "a picture of before", 1)
        yield studio


def draw(studio: Studio, prompt: str, seed: int) -> None:
    studio.generate(prompt, seed=seed, steps=1, progress=False)
    studio.sync()


@pytest.fixture
def opened(
    lab: Lab, elsewhere: Studio, local_supabase: TwoUsers, proxy: FaultProxy, tmp_path: Path
) -> Notebook:
    values = settings(tmp_path / "here", local_supabase, proxy.url) | {"backend": "flux-tiny-local"}
    opened = lab.open(
        [
            f"import imagen_nb as im\nstudio = im.configure(**{values!r})",
            "gallery = im.Gallery(live=True, size=200)\ngallery",
        ]
    )
    opened.run(0)
    opened.run(1)
    until_claims(proxy, 2)
    return opened


def until_claims(proxy: FaultProxy, count: int) -> None:
    """Wait until the notebook has asked so often what came."""
    until = time.monotonic() + WAIT_S
    while sum("/claims?" in path for _, path in [*proxy.requests]) < count:
        assert time.monotonic() < until
        time.sleep(0.05)


def options(output: Locator) -> Locator:
    return output.locator(".imagen-cell:not([hidden])")


def test_pictures_of_another_machine_appear_once_each(
    opened: Notebook,
    elsewhere: Studio,
    proxy: FaultProxy,
    shots: Path,
) -> None:
    output = opened.output(1)
    expect(options(output)).to_have_count(0)
    draw(elsewhere, "a red boat from elsewhere", 2)
    boat = output.get_by_role("option", name="a red boat from elsewhere")
    expect(boat).to_be_visible(timeout=8000)
    expect(boat.locator("img")).to_be_visible()

    proxy.down = True
    draw(elsewhere, "a star of the outage", 3)
    alert = output.get_by_role("alert")
    expect(alert).to_contain_text("Supabase cannot be reached")
    expect(options(output)).to_have_count(1)
    proxy.down = False
    star = output.get_by_role("option", name="a star of the outage")
    expect(star).to_be_visible(timeout=20_000)
    expect(star.locator("img")).to_be_visible()
    expect(alert).to_be_hidden()
    draw(elsewhere, "the last one", 4)
    expect(output.get_by_role("option", name="the last one")).to_be_visible(timeout=8000)
    expect(options(output)).to_have_count(3)
    note = "new pictures are looked for every 2 s: this Supabase has no Realtime"
    expect(output.locator(".imagen-bar").get_by_role("status")).to_have_attribute("title", note)
    opened.page.screenshot(path=shots / "gallery-live.png")
