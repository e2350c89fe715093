"""Every state that a power loss may leave of recorded operations, under models of journals."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.powerloss.model import Change, Content, Disk, File, Naming, Tree
from tests.powerloss.trace import Operation

SECTOR_BYTES = 512  # what a disk writes whole
_MAX_SHOWN = 12  # operations in a message

Promise = dict[str, Any]  # what a user was told is kept, see promises.py


@dataclass(slots=True)
class State:
    """A tree that a power loss may leave, and where it does.

    `places` has for each promise that held there the number of the last operation and the
    name of the model, of the first such place.
    """

    tree: Tree
    places: dict[int, tuple[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """The operations of one process. `promises[0]` is nothing; each mark has the next."""

    operations: list[Operation]
    promises: list[Promise]

    def explain(self, place: tuple[int, str]) -> str:
        """Return where a state is left: the model, and what happened around the last flush.

        Without openings that change nothing; of writes to one file in a row, the first.
        """
        last, model = place
        lines: list[str] = []
        before = ""
        for number, operation in enumerate(self.operations[: last + 1]):
            is_opening = operation.kind == "open" and not operation.creates
            repeated = operation.kind == "write" and before == operation.path
            before = operation.path if operation.kind == "write" else ""
            if not is_opening and not repeated:
                lines.append(f"  {number} {operation}{' …' * bool(before)}")
        shown = lines[-_MAX_SHOWN:]
        return "\n".join([f"power lost after operation {last}, {model}:", *shown])


def make_recording(operations: Sequence[Operation]) -> Recording:
    """Return the recording of these operations."""
    marks = [json.loads(one.data) for one in operations if one.kind == "mark"]
    return Recording([*operations], [{}, *marks])


def distinct_states(
    recording: Recording, random_states: int, seed: int, *, every_sector: bool = False
) -> list[State]:
    """Return all states, each once, in the order in which they first come up.

    Args:
        recording: what happened.
        random_states: how many to choose at random after each operation.
        seed: of the choice.
        every_sector: tear writes at each of their sectors, not at three of them.
    """
    disk, promise = Disk(), 0
    states: dict[int, State] = {}
    for number, operation in enumerate(recording.operations):
        changed = disk.apply(operation)
        if operation.kind == "mark":
            promise += 1
            for path, time_ns in recording.promises[promise].get("times_ns", {}).items():
                disk.note_time(path, time_ns)
        elif not changed:
            continue
        chosen = random.Random(f"{seed} {number}")
        for model, tree in crash_trees(
            disk, operation, chosen, random_states, every_sector=every_sector
        ):
            state = states.setdefault(tree.key(), State(tree))
            state.places.setdefault(promise, (number, model))
    return [*states.values()]


def crash_trees(
    disk: Disk,
    last: Operation,
    chosen: random.Random,
    random_states: int,
    *,
    every_sector: bool = False,
) -> Iterator[tuple[str, Tree]]:
    """Give what is left if the power is lost after the `last` operation, by each model."""
    every = disk.pending
    yield "all of it on the disk", disk.tree(every, File.current)
    yield "nothing but what was flushed", disk.tree([], lambda file: file.durable)
    yield "names without data", disk.tree(every, lambda file: file.durable)
    yield "names and sizes, zeros for data", disk.tree(every, File.grown)
    yield "data before rename", disk.tree(every, _ordered(every, disk))
    if last.kind == "write":
        for cut in _cuts(last, every_sector):
            yield f"torn after {cut} bytes", disk.tree(every, _torn(disk, cut))
    for number in range(random_states):
        kind, tree = _random_tree(disk, chosen)
        yield f"{kind} {number}", tree


def _ordered(every: Iterable[Naming], disk: Disk) -> Callable[[File], Content]:
    """The data of files that got another name were written before that."""
    numbers = {number for naming in every if naming.moves for _, _, number in naming.changes}
    moved = {id(disk.files[number]) for number in numbers if number in disk.files}
    return lambda file: file.current() if id(file) in moved else file.durable


def _cuts(last: Operation, every_sector: bool) -> Sequence[int]:
    """Return after how many bytes the last write may be torn: at borders of sectors."""
    first = SECTOR_BYTES - max(last.offset, 0) % SECTOR_BYTES
    borders = range(first, len(last.data), SECTOR_BYTES)
    if every_sector or not borders:
        return borders
    return sorted({borders[0], borders[len(borders) // 2], borders[-1]})


def _torn(disk: Disk, cut: int) -> Callable[[File], Content]:
    """The last change of all is torn."""

    def content(file: File) -> Content:
        if not file.pending or file.pending[-1].number != disk.number:
            return file.current()
        whole = file.pending[-1]
        torn = replace(whole, data=whole.data[:cut])
        return file.durable.changed([*file.pending[:-1], torn])

    return content


def _random_tree(disk: Disk, chosen: random.Random) -> tuple[str, Tree]:
    """Some of what is not flushed; names in the order of each folder, or in any."""
    ordered = chosen.random() < 0.5
    names = _some_in_order(disk, chosen) if ordered else _some(disk.pending, chosen)
    share = chosen.choice((0.0, 0.3, 0.7, 0.9, 1.0))
    tree = disk.tree(names, lambda file: _some_changes(file, chosen, share))
    return ("some, names in order" if ordered else "some, in any order"), tree


def _some(pending: Sequence[Naming], chosen: random.Random) -> list[Naming]:
    share = chosen.choice((0.3, 0.7, 0.9))
    return [one for one in pending if chosen.random() < share]


def _some_in_order(disk: Disk, chosen: random.Random) -> list[Naming]:
    """The first few changes of each folder; those of several folders with the first."""
    by_folder: dict[int, list[Naming]] = {}
    for naming in disk.pending:
        by_folder.setdefault(min(naming.folders()), []).append(naming)
    kept: set[int] = set()
    for namings in by_folder.values():
        count = chosen.randint(0, len(namings))
        kept.update(one.number for one in namings[:count])
    return [one for one in disk.pending if one.number in kept]


def _some_changes(file: File, chosen: random.Random, share: float) -> Content:
    """Some of a file's changes, the last of them sometimes torn."""
    kept: list[Change] = [one for one in file.pending if chosen.random() < share]
    if kept and kept[-1].size is None and chosen.random() < 0.2:
        cut = chosen.randint(0, len(kept[-1].data)) // SECTOR_BYTES * SECTOR_BYTES
        kept[-1] = replace(kept[-1], data=kept[-1].data[:cut])
    return file.durable.changed(kept)


def choose(states: Sequence[State], count: int) -> list[State]:
    """Return so many of the states, in their order.

    Those first that are left just after something was promised; of others evenly spaced
    ones.
    """
    telling = [state for state in states if len(state.places) > 1]
    others = [state for state in states if len(state.places) == 1]
    wanted = min(max(count - len(telling), 0), len(others))
    telling += [others[number * len(others) // wanted] for number in range(wanted)]
    kept = {id(state) for state in telling}
    return [state for state in states if id(state) in kept]


def write_tree(tree: Tree, folder: Path) -> str:
    """Make the tree on this machine's disk; return what tells its contents from others."""
    digest = hashlib.blake2b()
    for path, content in sorted(tree.files.items()):
        digest.update(path.encode() + b"\0")
        if content is None:
            (folder / path).mkdir()
            continue
        data = content.bytes()
        digest.update(hashlib.blake2b(data).digest())
        (folder / path).write_bytes(data)
    for path, time_ns in tree.times_ns.items():
        os.utime(folder / path, ns=(time_ns, time_ns))
        digest.update(f"{path} {time_ns}".encode())
    return digest.hexdigest()
