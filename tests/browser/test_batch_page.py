"""A batch's index.html in a browser: no script runs, and only its thumbnails load."""

from __future__ import annotations

import base64
import io
import uuid
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import Outcome, ExecutedNotebook
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.batch.results.page import batch_page
from tests.fixtures.evil import EVIL


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The page of one job for each evil prompt: every third failed, with the prompt as the error."""
    folder = BatchFolder(tmp_path)
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), "red").save(buffer, "WEBP")
    small = base64.b64encode(buffer.getvalue()).decode()
    jobs, outcomes = [], {}
    for number, prompt in enumerate(EVIL.values()):
        job = Job(f"job-{number}", str(number), {"prompt": prompt, "more": [prompt], "steps": 4})
        made = () if number % 3 == 2 else ((str(uuid.UUID(int=number)), "/nowhere.png"),)
        folder.keep(job, ExecutedNotebook("{}", thumbnails={id: small for id, _ in made}))
        said = ("done", None) if made else ("failed", prompt)
        outcomes[job.key] = Outcome(job.name, job.key, *said, 1.5, made)
        jobs.append(job)
    folder.write_page(batch_page(folder, jobs, outcomes, "<script>alert(1)</script>"))
    return tmp_path / "index.html"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_any_prompt_and_error_is_shown_as_text(
    index: Path, browser: Browser, scheme: str, width: int, shots: Path
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    seen: list[str] = []
    shown = context.new_page()
    shown.on("request", lambda request: seen.append(request.url))
    shown.on("dialog", lambda dialog: seen.append(dialog.message))
    shown.on("console", lambda message: seen.append(message.text))
    shown.goto(index.as_uri())
    eager = "images => Promise.all(images.map(image => (image.loading = 'eager', image.decode())))"
    shown.locator("article img").evaluate_all(eager)  # they load as they come into view
    shown.screenshot(path=shots / f"batch-{scheme}.png", full_page=True)
    shown.wait_for_load_state("networkidle")
    thumbnails = (index.parent / "thumbnails").as_uri()
    assert seen.pop(0) == index.as_uri()
    assert seen
    assert [url for url in seen if not url.startswith(f"{thumbnails}/")] == []
    assert shown.locator("h1").inner_text() == "<script>alert(1)</script>"
    assert shown.locator("article").count() == len(EVIL)
    assert shown.locator("article script, article a[href^=javascript]").count() == 0
    loaded = "images => images.every(image => image.complete && image.naturalWidth === 96)"
    assert shown.locator("article img").evaluate_all(loaded)
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert shown.evaluate(wide), "it is wider than the window"
    context.close()
