"""A gallery's search by meaning and by look, with pictures that the embedded FLUX drew."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.frames.plugins.embedders import make_embedder
from imagen_nb.storage.vectors import stores_in
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets import ranking
from imagen_nb.widgets.ordering import LIKENESS
from tests.fixtures.views import View

SCENES = (
    "a red boat on the sea",
    "a red house in the snow",
    "a green tree on a meadow",
    "a yellow star at night",
    "a white castle on a cliff",
    "a black cat",
    "an orange fish",
    "a red boat on the sea",
)
BY_SCORE = {"sort": LIKENESS, "descending": True}
BY_DATE = {"sort": "created_at", "descending": False}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of these scenes; none has a vector yet."""
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": str(folder)}}) as studio:
        for seed, prompt in enumerate(SCENES):
            studio.generate(prompt, seed=seed, progress=False)
    return folder


@pytest.fixture
def history(drawn: Path, folder: Path, session: Callable[[Studio], Studio]) -> pd.DataFrame:
    """The history of the scenes, in their order."""
    shutil.copytree(drawn, folder)
    studio = session(Studio({"output": {"dir": str(folder)}}))
    return studio.history().sort_values("created_at").reset_index(drop=True)


def ask(shown: View, words: str = "", **more: Any) -> tuple[dict[str, Any], list[int]]:
    """What a view is told when this is looked for by meaning, and the rows."""
    question = {"words": words, "meant": True, **BY_SCORE, **more}
    told, (rows, *_) = shown.ask("filter", "shown", **question)
    return told, np.frombuffer(rows, np.int32).tolist()


def prompts(shown: View) -> list[str]:
    """The prompts of what is shown, in its order."""
    at = shown.gallery._shown.positions
    return [shown.gallery._rows.card_facts([one])["prompt"][0] for one in at.tolist()]


