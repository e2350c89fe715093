"""Histories in which users adopt files of other programs, of one another and twice, too."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen_nb.storage.names import PICTURE_SUFFIXES
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import TagChange
from imagen_nb.storage.trash import move_to_trash
from tests.simulation import checks
from tests.simulation.histories import DeletingHistories
from tests.simulation.machine import Machine
from tests.simulation.network import Fault
from tests.simulation.strategies import OWN, machines, plans, steps

_TEXT = "a boat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 0, Size: 8x8, Model: sd"
# By name: its format, its shade, and when it was written. Some have the same bytes, or are to
# have the same names among ours.
_FILES = {
    "a.png": ("PNG", 0, 1_770_000_000),
    "a copy.png": ("PNG", 0, 1_770_500_000),
    "other/a.png": ("PNG", 9, 1_770_000_000),
    "b.jpg": ("JPEG", 1, 1_770_000_000),
    "b.jpeg": ("JPEG", 1, 1_770_000_000),
    "other/b.jpg": ("JPEG", 5, 1_770_000_000),
    "c.webp": ("WEBP", 2, 1_770_000_000),
}

some_files = st.lists(st.sampled_from([*_FILES]), min_size=1, max_size=3, unique=True)
adopted_tags = st.sampled_from([(), ("sea",)])
in_cloud = st.sampled_from([True, True, True, False])


@cache
def _bytes_of(kind: str, shade: int) -> bytes:
    info, data = PngInfo(), BytesIO()
    info.add_text("parameters", _TEXT)
    more = {"pnginfo": info} if kind == "PNG" else {}
    Image.new("RGB", (8, 8), (shade, shade, 9)).save(data, kind, **more)
    return data.getvalue()


class AdoptingHistories(DeletingHistories):
    """Everybody has the same stick with files of another program."""

    def __init__(self) -> None:
        super().__init__()
        self.stick = self.root / "stick"
        for name, (kind, shade, modified_s) in _FILES.items():
            path = self.stick / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_bytes_of(kind, shade))
            os.utime(path, (modified_s, modified_s))
        self.originals = self._look_at_stick()
        self.asked: dict[str, set[Path]] = {name: set() for name in self.machines}
        self.doubled: set[str] = set()  # sha256 of files of which users may have several pictures
        self.renewed: set[str] = set()  # of those, what was deleted and adopted as a new picture
        self.deleted: set[str] = set()  # ids of pictures that somebody deleted for good
        private: set[str] = set()
        for machine in self.machines.values():
            machine.private = private

    def _look_at_stick(self) -> dict[Path, tuple[bytes, int, int]]:
        paths = [path for path in self.stick.rglob("*") if path.is_file()]
        status = {path: path.stat() for path in paths}
        return {path: (path.read_bytes(), s.st_mtime_ns, s.st_mode) for path, s in status.items()}

    # What users do

    @rule(name=machines, files=some_files, tags=adopted_tags, cloud=in_cloud, dies=steps)
    def adopt(
        self, name: str, files: list[str], tags: tuple[str, ...], cloud: bool, dies: int | None
    ) -> None:
        self._adopt(self.machines[name], [self.stick / file for file in files], tags, cloud, dies)

    @rule(name=machines, other=machines, tags=adopted_tags, dies=steps)
    def adopt_of_another(
        self, name: str, other: str, tags: tuple[str, ...], dies: int | None
    ) -> None:
        """What another machine has, drawn and adopted, as if its folder were a program's."""
        there = self.machines[other].folder
        if name == other or not there.exists():
            return
        found = [path for path in sorted(there.iterdir()) if path.suffix in PICTURE_SUFFIXES]
        if found:
            self._adopt(self.machines[name], found, tags, True, dies)

    def _adopt(
        self,
        machine: Machine,
        files: Sequence[Path],
        tags: tuple[str, ...],
        cloud: bool,
        dies: int | None,
    ) -> None:
        before = self._begin_adopting(machine, files, cloud)
        lived = machine.survives(lambda: machine.adopt(files, tags, cloud), dies)
        self._note_adopted(machine, before, tags, lived)

    def _begin_adopting(
        self, machine: Machine, files: Sequence[Path], cloud: bool
    ) -> dict[str, str | None]:
        """Return the pictures that are there before: their sha256, by id."""
        self.asked[machine.name] |= {path for path in files if path in self.originals}
        if not cloud:
            machine.private |= {_sha256(path.read_bytes()) for path in files}
        return {str(entry.record.id): entry.record.sha256 for entry in machine.entries()}

    def _note_adopted(
        self, machine: Machine, before: dict[str, str | None], tags: tuple[str, ...], lived: bool
    ) -> None:
        """A file that was there before may only have got another id, from the cloud."""
        for entry in machine.entries():
            if str(entry.record.id) not in before:
                is_new = entry.record.sha256 not in before.values()
                self._begin_adopted(machine, entry.record, tags, lived and is_new)

    def _begin_adopted(
        self, machine: Machine, record: Record, tags: tuple[str, ...], lived: bool
    ) -> None:
        picture = self._picture(machine, record)
        self.intents.begin(picture, record.tags)
        if tags:  # another machine may have had it without them
            self.intents.note(machine.name, picture, TagChange(added=tags), lived)

    @rule(
        name=machines,
        files=some_files,
        tags=adopted_tags,
        plan=plans,
        dies=steps,
        request=st.integers(0, 8),
    )
    def sync_while_adopting(
        self,
        name: str,
        files: list[str],
        tags: tuple[str, ...],
        plan: dict[int, Fault],
        dies: int | None,
        request: int,
    ) -> None:
        """Another process adopts while that request is under way."""
        machine, paths = self.machines[name], [self.stick / file for file in files]
        before = self._begin_adopting(machine, paths, True)
        done = []

        def adopt() -> None:
            catalog = machine.open_catalog()
            try:
                machine.adopt(paths, tags, True, catalog)
                done.append(True)
            finally:
                catalog.close()

        with machine.network.with_faults(plan, meanwhile=(request, adopt)):
            machine.survives(machine.sync, dies)
        self._note_adopted(machine, before, tags, bool(done))
        self._note_arrival(machine)

    @rule(name=st.sampled_from(OWN), file=st.sampled_from([*_FILES]), again=some_files)
    def delete_and_adopt_again(self, name: str, file: str, again: list[str]) -> None:
        """For good: it leaves the cloud, whoever else has it; the same file stays deleted."""
        machine, path = self.machines[name], self.stick / file
        digest = _sha256(path.read_bytes())
        gone = [entry for entry in machine.entries() if entry.record.sha256 == digest]
        if not gone:
            return
        machine.adopt(path, (), True)  # so that this machine has seen it under this name
        ids = [str(entry.record.id) for entry in gone]
        assert sorted(move_to_trash(machine.catalog, ids)) == sorted(ids)
        machine.adopted.discard(digest)
        self.deleted |= set(ids)
        self.damaged |= self.deleted
        self.doubled.add(digest)
        self.renewed.add(digest)
        report = machine.adopt(path, (), True)
        assert (report.ids, report.deleted) == ([], 1)
        self._adopt(machine, [self.stick / one for one in again], (), True, None)

    def verify_and_repair(self, name: str) -> None:
        super().verify_and_repair(name)
        self.damaged |= self.deleted  # which another machine's removal may reach later

    def lose_copy(self, name: str, number: int, what: str) -> None:
        """A machine that adopted it may find that its id is another picture's now.

        Then its file gets an id of its own, and takes the tags along that are set there.
        """
        super().lose_copy(name, number, what)
        for machine in self.machines.values():
            for entry in machine.entries():
                if str(entry.record.id) in self.damaged:
                    self.intents.give_up(self._picture(machine, entry.record))
                    self.doubled.add(entry.record.sha256 or "")

    def copy_pictures(self, source: str, copier: str) -> None:
        """Copies of two machines may be two pictures: each may have got an id of its own."""
        here = self.machines[source].entries()
        self.doubled |= {entry.record.sha256 or "" for entry in here}
        super().copy_pictures(source, copier)

    # What must hold

    @invariant()
    def originals_are_as_they_were(self) -> None:
        assert self._look_at_stick() == self.originals

    @invariant()
    def adopted_ones_are_there_once(self) -> None:
        for machine in self.machines.values():
            checks.assert_adopted_are_kept(machine)
            digests = Counter(entry.record.sha256 for entry in machine.entries())
            twice = {one for one, n in digests.items() if n > 1} - self.doubled
            assert not twice, f"{machine.name} has {twice} twice"

    def end(self) -> None:
        """Whoever was interrupted adopts again: the rest comes, and nothing twice."""
        for machine in self.machines.values():
            if self.asked[machine.name]:
                self._adopt(machine, sorted(self.asked[machine.name]), (), True, None)
                files = {_sha256(data) for data, _, _ in self.originals.values()}
                checks.assert_files_are_there_once(machine, files - self.doubled)
        self.server.deliver_late(everything=True)
        for machine in self.machines.values():
            machine.sync()  # what was deleted leaves the cloud
        super().end()
        self._assert_rows_are_there_once()

    def _may_have_any_tags(self, row: dict[str, Any]) -> bool:
        """What is kept from the cloud on one machine is tagged there for itself."""
        private = self.machines["one"].private  # all have the same
        return row["sidecar"]["sha256"] in self.renewed | private

    def _assert_rows_are_there_once(self) -> None:
        rows: Counter[Any] = Counter()
        for id, row in self.server.images.items():
            if id not in self.foreign_rows:
                rows[row["owner_user_id"], row["sidecar"]["sha256"]] += 1
        twice = [one for one, n in rows.items() if n > 1 and one[1] not in self.doubled]
        assert not twice, f"the cloud has {twice} twice"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
