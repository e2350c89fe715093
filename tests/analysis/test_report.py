"""The report: one page with everything in it, whatever the pictures' texts are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.analysis.report import page as pages
from imagen_nb.cli import run
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.studio.studio import Studio
from imagen_nb.system.markup import escaped_html
from tests.fixtures.fault_proxy import Fault, FaultProxy
from tests.fixtures.pictures import render

Make = Callable[..., pd.DataFrame]
Session = Callable[[Studio], Studio]

CHARTS_OF_NO_DURATIONS = 1  # of pictures without a latency, a cost or a tag


class Read(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.page = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(autouse=True)
def alone(folder: Path, session: Session) -> None:
    """The session has no cloud, unless the test makes another."""
    session(Studio({"output": {"dir": str(folder)}}, background=False))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


class TestPage:
    def test_it_has_figures_tables_and_pictures(self, evil_history: Make, target: Path) -> None:
        assert im.report(evil_history(30, noise=16), target, title="May") == target
        read = Read(target)
        assert len(read.all("img")) == 6 + 1 + 30
        for said in (
            "May",
            "30 pictures",
            "Latency",
            "median",
            "Prompts",
            "Tags",
            "Cost",
            "$0.0300",
        ):
            assert said in read.text
        assert not list(target.parent.glob(".imagen-*"))

    def test_texts_stay_texts_and_nothing_leaves_the_page(
        self, evil_history: Make, target: Path
    ) -> None:
        read = Read(im.report(evil_history(30, noise=16), target, title="</title><script>"))
        allowed = (
            "html head meta title style body main h1 h2 p section div table thead tbody tr th td"
            " bdi b small img figure figcaption"
        )
        assert {tag for tag, _ in read.elements} <= set(allowed.split())
        names = {name for _, attributes in read.elements for name in attributes}
        assert names <= {"lang", "charset", "name", "content", "http-equiv", "class", "alt", "src"}
        assert all(str(i["src"]).startswith("data:image/") for i in read.all("img"))
        assert all(i["alt"] is not None for i in read.all("img"))
        assert "<img src=x onerror=alert(1)>" in read.text
        assert not [c for c in "\0\u202e\u2066" if c in read.page]
        assert "url(" not in "".join(re.findall(r"<style>(.*?)</style>", read.page, re.DOTALL))

    def test_its_policy_allows_its_own_style_and_pictures_within(
        self, evil_history: Make, target: Path
    ) -> None:
        read = Read(im.report(evil_history(3), target))
        (policy,) = [m["content"] for m in read.all("meta") if "http-equiv" in m]
        (style,) = re.findall(r"<style>(.*?)</style>", read.page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == (
            f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        )

    def test_an_empty_history_is_a_page_that_says_so(
        self, evil_history: Make, target: Path
    ) -> None:
        read = Read(im.report(evil_history(0), target))
        assert "no pictures" in read.text
        assert read.all("img") == []

    def test_a_history_of_nothing_known_is_a_page(self, evil_history: Make, target: Path) -> None:
        df = evil_history(3)
        for name in ("latency_ms", "cost_usd_estimate", "seed", "steps", "width", "model"):
            df[name] = df[name].where([False] * 3)
        df["created_at"] = df["created_at"].where([False] * 3)
        read = Read(im.report(df, target))
        assert "3 pictures" in read.text

    def test_a_history_read_back_from_a_file_is_the_same_page(
        self, evil_history: Make, target: Path, tmp_path: Path
    ) -> None:
        df = evil_history(12, noise=16)
        df["prompt"] = "a boat"
        df.assign(tags=df["tags"].map(json.dumps)).to_csv(tmp_path / "history.csv", index=False)
        again = pd.read_csv(tmp_path / "history.csv")
        pages_ = (im.report(df, target), im.report(again, tmp_path / "again.html"))
        first, second = (re.sub(r"· [\d-]+ \d\d:\d\d\n", "", Read(p).text) for p in pages_)
        assert first == second

    def test_a_frame_without_the_columns_is_refused_by_their_names(
        self, evil_history: Make, target: Path
    ) -> None:
        df = evil_history(3).drop(columns=["seed", "tags"])
        with pytest.raises(UsageError, match="this frame lacks seed, tags: start from"):
            im.report(df, target)
        assert not target.exists()

    def test_a_frame_put_together_from_two_is_a_page(
        self, evil_history: Make, target: Path
    ) -> None:
        df = evil_history(6, noise=16)
        read = Read(im.report(pd.concat([df, df.iloc[::-1]]), target))
        assert len(read.all("figure")) == 12

    def test_the_accessor_writes_it_too(self, evil_history: Make, target: Path) -> None:
        assert evil_history(0).imagen.report(target, title="Three") == target
        assert "Three" in Read(target).text


class TestWeight:
    @pytest.mark.soak
    def test_a_thousand_pictures_of_noise_are_under_five_megabytes(
        self, evil_history: Make, target: Path
    ) -> None:
        """Pure noise at the size of a thumbnail compresses worst."""
        df = evil_history(1000, noise=128)
        read = Read(im.report(df, target))
        assert target.stat().st_size < 5_000_000
        assert len(read.all("img")) == 6 + 1 + 1000

    def test_more_than_fit_are_left_out_and_it_says_so(
        self, evil_history: Make, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        df = evil_history(40, noise=64)
        weight = im.report(df, target, pictures=1).stat().st_size + 15_000
        monkeypatch.setattr(pages, "MAX_REPORT_BYTES", weight)
        read = Read(im.report(df, target))
        assert target.stat().st_size <= weight
        shown = len(read.all("figure"))
        assert 0 < shown < 40
        assert f"The first {shown} of 40 pictures." in read.text

    def test_so_many_are_shown_as_are_asked_for(self, evil_history: Make, target: Path) -> None:
        df = evil_history(12, noise=16)
        read = Read(im.report(df, target, pictures=5))
        assert len(read.all("figure")) == 5
        assert "The first 5 of 12 pictures." in read.text
        assert len(Read(im.report(df, target, pictures=0)).all("img")) == 6
        with pytest.raises(UsageError, match="pictures must be 0 or more, not -1"):
            im.report(df, target, pictures=-1)


class TestFile:
    """A page without pictures has no charts, which take a second."""

    def test_an_earlier_report_and_an_empty_file_are_replaced(
        self, evil_history: Make, target: Path
    ) -> None:
        target.touch()
        im.report(evil_history(0), target, title="first")
        im.report(evil_history(0), target, title="second")
        assert "second" in Read(target).text

    @pytest.mark.posix
    def test_anything_else_is_not(self, evil_history: Make, target: Path) -> None:
        target.write_text("<html>my own")
        with pytest.raises(UsageError, match=r"report\.html is there, and no report of imagen"):
            im.report(evil_history(0), target)
        assert target.read_text() == "<html>my own"
        with pytest.raises(UsageError, match="is a folder: name a file in it"):
            im.report(evil_history(0), target.parent)
        os.mkfifo(target.parent / "pipe")
        with pytest.raises(UsageError, match="is there, and no report"):
            im.report(evil_history(0), target.parent / "pipe")

    def test_a_folder_that_is_not_there_is_one_line(self, evil_history: Make, target: Path) -> None:
        with pytest.raises(StorageError, match=r"cannot write .*: No such file or directory"):
            im.report(evil_history(0), target.parent / "nowhere" / "report.html")

    def test_a_write_that_fails_leaves_the_earlier_report(
        self, evil_history: Make, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        im.report(evil_history(0), target, title="earlier")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
            im.report(evil_history(0), target, title="later")
        assert "earlier" in Read(target).text
        assert not list(target.parent.glob(".imagen-*"))

    def test_a_link_stays_a_link(self, evil_history: Make, target: Path) -> None:
        (target.parent / "real.html").touch()
        target.symlink_to("real.html")
        im.report(evil_history(0), target)
        assert target.is_symlink()
        assert "no pictures" in Read(target.parent / "real.html").text


class TestElsewhere:
    """Pictures that are not on this machine."""

    def test_pictures_of_the_cloud_are_fetched(self, away: Studio, target: Path) -> None:
        read = Read(im.report(away.history(source="cloud"), target))
        assert len(read.all("figure")) == 6
        assert len(read.all("img")) == CHARTS_OF_NO_DURATIONS + 1 + 6
        assert "none" not in [div.get("class") for div in read.all("div")]

    def test_one_that_cannot_be_had_says_why(
        self, away: Studio, proxy: FaultProxy, target: Path
    ) -> None:
        df = away.history(source="cloud")
        refused = Fault("refused", 403, b'{"message":"injected"}')
        proxy.choose = lambda method, path: refused if "/storage/" in path else None
        read = Read(im.report(df, target))
        assert [div.get("class") for div in read.all("div")].count("none") == 6
        charts = [image for image in read.all("img") if image["class"] == "chart"]
        assert len(charts) == CHARTS_OF_NO_DURATIONS  # no empty one, as that of the cost would be

    def test_without_a_cloud_the_reason_stands_in_its_place(
        self, evil_history: Make, target: Path
    ) -> None:
        read = Read(im.report(evil_history(4), target))
        assert "not on this machine, and no Supabase is configured" in read.text

    def test_nothing_is_fetched_for_figures_only(
        self, away: Studio, proxy: FaultProxy, target: Path
    ) -> None:
        df = away.history(source="cloud")
        before = len(proxy.requests)
        im.report(df, target, pictures=0)
        assert len(proxy.requests) == before


class TestCommand:
    def test_it_prints_the_path_of_the_page(
        self, folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        render(folder, 4)
        arguments = ["--folder", str(folder), "--source", "local", "-o", str(target)]
        assert run(["report", *arguments, "--seed", "1..2", "--title", "Two"]) == 0
        assert capsys.readouterr().out == f"{target}\n"
        read = Read(target)
        assert len(read.all("figure")) == 2
        assert "Two" in read.text

    def test_no_pictures_are_a_page_and_a_line(
        self, folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["report", "--folder", str(folder), "-o", str(target)]) == 0
        assert "no pictures pass these filters" in capsys.readouterr().err
        assert target.exists()

    def test_a_file_of_another_kind_is_wrong_usage(
        self, folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target.write_bytes(b"\x89PNG")
        assert run(["report", "--folder", str(folder), "-o", str(target)]) == 2
        assert "choose another name, or remove it" in capsys.readouterr().err


def test_text_is_cut_between_letters() -> None:
    assert escaped_html("a\tb\n c") == "a b c"
    assert escaped_html("👩\u200d👩\u200d👧", 4) == "👩\u200d👩…"
    assert escaped_html("ne\u0301e\u0301", 4) == "ne\u0301…"
    assert escaped_html("a \ud83d b") == "a \ufffd b"
    assert escaped_html("<" * 500, 200) == "&lt;" * 199 + "…"
    assert escaped_html("   " * 900 + "a", 10) == ""


def test_families_are_trees_and_their_texts_stay_text(
    folder: Path, session: Session, target: Path
) -> None:
    chosen = {"output": {"dir": str(folder)}, "backend": "flux-tiny-local", "steps": 1}
    studio = session(Studio(chosen, background=False))
    alone = studio.generate("alone", seed=9)
    im.report(studio.history(), target)
    assert "Families" not in Read(target).text
    parent = studio.generate("<b>a boat</b>", seed=1)
    child = studio.generate(like=parent, prompt="a ship")
    studio.generate(like=child, prompt="a yacht")
    im.report(studio.history(prompt="ship"), target)
    read = Read(target)
    members = [one for one in read.all("div") if one.get("class") == "member"]
    assert [one["title"] for one in members] == ["<b>a boat</b>", "a ship", "a yacht"]
    assert len([one for one in read.all("ul") if one.get("class") == "family"]) == 3
    assert not [one for one in read.all("b") if "a boat" in str(one)]
    assert str(alone.record.id) not in read.page