class TestMeaning:
    def test_what_was_asked_for_comes_first_with_its_score(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        told, (rows, _, scores) = shown.ask(
            "filter", "shown", words="a ship on the water", meant=True, **BY_SCORE
        )
        at = np.frombuffer(rows, np.int32)
        assert {*at[:2].tolist()} == {0, 7}
        numbers = np.frombuffer(scores, np.float32)
        assert len(numbers) == len(history)
        assert (np.diff(numbers) <= 0).all()
        assert numbers[1] > 1 > numbers[2]
        assert numbers.mean() == pytest.approx(0, abs=1e-5)
        assert numbers.std() == pytest.approx(1, abs=1e-5)
        assert (told["sort"], told["meant"], told["like"]) == (LIKENESS, True, None)
        assert told["sorts"][0] == (LIKENESS, "score")
        assert (told["days"], told["note"]) == ([], "")

    def test_it_is_combined_with_facets_and_rejects(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        shown.ask("tag", "tags", tag="reject", at=[0])
        shown.ask("retag", "tags", add=["mine"], remove=[], at=[0, 3, 7])
        assert ask(shown, "a boat", chosen={"tag": ["mine"]})[1][2] == 3
        told, rows = ask(shown, "a boat", chosen={"tag": ["mine"]}, hides_rejects=True)
        assert rows == [7, 3]
        assert dict(told["facets"]["tag"])["mine"] == 2

    def test_no_more_than_the_best_are_shown(
        self,
        history: pd.DataFrame,
        view: Callable[..., View],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(ranking, "MOST_RANKED", 2)
        shown = view(history)
        told, rows = ask(shown, "a boat")
        assert {*rows} == {0, 7}
        assert (told["count"], told["total"]) == (2, 8)
        assert 0 not in ask(shown, "a boat", chosen={"day": ["2001-01-01"]})[1]
        assert len(shown.gallery.visible) == 0

    def test_another_order_is_that_of_the_best_and_the_former_one_comes_back(
        self,
        history: pd.DataFrame,
        view: Callable[..., View],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(ranking, "MOST_RANKED", 2)
        shown = view(history)
        shown.ask("filter", "shown", words="", sort="seed", descending=True)
        told, _ = ask(shown, "a boat")
        assert told["sort"] == LIKENESS
        told, rows = ask(shown, "a boat", **BY_DATE)
        assert (told["sort"], rows) == ("created_at", [0, 7])
        told, rows = ask(shown, "a boat")
        assert (told["sort"], {*rows}) == (LIKENESS, {0, 7})
        told, rows = ask(shown, "")
        assert (told["sort"], told["descending"]) == ("created_at", False)
        assert rows == [*range(8)]
        assert LIKENESS not in dict(told["sorts"])

    def test_the_same_text_is_words_again_without_the_switch(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        ask(shown, "a ship")
        assert len(shown.gallery.visible) == 8
        assert shown.filter("a ship") == []
        assert shown.filter("red boat") == [0, 7]

    def test_words_that_nobody_knows_are_one_line_and_nothing_changes(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        shown.filter("red boat")
        told, _ = shown.ask("filter", "trouble", words="xyzzy <b>", meant=True)
        assert "knows no word of 'xyzzy <b>'" in told["text"]
        assert "\n" not in told["text"]
        assert len(shown.gallery.visible) == 2

    def test_without_an_embedder_it_is_one_line(
        self,
        history: pd.DataFrame,
        view: Callable[..., View],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(*_: object) -> None:
            raise UsageError("which embedder? give embedder=, one of one, other")

        monkeypatch.setattr(Studio, "embedder", refuse)
        told, _ = view(history).ask("filter", "trouble", words="a boat", meant=True)
        assert told["text"].startswith("which embedder?")


class TestLooking:
    def test_pictures_are_looked_at_once_and_told_of(
        self, history: pd.DataFrame, view: Callable[..., View], folder: Path
    ) -> None:
        shown = view(history)
        ask(shown, "a boat")
        looked = [one for one, _ in shown.heard if one["kind"] == "looking"]
        assert looked == [{"kind": "looking", "done": 0, "total": 8}]
        (store,) = stores_in(folder)
        assert len(store) == 8
        ask(shown, "a cat")
        ask(view(history), "a fish")
        assert not [one for one, _ in shown.heard if one["kind"] == "looking"]

    def test_rows_of_one_picture_are_one_picture(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(pd.concat([history] * 3, ignore_index=True))
        _, rows = ask(shown, "a boat")
        assert {*rows[:6]} == {0, 7, 8, 15, 16, 23}
        looked = [one for one, _ in shown.heard if one["kind"] == "looking"]
        assert [one["total"] for one in looked] == [8]

    def test_one_that_cannot_be_had_is_left_out_and_counted(
        self,
        history: pd.DataFrame,
        view: Callable[..., View],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        Path(history["local_path"][3]).unlink()
        Path(history["local_path"][4]).write_bytes(b"torn")
        history.loc[5, "id"] = "no id"
        shown = view(history)
        for _ in range(2):
            told, rows = ask(shown, "a boat")
            assert sorted(rows) == [0, 1, 2, 6, 7]
            assert told["note"] == "2 pictures cannot be had, and left out"
        assert capsys.readouterr().err == ""  # no cell is the gallery's

    def test_a_newer_question_ends_it_and_what_was_done_is_kept(
        self,
        history: pd.DataFrame,
        view: Callable[..., View],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(ranking, "_PICTURES_PER_LOOK", 1)
        looking, go = threading.Semaphore(0), threading.Event()
        real = ranking.vectors_of_frame

        def look(*values: Any, **more: Any) -> Any:
            looking.release()
            assert go.wait(30)
            return real(*values, **more)

        monkeypatch.setattr(ranking, "vectors_of_frame", look)
        shown = view(history)
        shown.say("filter", words="a boat", meant=True, **BY_SCORE)
        assert looking.acquire(timeout=30)
        assert shown.filter("cat") == [5]  # at once, while it looks
        shown.say("tag", tag="4", at=[5])
        shown.wait("tags")
        go.set()
        shown.gallery._work.looking(lambda: None).result(30)  # after what was given up
        (store,) = stores_in(folder)
        assert len(store) == 1
        assert [one["kind"] for one, _ in shown.heard].count("shown") == 1
        assert shown.gallery.visible["prompt"].tolist() == ["a black cat"]

    def test_it_looks_at_nothing_more_when_nobody_is_there(
        self, history: pd.DataFrame, view: Callable[..., View], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ranking, "_PICTURES_PER_LOOK", 1)
        looked: list[int] = []
        looking, go = threading.Semaphore(0), threading.Event()

        def look(frame: pd.DataFrame, *_: Any, **more: Any) -> Any:
            looked.append(len(frame))
            looking.release()
            assert go.wait(30)
            return np.ones((1, make_embedder("tiny").dimensions), np.float32)

        monkeypatch.setattr(ranking, "vectors_of_frame", look)
        shown = view(history)
        shown.ask("open", "shown")
        shown.say("filter", words="a boat", meant=True, **BY_SCORE)
        assert looking.acquire(timeout=30)
        threads = [one for one in threading.enumerate() if "imagen-widget-looking" in one.name]
        shown.say("left")
        go.set()
        for thread in threads:
            thread.join(30)
        assert looked == [1]


class TestLike:
    def test_the_picture_is_first_and_the_like_of_it_next(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        told, rows = ask(shown, like=7)
        assert rows[:2] == [7, 0]
        assert told["like"] == {"at": 7, "id": history["id"][7][:8]}
        assert told["sort"] == LIKENESS
        twins = view(pd.concat([history, history], ignore_index=True))
        assert ask(twins, like=15)[1][:2] == [15, 7]

    def test_words_narrow_it_and_a_meaning_does_not(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        _, rows = ask(shown, "red", meant=False, like=1)
        assert rows[0] == 1
        assert {*rows} == {0, 1, 7}
        assert len(ask(shown, "red", like=1)[1]) == 8

    def test_one_that_cannot_be_had_is_one_line(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        Path(history["local_path"][3]).unlink()
        shown = view(history)
        told, _ = shown.ask("filter", "trouble", like=3)
        assert told["text"] == "this picture cannot be had: nothing can be like it"

    @pytest.mark.parametrize("like", [-1, 8, "0", True, 1.0])
    def test_what_is_no_row_is_not_listened_to(
        self, history: pd.DataFrame, view: Callable[..., View], like: Any
    ) -> None:
        told, rows = ask(view(history), meant=False, like=like)
        assert (told["like"], rows) == (None, [*range(8)])

    def test_what_is_deleted_goes_and_what_is_new_waits(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        shown = view(history)
        ask(shown, like=7)
        shown.ask("delete", "deleted", at=[7])
        assert 7 not in shown.gallery._shown.positions
        assert prompts(shown)[0] == "a red boat on the sea"
        assert len(shown.gallery.visible) == 7

    def test_a_saved_notebook_has_no_buttons(
        self, history: pd.DataFrame, view: Callable[..., View]
    ) -> None:
        page = view(history).gallery._repr_html_()
        assert "data:image/webp" in page
        assert "<button" not in page
        assert "More like this" not in page


def test_a_frame_without_pictures_finds_nothing(
    history: pd.DataFrame, view: Callable[..., View]
) -> None:
    told, rows = ask(view(history.iloc[:0]), "a boat")
    assert (told["count"], rows) == (0, [])
    assert len(im.history()) == 8
