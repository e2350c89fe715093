"""The Duel's Python side: which pairs are asked for, what is kept, when it ends."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.votes import Vote, VoteStore
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.views import View

Open = Callable[..., "Judge"]


class Judge(View):
    """A page on which somebody votes; it knows only what it is told."""

    def __init__(self, duel: im.Duel) -> None:
        super().__init__(duel)
        self.duel = duel
        self.sent = 0
        self.say("open")
        self.turn = self._next_turn()

    def _next_turn(self) -> dict[str, Any]:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            turns = [told for told, _ in self.heard if told["kind"] == "turn"]
            if turns and turns[-1]["sent"] >= self.sent:
                return turns[-1]
            time.sleep(0.002)
        raise AssertionError(f"no turn: {[told for told, _ in self.heard]}")

    def does(self, kind: str, **more: Any) -> dict[str, Any]:
        self.sent += 1
        self.say(kind, sent=self.sent, **more)
        self.turn = self._next_turn()
        return self.turn

    def vote(self, outcome: str, seconds: object = 1.5) -> dict[str, Any]:
        return self.does("vote", key=self.turn["line"][0], outcome=outcome, seconds=seconds)

    def pair(self, place: int = 0) -> tuple[str, str]:
        """What is asked at this place of the line: the page does not know, the kernel does."""
        asked = self.duel._line._pairs[place]
        assert asked.key == self.turn["line"][place]
        return asked.pair.left, asked.pair.right

    def prefer(self, worth: dict[str, float]) -> dict[str, Any]:
        left, right = self.pair()
        return self.vote("left" if worth[left] > worth[right] else "right")

    def sureness(self) -> str:
        """What is said of the order, once it is known after the last vote."""
        votes = self.turn["text"].split(" · ")[0]
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for told in reversed(self.told("said")):
                if told["text"].startswith(f"{votes} · "):
                    return str(told["text"])
            time.sleep(0.002)
        raise AssertionError(f"nothing said after {votes}: {self.told('said')}")

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [told for told, _ in self.heard if told["kind"] == kind]


def answers(votes: pd.DataFrame) -> list[tuple[str, ...]]:
    return [*votes[["left", "right", "outcome"]].itertuples(index=False, name=None)]


@pytest.fixture(scope="module")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def frame(folder_of_all: Path) -> pd.DataFrame:
    """Four pictures of each of two prompts."""
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder_of_all)}, "steps": 1}
    with Studio(settings) as studio:
        pictures = studio.sweep("a {red|<b>blue</b>} boat", seeds=range(4), progress=False)
        return pictures.frame()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Studio]:
    """The default session, whose votes are its own."""
    studio = im.configure(backend="flux-tiny-local", output={"dir": str(tmp_path)})
    yield studio
    studio.close()


@pytest.fixture
def judge(here: Studio) -> Iterator[Open]:
    duels = []

    def open_(*args: Any, **options: Any) -> Judge:
        duels.append(im.Duel(*args, **options))
        return Judge(duels[-1])

    yield open_
    for duel in duels:
        duel.close()


@pytest.mark.slow
def test_two_pictures_of_one_prompt_come_first_and_the_next_two_with_them(
    frame: pd.DataFrame, judge: Open
) -> None:
    shown = judge(frame)
    by_id = frame.set_index("id")
    files = {Path(path).read_bytes(): id for id, path in by_id["local_path"].items()}
    prompts = by_id["prompt"].to_dict()
    kinds = [told["kind"] for told, _ in shown.heard if told["kind"] in ("pair", "turn")]
    assert kinds == ["pair", "pair", "turn"]
    for place, (told, sent) in enumerate(shown.heard[:2]):
        pair = tuple(files[file] for file in sent)
        assert pair == shown.pair(place)
        assert told == {
            "kind": "pair",
            "view": None,
            "key": shown.turn["line"][place],
            "prompt": prompts[pair[0]],
        }
        assert prompts[pair[0]] == prompts[pair[1]]
    assert shown.turn["text"] == "0 votes"
    assert shown.turn["question"] == "which is better?"


@pytest.mark.slow
def test_every_answer_is_a_vote_and_the_loaded_pair_comes_next(
    frame: pd.DataFrame, judge: Open, here: Studio
) -> None:
    shown = judge(frame, "which is calmer?", voter="ada")
    asked = []
    for outcome in ("left", "right", "tie", "skip"):
        asked.append((*shown.pair(), outcome))
        after = shown.pair(1)
        shown.vote(outcome)
        assert shown.pair() == after
    votes = shown.duel.votes
    assert answers(votes) == asked
    assert {*votes["question"]} == {"which is calmer?"}
    assert {*votes["voter"]} == {"ada"}
    assert [*votes["seconds"]] == [1.5] * 4
    assert shown.turn["text"].startswith("3 votes")  # skipped is no answer
    pd.testing.assert_frame_equal(here.votes(), votes)


@pytest.mark.slow
def test_how_sure_the_order_is_is_told_meanwhile(frame: pd.DataFrame, judge: Open) -> None:
    shown = judge(frame, first=2)
    shown.vote("left")
    said = shown.sureness()
    assert said.startswith("1 vote · ")
    assert said.endswith(" % sure of the order of the first 2 of each prompt")


@pytest.mark.slow
def test_undo_takes_the_last_vote_back_and_asks_again(
    frame: pd.DataFrame, judge: Open, here: Studio
) -> None:
    first = judge(frame)
    first.vote("left")
    first.duel.close()
    shown = judge(frame)
    pair, after = shown.pair(), shown.pair(1)
    shown.vote("left")
    shown.does("undo")
    assert (shown.pair(), shown.pair(1)) == (pair, after)
    assert len(shown.duel.votes) == 1
    told, files = [one for one in shown.heard if one[0]["kind"] == "pair"][-1]
    assert told["key"] == shown.turn["line"][0]
    assert len(files) == 2
    shown.vote("right")
    assert [*shown.duel.votes["outcome"]] == ["left", "right"]
    shown.does("undo")
    shown.does("undo")  # of another duel's there is nothing to take back
    assert [*shown.duel.votes["outcome"]] == ["left"]
    assert len(VoteStore(here.catalog().folder).all()) == 5  # nothing is ever removed


@pytest.mark.slow
def test_after_any_number_of_undos_nothing_is_known_again(frame: pd.DataFrame, judge: Open) -> None:
    shown = judge(frame)
    for outcome in ("left", "right", "tie", "skip", "left") * 3:
        shown.vote(outcome)
    for _ in range(15):
        shown.does("undo")
    state = shown.duel._course.state
    assert len(state.outcome) == 0
    assert not state.mean.any()
    assert len(shown.duel.votes) == 0
    assert shown.turn["text"].startswith("0 votes")


@pytest.mark.slow
def test_it_ends_when_the_order_is_sure_and_goes_on_if_asked(
    frame: pd.DataFrame, judge: Open
) -> None:
    boats = frame[frame["prompt"] == "a red boat"]
    worth = {id: float(number) for number, id in enumerate(boats["id"])}
    shown = judge(boats, first=2)
    for _ in range(60):
        shown.prefer(worth)
        shown.sureness()
        if shown.told("end"):
            break
    end, files = shown.wait("end")
    best = sorted(worth, key=worth.__getitem__, reverse=True)
    assert (end["groups"], end["prompts"]) == ([2], ["a red boat"])
    assert [file[8:12] for file in files] == [b"WEBP"] * 2
    assert shown.duel._course.leaders() == [best[:2]]
    assert [*shown.duel.ranking()["id"][:2]] == best[:2]
    assert int(end["text"].split(" · ")[1].split()[0]) >= 90
    assert not shown.does("go on")["over"]
    for _ in range(3):
        shown.prefer(worth)
        shown.sureness()
    assert len(shown.told("end")) == 1
    again = judge(boats, first=2)
    again.wait("end")  # what is sure is sure from the start


@pytest.mark.slow
def test_it_goes_on_where_it_was_left_for_each_voter_and_question(
    frame: pd.DataFrame, judge: Open
) -> None:
    shown = judge(frame, voter="ada")
    for _ in range(3):
        shown.vote("left")
    shown.say("left")
    shown.duel.close()
    assert judge(frame, voter="ada").turn["text"].startswith("3 votes")
    assert judge(frame, voter="bob").turn["text"].startswith("0 votes")
    assert judge(frame, "which is calmer?", voter="ada").turn["text"].startswith("0 votes")
    bob = judge(frame, voter="bob")
    bob.vote("right")
    assert [*bob.duel.votes["voter"]] == ["bob"]
    assert bob.duel.ranking()["votes"].sum() == 2
    assert len(im.votes()) == 4


@pytest.mark.slow
def test_an_answer_counts_once_and_only_to_what_is_asked(frame: pd.DataFrame, judge: Open) -> None:
    shown = judge(frame)
    key = shown.turn["line"][0]
    shown.vote("left")
    for wrong in (key, 10_000, -1):
        line = shown.turn["line"]
        assert shown.does("vote", key=wrong, outcome="right")["line"] == line
    shown.say("vote", key=shown.turn["line"][0], outcome="<b>", sent=9)  # nobody's words
    for seconds in ("1", -1, float("inf"), None):
        shown.vote("tie", seconds)
    votes = shown.duel.votes
    assert [*votes["outcome"]] == ["left", *["tie"] * 4]
    assert [*votes["seconds"].isna()] == [False, True, True, True, True]


@pytest.mark.slow
def test_two_votes_before_an_answer_are_two_and_two_pages_have_one_line(
    frame: pd.DataFrame, judge: Open
) -> None:
    shown = judge(frame)
    pairs = [shown.pair(), shown.pair(1)]
    for number, key in enumerate(shown.turn["line"], 1):
        shown.say("vote", key=key, outcome="left", sent=number)
    shown.sent = 2
    shown.turn = shown._next_turn()
    votes = shown.duel.votes
    assert answers(votes) == [(*pair, "left") for pair in pairs]
    shown.heard.clear()
    shown.gallery._on_message(None, {"kind": "open", "view": "another"}, ())
    shown.wait("turn")
    to_it = [told["key"] for told, files in shown.heard if told.get("view") == "another" and files]
    assert to_it == shown.turn["line"]


@pytest.mark.slow
def test_a_full_disk_loses_no_vote(
    frame: pd.DataFrame, judge: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = VoteStore.add, [True]

    def add(self: VoteStore, votes: list[Vote]) -> None:
        if full:
            raise StorageError("no space left on device")
        real(self, votes)

    monkeypatch.setattr(VoteStore, "add", add)
    shown = judge(frame)
    asked = []
    for outcome in ("left", "tie"):
        asked.append((*shown.pair(), outcome))
        shown.vote(outcome)
    told, _ = shown.wait("trouble", 2)
    assert told["text"] == (
        "no space left on device; not kept yet, and tried again with the next vote: 2"
    )
    full.clear()
    asked.append((*shown.pair(), "right"))
    shown.vote("right")
    assert shown.wait("trouble", 3)[0]["text"] == ""
    votes = shown.duel.votes
    assert answers(votes) == asked


@pytest.mark.slow
def test_what_could_not_be_kept_is_kept_when_the_duel_is_closed_or_said(
    frame: pd.DataFrame,
    judge: Open,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def add(self: VoteStore, votes: list[Vote]) -> None:
        raise StorageError("no space left on device")

    shown, other = judge(frame), judge(frame)
    with monkeypatch.context() as broken:
        broken.setattr(VoteStore, "add", add)
        for one in (shown, other):
            one.vote("left")
            one.wait("trouble")
        other.duel.close()
    assert "votes that could not be kept: 1" in capsys.readouterr().err
    shown.duel.close()
    assert len(im.votes()) == 1


@pytest.mark.slow
def test_pictures_that_are_gone_are_left_out_in_one_line(
    frame: pd.DataFrame, judge: Open, tmp_path: Path
) -> None:
    boats = frame[frame["prompt"] == "a red boat"].copy()
    copies = []
    for number, path in enumerate(boats["local_path"]):
        copies.append(tmp_path / f"{number}.png")
        copies[-1].write_bytes(Path(path).read_bytes())
    boats["local_path"] = [*map(str, copies)]
    copies[0].unlink()
    shown = judge(boats)
    (note,) = shown.told("note")[:1]
    assert note["text"].startswith("1 picture left out: not on this machine, and ")
    gone = boats["id"].iloc[0]
    for _ in range(6):
        assert gone not in shown.pair()
        shown.vote("skip")
    for copy in copies[1:]:
        copy.unlink()
    again = judge(boats)
    assert again.turn["line"] == []
    assert again.turn["text"] == "a duel needs two pictures or more"
    assert again.told("note")[-1]["text"].startswith("4 pictures left out: ")
    assert len(shown.duel.votes) == 6  # which stay


def test_the_clouds_pictures_are_compared_and_out_of_reach_those_that_were_seen(
    away: Studio, proxy: FaultProxy
) -> None:
    frame = away.history(source="cloud")
    duel = im.Duel(frame, within=None)
    shown = Judge(duel)
    seen = {*shown.pair(), *shown.pair(1)}
    assert all(len(files) == 2 for told, files in shown.heard if told["kind"] == "pair")
    duel.close()
    proxy.down = True
    again = im.Duel(frame, within=None)
    shown = Judge(again)
    for _ in range(4):
        assert {*shown.pair()} <= seen
        shown.vote("skip")
    left_out = shown.told("note")[-1]["text"]
    assert left_out.startswith(f"{6 - len(seen)} pictures left out: not on this machine, and ")
    assert "\n" not in left_out
    again.close()


@pytest.mark.slow
def test_what_cannot_be_a_duel_is_refused_at_once(frame: pd.DataFrame, here: Studio) -> None:
    one_each = frame.drop_duplicates("prompt")
    for wrong, message in (
        (lambda: im.Duel(one_each), "no two of these pictures have the same prompt"),
        (lambda: im.Duel(frame[:1]), "two pictures or more"),
        (lambda: im.Duel(frame[:0]), "two pictures or more"),
        (lambda: im.Duel(frame, " "), "question is empty"),
        (lambda: im.Duel(frame, first=0), "first is how many"),
        (lambda: im.Duel(frame, within="promt"), "lacks promt"),
        (lambda: im.Duel(frame[["id", "prompt"]]), "lacks storage_path, local_path"),
        (lambda: im.Duel(frame, voters="ada"), "did you mean voter"),
    ):
        with pytest.raises(UsageError, match=message):
            wrong()
    im.Duel(one_each, within=None).close()


@pytest.mark.slow
def test_a_saved_notebook_keeps_thumbnails(frame: pd.DataFrame, judge: Open) -> None:
    page = judge(frame).duel._repr_html_()
    assert page.count("data:image/webp") == 8
    assert "a &lt;b&gt;blue&lt;/b&gt; boat" in page


def test_among_500_pictures_the_answer_to_a_key_takes_less_than_50_ms(
    judge: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(500)]
    for number, path in enumerate(paths):
        Image.new("RGB", (64, 64), (number % 256, number // 256, 0)).save(path)
    frame = pd.DataFrame(
        {
            "id": [str(uuid.UUID(int=number + 1)) for number in range(500)],
            "prompt": "a boat",
            "storage_path": "",
            "local_path": [*map(str, paths)],
        }
    )
    shown = judge(frame)
    spent: list[float] = []
    take = shown.duel._take_answer

    def timed(*values: Any) -> None:
        before = time.thread_time()
        take(*values)
        spent.append(time.thread_time() - before)

    monkeypatch.setattr(shown.duel, "_take_answer", timed)
    worth = {id: float(number) for number, id in enumerate(frame["id"])}
    for _ in range(40):
        shown.prefer(worth)
    print(f"median {statistics.median(spent) * 1000:.1f} ms, most {max(spent) * 1000:.1f} ms")
    assert statistics.median(spent) < 0.05
