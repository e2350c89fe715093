"""Prompts are other people's text: wherever one is shown it is text, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.names import slug
from imagen_nb.storage.outbox import waiting_frame
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio import default
from imagen_nb.studio.pictures import Pictures
from imagen_nb.system.markup import one_line
from imagen_nb.system.thumbnails import SheetLabels, draw_contact_sheet
from tests.fixtures.evil import EVIL, Page, steers

evil_prompts = pytest.mark.parametrize("prompt", EVIL.values(), ids=EVIL)


@pytest.fixture
def kept(
    tmp_path: Path, make_record: Callable[..., Record], make_image: Any
) -> Callable[[str], Picture]:
    """A picture in a file, with this text wherever a record has text."""

    def make(text: str) -> Picture:
        path = tmp_path / "a.png"
        make_image().save(path)
        record = make_record(prompt=text, backend=text, model=text, tags=(text,))
        return Picture(record, path, path, None)  # type: ignore[arg-type]

    return make


@evil_prompts
class TestInAnyPrompt:
    def test_a_picture_shows_it_as_text(self, prompt: str, kept: Callable[..., Picture]) -> None:
        bundle = kept(prompt)._repr_mimebundle_()
        page = Page(bundle["text/html"])
        assert page.foreign == []
        assert page.alts == [one_line(prompt)]
        assert steers(bundle["text/html"]) == steers(bundle["text/plain"]) == []
        assert len(bundle["text/html"]) < 5_000

    def test_a_picture_without_its_file_shows_it_as_text(
        self, prompt: str, kept: Callable[..., Picture]
    ) -> None:
        picture = kept(prompt)
        picture.path.unlink()
        page = Page(picture._repr_mimebundle_()["text/html"])
        assert page.foreign == page.alts == []
        assert page.texts[:2] == [one_line(prompt), "cannot be shown: No such file or directory"]
        torn = Pictures([picture])._repr_mimebundle_()["text/html"]
        assert Page(torn).alts == [one_line(f"contact sheet: {prompt}")]

    def test_pictures_and_their_sheet_show_it_as_text(
        self, prompt: str, kept: Callable[..., Picture]
    ) -> None:
        bundle = Pictures([kept(prompt)])._repr_mimebundle_()
        page = Page(bundle["text/html"])
        assert page.foreign == []
        assert page.alts == [one_line(f"contact sheet: {prompt}")]
        assert steers("".join(bundle.values())) == []
        sheet = draw_contact_sheet(
            [kept(prompt).image], 1, SheetLabels([prompt], [prompt]), 96, [prompt]
        )
        assert max(sheet.size) < 400

    def test_a_gallery_shows_it_as_text(self, prompt: str, kept: Callable[..., Picture]) -> None:
        path = str(kept("x").path)
        row = {"id": prompt, "storage_path": prompt, "prompt": prompt, "local_path": path}
        frame = pd.DataFrame([row])
        html = frame.imagen.gallery()._repr_html_()
        page = Page(html)
        assert page.foreign == []
        assert page.alts == [one_line(prompt)]
        assert one_line(prompt, 2000) in page.texts
        assert steers(html) == []

    def test_a_report_shows_it_as_text(self, prompt: str) -> None:
        report = im.SyncReport(1, ((prompt, prompt),), 2, prompt)
        bundle = report._repr_mimebundle_()
        page = Page(bundle["text/html"])
        assert page.foreign == []
        assert page.texts.count(one_line(prompt)) >= 2
        assert one_line(prompt, 40) in page.texts
        assert steers(bundle["text/html"]) == steers(bundle["text/plain"], lines=True) == []
        assert steers(repr(report)) == []

    def test_what_is_pending_shows_it_as_text(
        self, prompt: str, kept: Callable[..., Picture]
    ) -> None:
        picture = kept(prompt)
        entry = CatalogEntry(picture.record, picture.path, picture.path, "failed", prompt)
        page = Page(waiting_frame([entry])._repr_html_())  # type: ignore[operator]
        assert page.foreign == []

    def test_a_file_name_has_nothing_of_it_but_letters(self, prompt: str) -> None:
        name = slug(prompt)
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 0 < len(name) <= 40

    def test_an_error_shows_it_on_one_line(self, prompt: str) -> None:
        (line,) = im.UsageError(f"no such thing: {prompt}")._render_traceback_()
        assert steers(line.replace("\x1b[31m", "").replace("\x1b[39m", "")) == []

    def test_a_notice_shows_it_on_one_line(self, prompt: str) -> None:
        from imagen_nb.system.terminal import print_notice

        said = io.StringIO()
        with redirect_stderr(said):
            print_notice(prompt)
        assert steers(said.getvalue().removesuffix("\n")) == []


def test_letters_and_emoji_stay_whole() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert one_line(family) == family
    assert one_line(f"aaa{family}", 5) == "aaa\U0001f468…"
    assert one_line("cafe\u0301 au lait", 6) == "cafe\u0301…"
    assert one_line("  a\n\tboat  ") == "a boat"


def test_many_failures_are_cut_and_counted() -> None:
    report = im.SyncReport(0, tuple((f"id {n}", "x" * 5_000) for n in range(500)))
    bundle = report._repr_mimebundle_()
    assert bundle["text/plain"].splitlines()[-1] == "and 480 more: imagen_nb.pending() lists all"
    assert "and 480 more" in bundle["text/html"]
    assert len(bundle["text/html"]) < 12_000


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[im.Studio]:
    folder = str(tmp_path_factory.mktemp("pictures"))
    made = im.configure(backend="flux-tiny-local", output={"dir": folder}, steps=1)
    yield made
    default.leave()


@pytest.mark.slow
@evil_prompts
def test_it_is_drawn_and_found_as_it_was_given(prompt: str, studio: im.Studio) -> None:
    picture = studio.generate(prompt, seed=1)
    assert picture.path.parent == Path(studio.settings.output.dir)
    assert im.Record.from_sidecar(picture.sidecar_path.read_text("utf-8")).prompt == prompt
    assert studio.history(source="local", limit=1)["prompt"].tolist() == [prompt]
    assert Page(picture._repr_mimebundle_()["text/html"]).alts == [one_line(prompt)]
