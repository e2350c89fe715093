"""The gallery's Python side: what it is told, what it answers, and what it changes."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.frames.words import parse_search_words
from imagen_nb.request.request import MAX_SEED
from imagen_nb.system.thumbnails import THUMBNAIL_BYTES, encode_webp
from imagen_nb.widgets.gallery import Gallery
from imagen_nb.widgets.thumbnails import MAX_ENLARGED_BYTES
from imagen_nb.widgets.work import WIDGET_THREADS
from tests.fixtures.views import View

PROMPTS = (
    "a red boat on a lake",
    "A RED Boat, at night",
    "100% red_boat",
    "Übergröße ÉCLAIR",
    "a cat",
    "a nul \0 inside a boat",
    "star * in the sky",
    "back\\slash",
)
EVIL = "<img src=x onerror=alert(1)>\"]}');-- \u202e \0 \n🚤" + "long " * 2000


class TestFilters:
    """The gallery finds what `im.history` finds."""

    @pytest.mark.parametrize(
        "words", ["boat -red", '"red boat"', "100%", "ÜBERGRÖSSE", "a nul \0", "", '"red']
    )
    def test_words_are_those_of_the_history(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View], words: str
    ) -> None:
        frame = made(*PROMPTS)
        shown = view(frame)
        wanted = [
            n
            for n, prompt in enumerate(frame["prompt"])
            if parse_search_words(words).found_in(prompt)
        ]
        assert shown.filter(words) == wanted
        assert shown.gallery.visible["id"].tolist() == frame["id"].iloc[wanted].tolist()
        history = im.history(prompt=words or None)
        assert set(history["id"]) == set(frame["id"].iloc[wanted])

    def test_facets_narrow_it_and_count_what_the_others_leave(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        boats = made("a boat", "a red boat", backend="one", tags=("keeper",))
        houses = made("a house", "a red house", backend="two", tags=("x", "keeper"))
        shown = view(pd.concat([boats, houses], ignore_index=True))
        assert shown.filter(backend=["two"]) == [2, 3]
        told, _ = shown.wait("shown")
        assert dict(told["facets"]["backend"]) == {"one": 2, "two": 2}
        assert dict(told["facets"]["tag"]) == {"keeper": 2, "x": 2}
        assert shown.filter("red", backend=["one", "two"]) == [1, 3]
        assert shown.filter("red", backend=["one", "two"], tag=["x"]) == [3]
        assert shown.filter(size=["32×16"]) == [0, 1, 2, 3]
        assert shown.filter(tag=["no such tag"], model=[]) == []
        day = dict(shown.wait("shown")[0]["facets"]["day"])
        assert day == {pd.Timestamp.now().strftime("%Y-%m-%d"): 0}

    def test_what_is_rated_stays_in_view_until_it_is_filtered_anew(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        """A picture would vanish under the cursor of whoever rates what is not rated yet."""
        shown = view(made("a boat", "a house", tags=("new",)))
        assert shown.filter(rating=["4", ""]) == [0, 1]
        shown.ask("tag", "tags", tag="4", at=[1])
        assert shown.filter(rating=["4"]) == [1]
        told, _ = shown.ask("tag", "tags", tag="0", at=[1])
        assert dict(told["facets"]["tag"]) == {"new": 0}
        assert dict(told["facets"]["rating"]) == {"": 2}
        assert shown.gallery.visible["prompt"].tolist() == ["a house"]
        _, (rows, _) = shown.ask("open", "shown", view="another")
        assert np.frombuffer(rows, np.int32).tolist() == [1]
        assert shown.filter(rating=["4"]) == []

    def test_many_rows_come_as_a_bit_each_and_their_facets_after_them(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat", "a cat", "a boat")
        many = pd.concat([frame] * 8000, ignore_index=True)
        shown = view(many)
        told, (rows, _) = shown.ask("open", "shown")
        assert (told["packed"], told["count"], told["facets"]) == (True, 24_000, {})
        assert len(rows) == 3000
        assert dict(shown.wait("facets")[0]["facets"]["size"]) == {"32×16": 24_000}
        told, (rows, _) = shown.ask("filter", "shown", words="cat")
        bits = np.unpackbits(np.frombuffer(rows, np.uint8), bitorder="little")
        assert np.flatnonzero(bits).tolist() == [*range(1, 24_000, 3)]
        order = {"sort": "seed", "descending": True}
        told, (rows, _) = shown.ask("filter", "shown", words="", **order)
        assert not told["packed"]
        assert np.frombuffer(rows, np.int32)[:2].tolist() == [2, 5]

    def test_a_frame_needs_only_what_names_pictures(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a", "b")[["id", "storage_path", "local_path"]]
        shown = view(frame)
        told, _ = shown.ask("open", "shown")
        assert told["total"] == 2
        assert shown.ask("want", "cards", at=[1])[0]["prompt"] == [""]
        assert [*shown.gallery.visible.columns] == [*frame.columns]
        with pytest.raises(UsageError, match="lacks id"):
            im.Gallery(frame.drop(columns="id"))


class TestCards:
    def test_thumbnails_come_in_batches_with_what_is_shown(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        shown = view(made(*(f"boat {n}" for n in range(14)), EVIL, first=MAX_SEED - 14))
        shown.say("want", at=[*range(15), 99, -1])
        shown.wait("cards", 3)
        told = {at: (one, n) for one, _ in shown.heard for n, at in enumerate(one["at"])}
        assert sorted(told) == [*range(15)]
        last, place = told[14]
        assert last["prompt"][place] == EVIL[:299] + "…"
        assert last["seed"][place] == "9007199254740991"
        for _, files in shown.heard:
            assert all(file[8:12] == b"WEBP" and len(file) <= 12_000 for file in files)

    def test_large_thumbnails_are_made_where_there_is_room_for_them(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        shown = view(made("a boat", size=(800, 400)))
        for side, width in ((128, 256), (257, 512), (256, 256)):
            told, (file,) = shown.ask("want", "cards", at=[0], side=side)
            assert (told["side"], Image.open(io.BytesIO(file)).size) == (width, (width, width // 2))

    def test_a_thumbnail_is_made_once(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat")
        first = view(frame).ask("want", "cards", at=[0])[1]
        path = Path(frame["local_path"][0])
        before = path.stat()
        path.write_bytes(b"x" * before.st_size)  # a picture no more, as nobody can see
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert view(frame).ask("want", "cards", at=[0])[1] == first

    def test_noise_is_no_heavier(self) -> None:
        noise = Image.effect_noise((1024, 1024), 200).convert("RGB")
        assert len(encode_webp(noise)) <= THUMBNAIL_BYTES
        assert len(encode_webp(noise, 2048, MAX_ENLARGED_BYTES)) <= MAX_ENLARGED_BYTES

    def test_a_picture_that_cannot_be_had_says_why(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat", "a house", "a torn one")
        Path(frame["local_path"][0]).unlink()
        Path(frame["local_path"][2]).write_bytes(b"torn")
        told, files = view(frame).ask("want", "cards", at=[0, 1, 2])
        assert "not on this machine" in told["troubles"][0]
        assert "torn" in told["troubles"][2]
        assert [bool(file) for file in files] == [False, True, False]

    def test_what_was_scrolled_past_is_not_made(
        self,
        made: Callable[..., pd.DataFrame],
        view: Callable[..., View],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("imagen_nb.widgets.picture_sender._CARDS_PER_MESSAGE", 2)
        shown = view(made(*"abcdefghijklmnopqrstu"))
        going, go = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr(
            "imagen_nb.widgets.picture_sender.thumbnail_or_error",
            lambda *_: (going.release(), go.wait(), b"WEBP")[2],
        )
        shown.say("want", at=[*range(20)])
        for _ in range(WIDGET_THREADS):  # each thread is at the first picture of a batch
            assert going.acquire(timeout=30)
        shown.say("want", at=[20])
        go.set()
        shown.wait("cards", WIDGET_THREADS + 1)
        assert sorted(at for one, _ in shown.heard for at in one["at"]) == [
            *range(0, 2 * WIDGET_THREADS, 2),
            20,
        ]


class TestTags:
    def test_a_rating_is_in_the_sidecar_the_history_and_the_selected_rows(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat", "a house")
        shown = view(frame)
        told, _ = shown.ask("tag", "tags", tag="4", at=[1])
        assert (told["at"], told["tags"]) == ([1], [["rating:4"]])
        assert dict(told["facets"]["rating"]) == {"": 1, "4": 1}
        sidecar = json.loads(Path(frame["local_path"][1] + ".json").read_text())
        assert sidecar["tags"] == ["rating:4"]
        assert im.history(tags="rating:4")["prompt"].tolist() == ["a house"]
        shown.say("select", [np.array([1, 0], np.int32).tobytes()])
        assert shown.gallery.selected["tags"].tolist() == [[], ["rating:4"]]
        assert frame["tags"].tolist() == [[], []]
        assert shown.ask("tag", "tags", tag="0", at=[1])[0]["tags"] == [[]]

    def test_keeper_and_reject_replace_each_other_and_come_in_order(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        shown = view(made("a boat", "a house"))
        for tag in ("keeper", "reject", "3", "5"):
            shown.say("tag", tag=tag, at=[0, 1])
        told, _ = shown.wait("tags", 4)
        assert told["tags"] == [["reject", "rating:5"]] * 2
        assert set(im.history()["tags"].map(tuple)) == {("reject", "rating:5")}

    def test_a_failure_is_one_line_in_the_widget_and_changes_nothing(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat")
        frame.loc[0, "id"] = "0" * 8 + "-0000-4000-8000-" + "0" * 12
        shown = view(frame)
        told, _ = shown.ask("tag", "trouble", tag="1", at=[0])
        assert "no picture 00000000" in told["text"]
        assert shown.gallery.visible["tags"].tolist() == [[]]

    def test_what_is_no_tag_of_ours_is_not_listened_to(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        shown = view(made("a boat"))
        shown.say("tag", tag="rm -rf", at=[0])
        shown.say("nonsense")
        shown.say("want", at="all")
        assert shown.ask("open", "shown")[0]["total"] == 1
        assert im.history()["tags"].tolist() == [[]]


class TestSelected:
    def test_it_has_the_rows_in_the_frames_order_and_with_its_index(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made(*"abcd").set_index(pd.Index([7, 5, 3, 1]))
        shown = view(frame)
        assert len(shown.gallery.selected) == 0
        shown.say("select", [memoryview(np.array([3, 0, 99, -5], np.int32).tobytes())])
        assert shown.gallery.selected["prompt"].tolist() == ["a", "d"]
        assert shown.gallery.selected.index.tolist() == [7, 1]
        assert shown.gallery.selected.dtypes.equals(frame.dtypes)

    def test_views_tell_each_other(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        shown = view(made(*"abc"))
        for name in ("one", "other"):
            shown.ask("open", "shown", view=name)
        chosen = np.array([2, 0], np.int32).tobytes()
        told, files = shown.ask("select", "selected", view="one", buffers=[chosen])
        assert (told["but"], files) == ("one", [chosen])
        told, (_, selected) = shown.ask("open", "shown", view="third")
        assert (told["view"], selected) == ("third", chosen)


class TestEnlarged:
    def test_it_is_the_picture_itself_with_all_that_is_known(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made(EVIL)
        told, (file,) = view(frame).ask("look", "picture", at=[0])
        assert file == Path(frame["local_path"][0]).read_bytes()
        assert told["prompt"] == EVIL
        assert told["path"] == frame["local_path"][0]
        assert ["steps", "4"] in told["facts"]
        assert ["scheduler", "FlowMatchEulerDiscreteScheduler"] in told["facts"]

    def test_one_that_cannot_be_had_still_says_what_is_known(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat")
        Path(frame["local_path"][0]).unlink()
        told, (file,) = view(frame).ask("look", "picture", at=[0])
        assert (file, told["prompt"]) == (b"", "a boat")
        assert "not on this machine" in told["trouble"]


class TestWidget:
    def test_its_saved_state_has_nothing_of_the_history(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a very special boat")
        state = view(frame).gallery.get_state()
        code = {name: state.pop(name) for name in ("_esm", "_css")}
        assert sum(map(len, code.values())) < 100_000
        assert len(json.dumps(state, default=str)) < 1500
        assert "boat" not in json.dumps(state, default=str)
        assert frame["id"][0] not in json.dumps(state, default=str)

    def test_the_code_asks_no_foreign_host_and_writes_no_html(self) -> None:
        code = str(Gallery._esm) + str(im.Compare._esm) + str(Gallery._css)
        assert not [
            word
            for word in ("http:", "https:", "innerHTML", "insertAdjacent", "eval(", "import ")
            if word in code
        ]

    def test_closing_ends_its_threads_and_leaves_its_rows(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        others = {*threading.enumerate()}
        shown = view(made(*"ab"))
        shown.ask("want", "cards", at=[0, 1])
        shown.gallery.close()
        end = time.monotonic() + 10
        while {*threading.enumerate()} - others:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert len(shown.gallery.visible) == 2

    def test_an_unexpected_fault_is_shown_too(
        self,
        made: Callable[..., pd.DataFrame],
        view: Callable[..., View],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        shown = view(made("a"))
        monkeypatch.setattr(shown.gallery._rows.search, "counts", lambda _: 1 / 0)
        assert shown.ask("open", "trouble")[0]["text"] == "ZeroDivisionError: division by zero"
        assert "a widget's thread failed" in caplog.text

    @pytest.mark.parametrize("size", [63, 513, "128", 128.0])
    def test_a_size_out_of_bounds_is_refused(
        self, made: Callable[..., pd.DataFrame], size: Any
    ) -> None:
        with pytest.raises(UsageError, match="size is in pixels, 64 to 512"):
            im.Gallery(made("a"), size=size)

    def test_what_a_saved_notebook_keeps_is_light_and_escaped(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        page = view(made(*["a boat"] * 30, EVIL)).gallery._repr_html_()
        assert page.count("data:image/webp;base64,") == 24
        assert "the first 24 of 31 pictures" in page
        assert len(page) < 152_000
        assert "<img src=x" not in view(made(EVIL)).gallery._repr_html_()

    def test_a_saved_notebook_says_which_rows_its_thumbnails_are(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        frame = made("a boat", "a house")
        Path(frame["local_path"][0]).unlink()
        page = view(frame).gallery._repr_html_()
        assert ">1 · <bdi>a house" in page
        assert "a boat" not in page

    def test_a_saved_notebook_has_whole_prompts_seeds_and_settings(
        self, made: Callable[..., pd.DataFrame], view: Callable[..., View]
    ) -> None:
        prompt = "a boat " * 150 + "and its end"
        page = view(made(prompt, first=7)).gallery._repr_html_()
        assert page.count("and its end") == 2  # in the text, and in the title
        assert "<bdi>seed 7 · 4 steps · 32×16 · flux-tiny-local</bdi>" in page
        assert "<small>1 picture</small>" in page
        assert repr(view(made("a")).gallery) == "<Gallery: 1 picture>"
        bare = view(made("a").drop(columns=["seed", "steps", "width"])).gallery
        assert "<bdi>flux-tiny-local</bdi>" in bare._repr_html_()
