"""Tags on this machine: sidecar and catalog at once, by anybody, without losing one."""

from __future__ import annotations

import datetime
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from imagen_nb.cli import run
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage import output
from imagen_nb.storage import tags as tagging
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import SavedPicture, load_record
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import (
    TagChange,
    apply_tag_change,
    combine_queued_tags,
    list_known_tags,
    load_queued_tags,
    make_rating_change,
    make_tag_change,
    merge_cloud_tags,
    queue_tag_change,
    remove_sent_tags,
)
from imagen_nb.studio.studio import Studio
from imagen_nb.system.clock import SystemClock
from tests.fixtures.pictures import render


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    """Five pictures that wait for a cloud."""
    render(folder, 5)
    with Studio({"output": {"dir": str(folder)}}, background=False) as studio:
        yield studio


def tags(studio: Studio, seed: int = 0) -> list[str]:
    """By the catalog, which must be what the sidecar says."""
    row = studio.history(source="local", seed=seed).iloc[0]
    assert list(load_record(row["local_path"]).tags) == row["tags"]
    found: list[str] = row["tags"]
    return found


def test_tags_are_in_sidecar_and_catalog_and_the_png_is_untouched(studio: Studio) -> None:
    path = Path(studio.history(source="local", seed=0)["local_path"].iloc[0])
    before = path.read_bytes()
    assert studio.tag(path, "sea", " storm ", "sea") == 1
    assert tags(studio) == ["sea", "storm"]
    assert studio.untag(path, "sea", "never there") == 1
    assert tags(studio) == ["storm"]
    assert path.read_bytes() == before


def test_everything_that_means_a_picture_can_be_tagged(studio: Studio) -> None:
    frame = studio.history(source="local")
    first = frame.iloc[0]
    entry = studio.catalog().get(first["id"])
    assert entry is not None
    one: list[Any] = [
        first,
        first["id"],
        first["id"][:8],
        entry.record.id,
        entry.record,
        entry.path,
        str(entry.sidecar_path),
    ]
    for number, what in enumerate(one):
        assert studio.tag(what, f"n{number}") == 1
    assert tags(studio, first["seed"]) == [f"n{number}" for number in range(len(one))]
    assert studio.tag(frame, "all") == 5
    assert studio.tag([frame.iloc[1:3], first, first["id"]], "some") == 3
    assert len(studio.history(source="local", tags=["all", "some"])) == 3


def test_one_rating_holds_and_keeper_excludes_reject(studio: Studio) -> None:
    row = studio.history(source="local", seed=0).iloc[0]
    studio.tag(row, "sea", "rating:2")
    studio.rate(row, 5)
    studio.keep(row)
    assert tags(studio) == ["sea", "rating:5", "keeper"]
    studio.reject(row)
    studio.tag(row, "rating:1")
    assert tags(studio) == ["sea", "reject", "rating:1"]
    studio.rate(row, None)
    assert tags(studio) == ["sea", "reject"]


BAD: dict[str, tuple[Any, ...]] = {
    "a rating is rating:1 to rating:5": ("tag", "rating:9"),
    "only one of": ("tag", "keeper", "reject"),
    "a tag must be a line of text": ("tag", "two\nlines"),
    "no tags": ("tag",),
    "a rating is 1 to 5": ("rate", 6),
}


@pytest.mark.parametrize("said", BAD)
def test_what_is_no_tag_changes_nothing(studio: Studio, said: str) -> None:
    method, *arguments = BAD[said]
    with pytest.raises(UsageError, match=said):
        getattr(studio, method)(studio.history(source="local"), *arguments)
    assert tags(studio) == []


def test_an_id_that_is_nowhere_is_refused(studio: Studio) -> None:
    with pytest.raises(UsageError, match="there is no picture"):
        studio.tag("00000000-0000-4000-8000-000000000000", "sea")


def test_the_last_change_of_a_tag_is_what_waits(studio: Studio) -> None:
    row = studio.history(source="local", seed=0).iloc[0]
    studio.tag(row, "sea", "storm")
    studio.untag(row, "sea")
    waiting = load_queued_tags(studio.catalog())[row["id"]]
    assert {one.tag: one.present for one in waiting} == {"sea": False, "storm": True}


