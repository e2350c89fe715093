"""The model file system: what a power loss leaves of a few operations, by each journal."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.powerloss.model import Disk, File, Tree
from tests.powerloss.states import crash_trees
from tests.powerloss.trace import Operation


def done(*operations: tuple[Any, ...]) -> tuple[Disk, Operation]:
    """A disk after operations, each (kind, path, values); handles are paths."""
    disk, made = Disk(), []
    for number, (kind, path, *rest) in enumerate(operations):
        values = rest[0] if rest else {}
        values = {"handle": hash(path), "creates": kind == "open", **values}
        made.append(Operation(kind, path, begin=number, end=number, **values))
        disk.apply(made[-1])
    return disk, made[-1]


def write(path: str, data: bytes, offset: int = 0) -> tuple[Any, ...]:
    return "write", path, {"data": data, "offset": offset}


def plain(tree: Tree) -> dict[str, bytes | None]:
    return {path: one.bytes() if one else None for path, one in tree.files.items()}


def left(disk: Disk, last: Operation, model: str) -> dict[str, bytes | None]:
    """What is left by the model of this name."""
    trees = dict(crash_trees(disk, last, random.Random(1), 0))
    return plain(trees[model])


FLUSHED = "nothing but what was flushed"
NAMES = "names without data"
ZEROS = "names and sizes, zeros for data"
ORDERED = "data before rename"

WRITTEN = (("open", "a"), write("a", b"new"))
KEPT = (*WRITTEN, ("sync", "a"), ("open", ""), ("sync", ""))


def test_what_is_flushed_with_its_folder_is_there_by_every_model() -> None:
    disk, last = done(*KEPT)
    for _, tree in crash_trees(disk, last, random.Random(1), 20):
        assert plain(tree) == {"a": b"new"}


def test_a_file_without_a_flush_of_its_folder_may_be_gone() -> None:
    disk, last = done(*WRITTEN, ("sync", "a"))
    assert left(disk, last, FLUSHED) == {}
    assert left(disk, last, NAMES) == {"a": b"new"}


def test_a_name_may_be_there_without_data() -> None:
    disk, last = done(*WRITTEN, ("open", ""), ("sync", ""))
    assert left(disk, last, FLUSHED) == {"a": b""}
    assert left(disk, last, NAMES) == {"a": b""}
    assert left(disk, last, ZEROS) == {"a": bytes(3)}
    assert left(disk, last, "all of it on the disk") == {"a": b"new"}


def test_what_overwrites_flushed_data_leaves_the_old_or_the_new() -> None:
    disk, last = done(*KEPT, write("a", b"NEWER"))
    assert left(disk, last, FLUSHED) == {"a": b"new"}
    assert left(disk, last, ZEROS) == {"a": b"new\0\0"}


def test_a_rename_survives_with_a_flush_of_the_folder_and_not_without() -> None:
    renamed = (*KEPT, ("rename", "a", {"target": "b"}))
    disk, last = done(*renamed)
    assert left(disk, last, FLUSHED) == {"a": b"new"}
    assert left(disk, last, NAMES) == {"b": b"new"}
    disk, last = done(*renamed, ("sync", ""))
    assert left(disk, last, FLUSHED) == {"b": b"new"}


def test_a_rename_over_another_file_brings_its_data_only_if_they_are_ordered() -> None:
    replaced = (*KEPT, ("open", "t"), write("t", b"other"), ("rename", "t", {"target": "a"}))
    disk, last = done(*replaced)
    assert left(disk, last, FLUSHED) == {"a": b"new"}
    assert left(disk, last, NAMES) == {"a": b""}
    assert left(disk, last, ORDERED) == {"a": b"other"}


def test_an_unlinked_file_may_be_back() -> None:
    disk, last = done(*KEPT, ("unlink", "a"))
    assert left(disk, last, FLUSHED) == {"a": b"new"}
    assert left(disk, last, NAMES) == {}


def test_a_second_name_is_the_same_file() -> None:
    disk, last = done(*KEPT, ("link", "a", {"target": "b"}), write("a", b"NEW"))
    assert left(disk, last, "all of it on the disk") == {"a": b"NEW", "b": b"NEW"}


def test_a_folder_is_gone_with_all_that_is_in_it_until_its_own_name_is_flushed() -> None:
    inside = (("mkdir", "f"), ("open", "f/a"), write("f/a", b"x"), ("sync", "f/a"))
    flushed = (*inside, ("open", "f", {"creates": False}), ("sync", "f"))
    disk, last = done(*flushed)
    assert left(disk, last, FLUSHED) == {}
    disk, last = done(*flushed, ("open", "", {"creates": False}), ("sync", ""))
    assert left(disk, last, FLUSHED) == {"f": None, "f/a": b"x"}


def test_a_flush_covers_what_ended_before_it_began() -> None:
    disk, _ = done(*WRITTEN)
    late = Operation("sync", "a", handle=hash("a"), begin=1, end=9)  # the write ended at 1
    disk.apply(late)
    assert plain(disk.tree(disk.pending, lambda file: file.durable)) == {"a": b""}


def test_a_write_is_torn_at_sectors() -> None:
    disk, last = done(("open", "a"), write("a", b"x" * 1500, 100))
    torn = [
        plain(tree)["a"]
        for model, tree in crash_trees(disk, last, random.Random(1), 0)
        if model.startswith("torn")
    ]
    assert [len(data or b"") for data in torn] == [512, 1024, 1536]


def test_a_truncated_file_may_be_long_again() -> None:
    disk, last = done(*KEPT, ("resize", "a", {"size": 1}))
    assert left(disk, last, FLUSHED) == {"a": b"new"}
    assert left(disk, last, "all of it on the disk") == {"a": b"n"}


def test_sqlites_index_is_never_there() -> None:
    disk, last = done(("open", "c-shm"), write("c-shm", b"x"))
    assert left(disk, last, "all of it on the disk") == {}


def test_random_states_are_the_same_with_the_same_seed_and_differ_in_order() -> None:
    disk, last = done(*((kind, f"{n}") for n in range(9) for kind in ("open", "write")))
    first = [tree.key() for _, tree in crash_trees(disk, last, random.Random("5"), 30)]
    again = [tree.key() for _, tree in crash_trees(disk, last, random.Random("5"), 30)]
    assert first == again
    assert len(set(first)) > 20


def test_a_folders_time_is_known_where_its_names_are_as_they_were() -> None:
    disk, _ = done(*KEPT)
    disk.note_time("", 1234)
    assert disk.tree([], File.current).times_ns == {"": 1234}
    disk.apply(Operation("unlink", "a", begin=9, end=9))
    assert disk.tree([], File.current).times_ns == {"": 1234}
    assert disk.tree(disk.pending, File.current).times_ns == {}


def test_what_the_trace_does_not_explain_is_an_error() -> None:
    with pytest.raises(KeyError, match="not complete"):
        done(("open", "missing", {"creates": False}))
