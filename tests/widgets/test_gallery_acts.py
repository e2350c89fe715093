"""What a gallery does with selected pictures, gives to the panel, and takes in while it is live."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.studio.default import studio
from imagen_nb.widgets import selection
from tests.fixtures.views import View

Made = Callable[..., pd.DataFrame]


def select(shown: View, *positions: int) -> None:
    shown.say("select", [np.array(positions, np.int32).tobytes()])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables of a notebook."""
    variables: dict[str, Any] = {"im": im, "old": pd.DataFrame()}
    shell = SimpleNamespace(user_ns=variables)
    monkeypatch.setattr(selection, "get_ipython", lambda: shell)
    return variables


class TestSelection:
    def test_tags_are_added_and_removed_and_bad_ones_refused(
        self, made: Made, view: Callable[..., View]
    ) -> None:
        shown = view(made("a", "b", "c"))
        select(shown, 0, 2)
        told, _ = shown.ask("retag", "tags", add=["sea", "rating:3"], remove=[])
        assert (told["at"], told["tags"]) == ([0, 2], [["sea", "rating:3"]] * 2)
        assert dict(told["facets"]["tag"]) == {"sea": 2}
        assert im.history(tags="sea")["prompt"].tolist() == ["c", "a"]
        told, _ = shown.ask("retag", "tags", add=[], remove=["sea"], at=[2])
        assert told["tags"] == [["rating:3"]]
        assert im.history(tags="sea")["prompt"].tolist() == ["a"]
        told, _ = shown.ask("retag", "trouble", add=["rating:9"], remove=[])
        assert told["text"] == "a rating is rating:1 to rating:5, not rating:9"

    def test_export_and_contact_sheet(
        self, made: Made, view: Callable[..., View], tmp_path: Path
    ) -> None:
        shown = view(made("a", "b", "c"))
        select(shown, 0, 2)
        target = tmp_path / "given.zip"
        told, _ = shown.ask("act", "done", act="export", value=f" {target} ")
        assert told["text"] == f"2 pictures exported to {target}"
        assert target.stat().st_size > 0
        told, (file,) = shown.ask("act", "done", act="sheet")
        assert (told["act"], told["text"]) == ("sheet", "contact sheet of 2 pictures")
        assert Image.open(io.BytesIO(file)).width > 64

    def test_the_rows_become_a_variable(
        self, made: Made, view: Callable[..., View], notebook: dict[str, Any]
    ) -> None:
        shown = view(made("a", "b", "c"))
        assert "no picture is selected" in shown.ask("act", "trouble", act="name")[0]["text"]
        select(shown, 1)
        told, _ = shown.ask("act", "done", act="name", value="old")
        assert told["text"] == "old is a frame of 1 picture now"
        assert notebook["old"]["prompt"].tolist() == ["b"]
        for name, why in (
            ("2nd", "is no name of a variable"),
            ("class", "is no name of a variable"),
            ("im", "im is a module in this notebook: choose another name"),
        ):
            assert why in shown.ask("act", "trouble", act="name", value=name)[0]["text"]


class TestPanel:
    def test_it_is_told_what_is_needed_when_there_is_none(
        self, made: Made, view: Callable[..., View], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imagen_nb.widgets.panel.latest_panel", lambda: None)
        told, _ = view(made("a")).ask("panel", "trouble", part="all", at=[0])
        assert told["text"] == "show a Panel first: im.Panel()"

    def test_the_latest_panel_takes_it(
        self, made: Made, view: Callable[..., View], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[tuple[str, str]] = []
        panel = SimpleNamespace(
            take=lambda row, part: taken.append((row["prompt"], part)),
            use_as_init_image=lambda row: taken.append((row["prompt"], "init")),
        )
        monkeypatch.setattr("imagen_nb.widgets.panel.latest_panel", lambda: panel)
        shown = view(made("a", "b"))
        for part, says in (
            ("all", "the Panel has its settings"),
            ("seed", "the Panel has its seed"),
            ("init", "it is the Panel's init image now"),
        ):
            assert shown.ask("panel", "done", part=part, at=[1])[0]["text"] == says
        assert taken == [("b", "all"), ("b", "seed"), ("b", "init")]

    @pytest.mark.slow
    def test_it_is_drawn_again_and_compared(self, tmp_path: Path) -> None:
        with im.configure(backend="flux-tiny-local", output={"dir": str(tmp_path)}) as session:
            session.generate("a boat", seed=1, steps=1, progress=False)
            gallery = im.Gallery(im.history())
            told, _ = View(gallery).ask("panel", "done", part="reproduce", at=[0])
            gallery.close()
        assert told["text"] == "drawn again: identical, pixel for pixel"


class TestLive:
    def test_new_pictures_come_within_a_second_and_are_asked_for(
        self, made: Made, view: Callable[..., View]
    ) -> None:
        made("a red boat", first=1)
        shown = view(None, live=True)
        assert shown.ask("open", "shown")[0]["total"] == 1
        shown.filter("boat")
        made("a blue boat", "a cat", first=5)
        told, _ = shown.wait("new")
        while told["total"] < 3:  # each may be told of alone
            shown.heard.clear()
            told, _ = shown.wait("new")
        assert (told["count"], told["total"]) == (1, 3)
        assert len(shown.gallery.visible) == 1  # until somebody asks
        order = {"sort": "created_at", "descending": True}
        told, (rows, _) = shown.ask("filter", "shown", words="boat", keep=True, **order)
        assert np.frombuffer(rows, np.int32).tolist() == [2, 0]
        assert (told["keep"], [count for _, count in told["days"]]) == (True, [2])
        assert shown.gallery.visible["prompt"].tolist() == ["a blue boat", "a red boat"]
        shown.say("left")
        assert shown.gallery.selected.dtypes.equals(studio().history().dtypes)

    def test_a_frame_of_ones_own_gets_what_is_drawn_from_now_on(
        self, made: Made, view: Callable[..., View]
    ) -> None:
        made("never shown")
        frame = made("a boat", first=3)[["id", "storage_path", "local_path", "backend"]]
        shown = view(frame.astype({"backend": "category"}), live=True)
        shown.ask("open", "shown")
        made("a house", first=7, backend="another")
        assert shown.wait("new")[0]["total"] == 2
        assert [*shown.gallery._rows._frame["backend"]] == ["flux-tiny-local", "another"]

    def test_without_a_history_it_must_be_live(self) -> None:
        with pytest.raises(UsageError, match=r"give a history, .* or live=True"):
            im.Gallery()


class TestDetails:
    def test_facets_of_what_only_records_have_come_later(
        self, made: Made, view: Callable[..., View]
    ) -> None:
        loras = ({"path": "/models/ink.safetensors", "weight": 1.0},)
        one = made("a", guidance=3.5, loras=loras)
        other = made("b", first=1, guidance=0.0, scheduler_name="euler")
        frame = pd.concat([one, other], ignore_index=True)
        for rows in (frame, frame.drop(columns="sidecar"), im.history()[::-1]):
            shown = view(rows)
            told, _ = shown.ask("open", "facets")
            assert dict(told["facets"]["guidance"]) == {"0": 1, "3.5": 1}
            assert dict(told["facets"]["lora"]) == {"ink": 1}
            assert dict(told["facets"]["scheduler"]) == {
                "FlowMatchEulerDiscreteScheduler": 1,
                "euler": 1,
            }
            assert shown.filter(lora=["ink"]) == [0]