def test_private_pictures_are_tagged_here_alone(folder: Path) -> None:
    with Studio({"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}) as studio:
        picture = studio.generate("a moon", seed=1, steps=1, cloud=False, progress=False)
        studio.tag(picture, "secret")
        assert load_queued_tags(studio.catalog()) == {}
        assert tags(studio, 1) == ["secret"]


def test_a_picture_drawn_again_with_new_tags_has_them_queued(folder: Path) -> None:
    with Studio({"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}) as studio:
        for tag in ("one", "two"):
            picture = studio.generate("a moon", seed=1, steps=1, tags=[tag], progress=False)
        assert picture.record.tags == ("one", "two")
        waiting = load_queued_tags(studio.catalog())[str(picture.record.id)]
        assert [one.tag for one in waiting] == ["two"]


def test_a_sidecar_that_cannot_be_written_keeps_no_other_from_its_tags(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the catalog says what the sidecars say, of those before it and after it."""

    def amended(kept: SavedPicture, record: Record) -> SavedPicture:
        if record.seed == 2:
            raise StorageError("cannot keep pictures: no space")
        return output.rewrite_sidecar(kept, record)

    monkeypatch.setattr(tagging, "rewrite_sidecar", amended)
    frame = studio.history(source="local")
    with pytest.raises(StorageError, match="no space"):
        studio.tag(frame, "sea")
    assert [tags(studio, seed) for seed in range(5)] == [["sea"], ["sea"], [], ["sea"], ["sea"]]
    monkeypatch.undo()
    assert studio.tag(frame, "sea") == 5
    assert tags(studio, 2) == ["sea"]


class TestChanges:
    """What a user's words mean, before any picture is touched."""

    @pytest.mark.parametrize("stars", range(1, 6))
    def test_a_rating_removes_the_others(self, stars: int) -> None:
        change = make_rating_change(stars)
        assert change.added == (f"rating:{stars}",)
        assert sorted(change.removed) == [f"rating:{n}" for n in range(1, 6) if n != stars]
        assert change == make_tag_change(add=[f"rating:{stars}"])

    @pytest.mark.parametrize("stars", [0, 6, -1, True, 2.5, "3"])
    def test_other_ratings_are_refused(self, stars: Any) -> None:
        with pytest.raises(UsageError, match="a rating is 1 to 5, or None for none, not "):
            make_rating_change(stars)

    @pytest.mark.parametrize("tag", ["rating:0", "rating:6", "rating:"])
    def test_and_as_tags_too(self, tag: str) -> None:
        with pytest.raises(UsageError, match=f"a rating is rating:1 to rating:5, not {tag}"):
            make_tag_change(add=["sea", tag])
        assert make_tag_change(remove=[tag]).removed == (tag,)

    def test_none_removes_any(self) -> None:
        assert make_rating_change(None).removed == tuple(f"rating:{n}" for n in range(1, 6))
        assert make_rating_change(None).added == ()

    def test_what_excludes_the_other_removes_it(self) -> None:
        assert make_tag_change(add=["keeper", "sea"]) == TagChange(("keeper", "sea"), ("reject",))
        assert make_tag_change(["reject"], ["keeper"]) == TagChange(("reject",), ("keeper",))
        with pytest.raises(UsageError, match="only one of rating:1, rating:2 can hold"):
            make_tag_change(add=["rating:1", "sea", "rating:2"])

    def test_a_contradiction_is_named(self) -> None:
        with pytest.raises(UsageError, match=r"^a, b cannot be both added and removed$"):
            make_tag_change(add=["b", "sea", "a"], remove=["a", "b", "c"])

    def test_no_tags_are_no_change(self) -> None:
        with pytest.raises(UsageError, match="no tags: name some"):
            make_tag_change()

    def test_those_that_stay_keep_their_order_and_none_is_there_twice(self) -> None:
        change = TagChange(("sea", "boat"), ("draft",))
        assert change.apply_to(["z", "draft", "boat", "a"]) == ("z", "boat", "a", "sea")
        assert TagChange().apply_to(["z", "a"]) == ("z", "a")


class TestInTheCatalog:
    """Without a Studio: what is queued, and what comes back from the cloud."""

    @pytest.fixture
    def catalog(self, folder: Path) -> Iterator[Catalog]:
        render(folder, 3)
        catalog = Catalog(folder)
        yield catalog
        catalog.close()

    @pytest.fixture
    def ids(self, catalog: Catalog) -> list[str]:
        return sorted(str(entry.record.id) for entry in catalog.latest(3))

    def set_state(self, catalog: Catalog, id: str, state: str) -> None:
        with catalog.connection() as connection:
            connection.execute("UPDATE images SET cloud_state = ? WHERE id = ?", (state, id))

    def record_of(self, catalog: Catalog, id: str) -> Record:
        """By the sidecar, which must be what the catalog has."""
        entry = catalog.get(id)
        assert entry
        assert entry.saved().record == entry.record
        return entry.record

    def test_tags_are_listed_once_and_sorted(self, catalog: Catalog, ids: list[str]) -> None:
        apply_tag_change(catalog, ids[:2], make_tag_change(add=["sea", "boat"]))
        apply_tag_change(catalog, ids[1:], make_tag_change(add=["a, b"]))
        assert list_known_tags(catalog) == ["a, b", "boat", "sea"]

    def test_listing_makes_no_catalog(self, tmp_path: Path) -> None:
        assert list_known_tags(Catalog(tmp_path)) == []
        assert [*tmp_path.iterdir()] == []

    def test_ids_of_other_machines_are_left_out(self, catalog: Catalog, ids: list[str]) -> None:
        far = "00000000-0000-4000-8000-000000000000"
        assert apply_tag_change(catalog, [far, ids[0]], make_tag_change(add=["sea"])) == [ids[0]]

    @pytest.mark.parametrize("state", ["pending", "failed", "synced", "off"])
    def test_what_never_goes_to_the_cloud_is_not_queued(
        self, catalog: Catalog, ids: list[str], state: str
    ) -> None:
        self.set_state(catalog, ids[0], state)
        apply_tag_change(catalog, ids[:1], make_tag_change(["sea"], ["storm"]))
        record = self.record_of(catalog, ids[0])
        waiting = [] if state == "off" else [("sea", True), ("storm", False)]
        assert [(one.tag, one.present) for one in record.unsent_tags] == waiting
        assert load_queued_tags(catalog).get(ids[0], []) == list(record.unsent_tags)
        assert record.tags == ("sea",)
        entry = catalog.get(ids[0])
        assert entry
        assert entry.cloud_state == state

    def test_a_sidecar_that_says_so_already_is_not_written(
        self, catalog: Catalog, ids: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.set_state(catalog, ids[0], "off")
        apply_tag_change(catalog, ids[:1], make_tag_change(add=["sea"]))
        monkeypatch.setattr(tagging, "rewrite_sidecar", lambda *_: pytest.fail("written"))
        apply_tag_change(catalog, ids[:1], make_tag_change(add=["sea"]))

    def test_what_is_queued_is_committed_for_good(
        self, catalog: Catalog, ids: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queue, modes = tagging.queue_unsent_tags, []

        def watched(connection: sqlite3.Connection, marks: Any) -> None:
            modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])
            queue(connection, marks)

        monkeypatch.setattr(tagging, "queue_unsent_tags", watched)
        apply_tag_change(catalog, ids, make_tag_change(add=["sea"]))
        assert modes == [2]  # FULL

    def test_the_clouds_tags_come_with_what_is_unsent_applied(
        self, catalog: Catalog, ids: list[str]
    ) -> None:
        apply_tag_change(catalog, ids[:2], make_tag_change(add=["mine", "old", "both"]))
        sent = {id: load_queued_tags(catalog)[id] for id in ids[:2]}
        apply_tag_change(catalog, ids[:1], make_tag_change(["later"], ["both"]))
        theirs = ("theirs", "both", "mine")
        merge_cloud_tags(catalog, dict.fromkeys(ids[:2], theirs), sent)
        first, second, third = (self.record_of(catalog, id) for id in ids)
        assert first.tags == ("mine", "later", "theirs")
        left = {(one.tag, one.present) for one in first.unsent_tags}
        assert left == {("later", True), ("both", False)}
        assert second.tags == ("mine", "both", "theirs")
        assert (second.unsent_tags, third.tags) == ((), ())

    def test_a_merge_keeps_state_and_pictures_that_are_not_here(
        self, catalog: Catalog, ids: list[str]
    ) -> None:
        self.set_state(catalog, ids[0], "synced")
        far = "00000000-0000-4000-8000-000000000000"
        merge_cloud_tags(catalog, {ids[0]: ("sea",), far: ("sea",)}, {ids[0]: [], far: []})
        entry = catalog.get(ids[0])
        assert entry
        assert (entry.record.tags, entry.cloud_state) == (("sea",), "synced")

    def test_what_was_sent_leaves_the_queue_unless_it_changed_meanwhile(
        self, catalog: Catalog, ids: list[str]
    ) -> None:
        apply_tag_change(catalog, ids[:2], make_tag_change(add=["sea", "boat"]))
        sent = [(id, one) for id in ids[:2] for one in load_queued_tags(catalog)[id]]
        apply_tag_change(catalog, ids[:1], make_tag_change(remove=["sea"]))
        remove_sent_tags(catalog, sent)
        left = load_queued_tags(catalog)
        assert [(id, one.tag, one.present) for id in left for one in left[id]] == [
            (ids[0], "sea", False)
        ]
        assert combine_queued_tags(left[ids[0]]) == TagChange((), ("sea",))


TAGGER = """
import sys
from imagen_nb.studio.studio import Studio
folder, name = sys.argv[1:]
with Studio({"output": {"dir": folder}}, background=False) as studio:
    frame = studio.history(source="local")
    for number in range(15):
        studio.tag(frame, f"{name}{number}")
"""


def test_processes_that_tag_the_same_pictures_lose_nothing(studio: Studio, folder: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", TAGGER, str(folder), name]) for name in "abc"
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    wanted = {f"{name}{number}" for name in "abc" for number in range(15)}
    for seed in range(5):
        assert set(tags(studio, seed)) == wanted


def test_reindexing_keeps_tags(studio: Studio, folder: Path) -> None:
    from imagen_nb.storage.reindex import reindex

    studio.tag(studio.history(source="local"), "sea")
    studio.catalog().path.unlink()
    reindex(folder)
    assert tags(studio) == ["sea"]


class TestCommand:
    def test_it_adds_and_removes_and_prints_what_is_there_now(
        self, studio: Studio, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        id = studio.history(source="local", seed=0)["id"].iloc[0]
        end = ["--output", str(folder)]
        assert run(["tag", id[:8], "--add", "sea", "--add", "a, b", "--rating", "4", *end]) == 0
        assert capsys.readouterr().out == f"{id} sea, a, b, rating:4\n"
        assert run(["tag", id, "--remove", "sea", "--keeper", "--rating", "5", "--json", *end]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row == {"id": id, "tags": ["a, b", "rating:5", "keeper"]}
        assert run(["tag", id, "--rating", "none", *end]) == 0
        assert capsys.readouterr().out == f"{id} a, b, keeper\n"

    def test_ids_may_come_from_standard_input(
        self,
        studio: Studio,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        end = ["--output", str(folder)]
        assert run(["history", "--format", "ids", "--seed", "1..3", *end]) == 0
        monkeypatch.setattr(sys, "stdin", io.StringIO(capsys.readouterr().out))
        assert run(["tag", "-", "--add", "sea", *end]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
        assert set(studio.history(source="local", tags="sea")["seed"]) == {1, 2, 3}

    @pytest.mark.parametrize(
        "mistake",
        [["--rating", "9"], ["--rating", "x"], ["--keeper", "--reject"], [], ["--add", " "]],
    )
    def test_a_mistake_is_one_line_and_changes_nothing(
        self, studio: Studio, folder: Path, capsys: pytest.CaptureFixture[str], mistake: list[str]
    ) -> None:
        id = studio.history(source="local", seed=0)["id"].iloc[0]
        assert run(["tag", id, *mistake, "--output", str(folder)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert tags(studio) == []


class TestWaitingTags:
    """Of a picture that waits itself, of one that is synced, and of another machine's."""

    ELSEWHERE = "00000000-0000-4000-8000-000000000000"

    @pytest.fixture
    def frame(self, studio: Studio) -> pd.DataFrame:
        frame = studio.history(source="local").sort_values("seed")
        with studio.catalog().connection() as connection:
            connection.execute("UPDATE images SET cloud_state = 'synced' WHERE seed > 0")
        studio.tag(frame.head(2), "sea", "a, b")
        studio.untag(frame.iloc[1], "storm")
        queue_tag_change(studio.catalog(), [self.ELSEWHERE], make_tag_change(add=["far"]))
        return frame

    @pytest.fixture
    def output_of(
        self, frame: pd.DataFrame, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., str]:
        """What the command prints."""

        def printed(*arguments: str) -> str:
            assert run([*arguments, "--output", str(folder)]) == 0
            return capsys.readouterr().out

        return printed

    def test_they_are_listed_as_json_with_their_pictures(
        self, frame: pd.DataFrame, output_of: Callable[..., str]
    ) -> None:
        first, second = frame.head(2).to_dict("records")
        rows = json.loads(output_of("sync", "--dry-run", "--json"))
        added = {"error": None, "add": ["sea", "a, b"]}
        paths = [first["local_path"], second["local_path"]]
        assert {row.pop("id"): row for row in rows} == {
            first["id"]: {"path": paths[0], "state": "pending", "remove": [], **added},
            second["id"]: {"path": paths[1], "state": "synced", "remove": ["storm"], **added},
            self.ELSEWHERE: {
                "path": None,
                "state": None,
                "error": None,
                "add": ["far"],
                "remove": [],
            },
        }

    def test_a_picture_that_waits_itself_is_listed_first(
        self, frame: pd.DataFrame, output_of: Callable[..., str]
    ) -> None:
        rows = json.loads(output_of("sync", "--dry-run", "--json"))
        assert rows[0]["id"] == frame["id"].iloc[0]

    def test_they_are_listed_for_people(self, output_of: Callable[..., str]) -> None:
        heading, *lines = output_of("sync", "--dry-run").splitlines()
        assert heading.split() == ["id", "picture", "state", "tags", "last", "error"]
        assert ["+sea, +a, b, -storm" in line for line in lines] == [False, True, False]

    def test_they_are_counted_by_status(self, output_of: Callable[..., str]) -> None:
        assert json.loads(output_of("status", "--json"))["tags waiting"] == 3
        assert "of 3 pictures" in output_of("status")


def test_catalogs_of_before_are_migrated(folder: Path) -> None:
    render(folder, 2)
    with Catalog(folder).reader() as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM images ORDER BY created_at DESC, id DESC"
        ).fetchall()
    assert "USING COVERING INDEX images_created_idx" in plan[0][3]
    assert "TEMP B-TREE" not in str(plan)


class SetClock(SystemClock):
    """Shows the hour that it is set to."""

    hour = 12

    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 5, 11, self.hour, tzinfo=datetime.UTC)


@pytest.mark.parametrize("hour", [11, 12], ids=["set back", "the same"])
def test_the_later_change_counts_whatever_the_clock_says(folder: Path, hour: int) -> None:
    render(folder, 1)
    catalog = Catalog(folder)
    catalog.clock = clock = SetClock()
    (id,) = [str(entry.record.id) for entry in catalog.latest(1)]
    apply_tag_change(catalog, [id], make_tag_change(add=["sea"]))
    first = load_queued_tags(catalog)[id]
    clock.hour = hour
    apply_tag_change(catalog, [id], make_tag_change(remove=["sea"]))
    (mark,) = load_queued_tags(catalog)[id]
    assert (mark.tag, mark.present) == ("sea", False)
    assert mark.made_at > first[0].made_at
    (entry,) = catalog.latest(1)
    assert entry.record.unsent_tags == (mark,)
    catalog.close()
