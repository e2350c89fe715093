"""The report in a browser: no script runs, nothing is asked for, and it can be read everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from imagen_nb.analysis.report.page import write_report
from imagen_nb.studio.studio import Studio

LOOKS = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "phone": ("dark", 390),
}


@pytest.fixture
def report(evil_history: Callable[..., pd.DataFrame], tmp_path: Path) -> Path:
    df = evil_history(40, noise=64)
    df.loc[::5, "local_path"] = None
    title = "<script>window.ran = true</script>"
    with Studio({"output": {"dir": tmp_path / "none"}}, background=False) as studio:
        return write_report(df, tmp_path / "report.html", studio, title, 1000)


def opened(page: Page, path: Path) -> dict[str, list[str]]:
    """What it asked for besides itself, which scripts spoke, what the console said."""
    seen: dict[str, list[str]] = {"requests": [], "dialogs": [], "console": []}
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.on("dialog", lambda dialog: (seen["dialogs"].append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: seen["console"].append(message.text))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    seen["requests"] = [url for url in seen["requests"] if not url.startswith("data:")]
    assert seen["requests"].pop(0) == path.as_uri()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_no_script_runs_and_nothing_is_asked_for(
    look: str, report: Path, browser: Browser, shots: Path
) -> None:
    scheme, width = LOOKS[look]
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        assert opened(page, report) == {"requests": [], "dialogs": [], "console": []}
        assert page.evaluate("window.ran") is None
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        assert page.evaluate(broken) == 0
        assert page.evaluate("document.images.length") == 6 + 1 + 32
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=shots / f"report-{look}.png", full_page=True)
    finally:
        page.close()


@pytest.mark.slow
def test_the_browser_itself_refuses_scripts_and_pictures_from_elsewhere(
    report: Path, browser: Browser
) -> None:
    """If one got into the page by a mistake of ours, its policy would still be there."""
    evil = "<script>window.ran = true</script><img src=//127.0.0.1:9/x onerror='window.ran = true'>"
    report.write_text(report.read_text().replace("<main>", f"<main>{evil}", 1))
    page = browser.new_page()
    try:
        seen = opened(page, report)
        assert page.evaluate("window.ran") is None
        assert not seen["requests"]
        assert len([line for line in seen["console"] if "Content Security Policy" in line]) >= 2
    finally:
        page.close()


@pytest.mark.slow
def test_it_is_dark_where_people_like_it_dark_and_light_on_paper(
    report: Path, browser: Browser
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page = browser.new_page(color_scheme="dark")
    try:
        page.goto(report.as_uri())
        assert page.evaluate(paper) == "rgb(23, 23, 26)"
        page.emulate_media(media="print")
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('.chart')).filter") == "none"
    finally:
        page.close()
