"""Histories: what users, machines, networks and strangers do, in any order, and what must hold."""

from __future__ import annotations

import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image

from imagen_nb.errors import CloudError
from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import (
    TagChange,
    load_queued_tags,
    make_tag_change,
)
from imagen_nb.storage.trash import move_to_trash, restore_from_trash
from tests.simulation import checks
from tests.simulation.intents import Intents, Picture
from tests.simulation.machine import Machine
from tests.simulation.network import Fault, Turns
from tests.simulation.server import SimulatedSupabase
from tests.simulation.strategies import (
    OWN,
    PROMPTS,
    changes,
    machines,
    mishaps,
    pictures,
    plans,
    steps,
    tagging,
)


class Histories(RuleBasedStateMachine):
    """Two machines of one account, and a stranger's, on one server."""

    def __init__(self) -> None:
        super().__init__()
        shared_memory = Path("/dev/shm")  # where nothing waits for a disk
        place = shared_memory if shared_memory.is_dir() else None
        self.root = Path(tempfile.mkdtemp(prefix="imagen-simulation-", dir=place))
        self.server = SimulatedSupabase()
        owner, stranger = self.server.add_user("owner"), self.server.add_user("stranger")
        users = {"one": owner, "two": owner, "stranger": stranger}
        self.machines = {
            name: Machine(name, user, self.server, self.root) for name, user in users.items()
        }
        self.intents = Intents()
        self.spoiled: set[str] = set()  # paths of objects that somebody changed by hand
        self.damaged: set[str] = set()  # ids of pictures whose copies are to be repaired
        self.foreign_rows: dict[str, dict[str, Any]] = {}  # that the stranger made by hand
        self._ids = 0

    # What users do

    @initialize(shades=st.lists(st.integers(0, 1), min_size=2, max_size=4))
    def begin(self, shades: list[int]) -> None:
        """Both machines have pictures of the same names."""
        for number, shade in enumerate(shades):
            self.draw(OWN[number % 2], PROMPTS[0], number // 2, shade, (), None)

    @rule(
        name=machines,
        prompt=st.sampled_from(PROMPTS),
        seed=st.integers(0, 1),
        shade=st.integers(0, 1),
        tags=st.sampled_from([(), ("sea",)]),
        dies=steps,
    )
    def draw(
        self, name: str, prompt: str, seed: int, shade: int, tags: tuple[str, ...], dies: int | None
    ) -> None:
        machine, self._ids = self.machines[name], self._ids + 1
        id, before = UUID(int=0x1D << 64 | self._ids), {e.path.name for e in machine.entries()}
        lived = machine.survives(lambda: machine.draw(id, prompt, seed, shade, tags), dies)
        entries, color = machine.entries(), (shade, seed, len(prompt))
        for entry in entries:
            if entry.path.name not in before:
                self.intents.begin(self._picture(machine, entry.record), entry.record.tags)
        old = [entry for entry in entries if entry.path.name in before]
        again = [entry.record for entry in old if _is_drawing(entry, prompt, seed, color)]
        for record in again if tags else []:
            # The same again has the tags added, if its process lived so long: one of them, where
            # there are several, as another machine's was adopted.
            picture, added = self._picture(machine, record), TagChange(added=tags)
            self.intents.note(machine.name, picture, added, lived and len(again) == 1)

    @rule(
        name=machines,
        number=pictures,
        change=changes,
        dies=steps,
        hours=st.sampled_from([0, 0, -2, 3]),
    )
    def tag(
        self, name: str, number: int, change: TagChange, dies: int | None, hours: int = 0
    ) -> None:
        machine = self.machines[name]
        machine.clock.set(hours)
        chosen = self._choose(machine, number)
        if chosen:
            id, picture = chosen
            lived = machine.survives(lambda: machine.tag(id, change), dies)
            self.intents.note(name, picture, change, lived)

    def _choose(self, machine: Machine, number: int) -> tuple[str, Picture] | None:
        """One of the pictures that a user sees: here, and in the cloud."""
        own = {str(e.record.id): e.record.sha256 for e in machine.entries()}
        rows = self.server.images.values()
        mine = [row for row in rows if row["owner_user_id"] == str(machine.user.id)]
        seen = {row["id"]: row["sidecar"]["sha256"] for row in mine if row["sidecar"]} | own
        if not seen:
            return None
        id = sorted(seen)[number % len(seen)]
        return id, (machine.user.email, seen[id])

    def _tag_first(self, machine: Machine, tagged: list[tuple[int, TagChange]]) -> None:
        for number, change in tagged:
            self.tag(machine.name, number, change, None)

    @rule(
        name=machines,
        tagged=tagging,
        plan=plans,
        dies=steps,
        meanwhile=st.none() | st.tuples(st.integers(0, 8), pictures, changes),
    )
    def sync(
        self,
        name: str,
        tagged: list[tuple[int, TagChange]],
        plan: dict[int, Fault],
        dies: int | None,
        meanwhile: tuple[int, int, TagChange] | None,
    ) -> None:
        machine = self.machines[name]
        self._tag_first(machine, tagged)
        action = self._tag_meanwhile(machine, *meanwhile) if meanwhile else None
        with machine.network.with_faults(plan, meanwhile=action):
            machine.survives(machine.sync, dies)
        self._note_arrival(machine)

    def _tag_meanwhile(self, machine: Machine, request: int, number: int, change: TagChange) -> Any:
        """Another process of the machine tags while that request is under way."""

        def tag() -> None:
            chosen = self._choose(machine, number)
            if chosen is None:
                return
            catalog, lived = machine.open_catalog(), False
            try:
                machine.tag(chosen[0], change, catalog)
                lived = True
            finally:
                self.intents.note(machine.name, chosen[1], change, lived)
                catalog.close()

        return request, tag

    def _note_arrival(self, machine: Machine) -> None:
        if not load_queued_tags(machine.catalog):
            self.intents.arrive(machine.name)

    @rule(
        tagged=st.tuples(tagging, tagging),
        first=plans,
        second=plans,
        order=st.lists(st.integers(0, 1), max_size=40),
        dying=st.none() | st.tuples(st.sampled_from(OWN), st.integers(0, 40)),
    )
    def sync_both(
        self,
        tagged: tuple[list[tuple[int, TagChange]], list[tuple[int, TagChange]]],
        first: dict[int, Fault],
        second: dict[int, Fault],
        order: list[int],
        dying: tuple[str, int] | None,
    ) -> None:
        """Both machines at once, request by request in any order."""
        for name, some in zip(OWN, tagged, strict=True):
            self._tag_first(self.machines[name], some)
        turns = Turns(OWN, order)
        plans_of = dict(zip(OWN, (first, second), strict=True))

        def sync(name: str) -> None:
            machine = self.machines[name]
            dies = dying[1] if dying and dying[0] == name else None
            turns.take(name)
            try:
                with machine.network.with_faults(plans_of[name], turns):
                    machine.survives(machine.sync, dies)
            finally:
                turns.leave(name)

        with ThreadPoolExecutor(len(OWN)) as pool:
            for one in [pool.submit(sync, name) for name in OWN]:
                one.result()
        for name in OWN:
            self._note_arrival(self.machines[name])

    def reindex(self, name: str, dies: int | None) -> None:
        machine = self.machines[name]
        if machine.folder.exists():
            machine.survives(machine.reindex, dies)
            self._begin_found(machine)

    def _begin_found(self, machine: Machine) -> None:
        for entry in machine.entries():
            self.intents.begin(self._picture(machine, entry.record), entry.record.tags)

    def lose_catalog(self, name: str) -> None:
        machine = self.machines[name]
        machine.lose_catalog()
        own = [self._picture(machine, entry.record) for entry in machine.entries()]
        self.intents.doubt(name, own)

    def copy_pictures(self, source: str, copier: str) -> None:
        here, there = self.machines[source], self.machines[copier]
        names = there.copy_pictures_of(here)
        for entry in there.entries():
            if entry.path.name in names:
                picture = self._picture(there, entry.record)
                self.intents.begin(picture, entry.record.tags)
                self.intents.inherit(copier, picture, entry.record.unsent_tags)

    # What others do

    @rule(what=mishaps, name=machines, number=pictures)
    def something_happens(self, what: tuple[str, tuple[Any, ...]], name: str, number: int) -> None:
        """One rule for all that is rare, as rules are drawn equally often."""
        event, arguments = what
        if event in ("end_sessions", "late_requests_arrive"):
            getattr(self, event)()
        elif event in ("stranger_takes_an_id", "stranger_claims_a_path", "lose_copy"):
            getattr(self, event)(name, number, *arguments)
        else:
            getattr(self, event)(name, *arguments)

    def late_requests_arrive(self) -> None:
        self.server.deliver_late(everything=True)

    def end_sessions(self) -> None:
        self.server.end_sessions()

    def stranger_takes_an_id(self, name: str, number: int) -> None:
        entries = self.machines[name].entries()
        if entries:
            id = str(entries[number % len(entries)].record.id)
            if id not in self.server.images:
                row = self.server.add_row(id, self.machines["stranger"].user)
                self.foreign_rows[id] = dict(row)

    def stranger_claims_a_path(self, name: str, number: int) -> None:
        name = OWN[0] if name == "stranger" else name
        entries = self.machines[name].entries()
        if entries:
            owner = self.machines[name].user.id
            path = entries[number % len(entries)].record.storage_path or ""
            claimed = path if path.startswith(str(owner)) else f"{owner}/{path}"
            try:
                self.machines["stranger"].cloud.claim([(claimed, str(UUID(int=1)))])
            except CloudError:
                return
            raise AssertionError(f"a stranger claimed {claimed}")

    def lose_copy(self, name: str, number: int, what: str) -> None:
        """Somebody with the project's secret key removes or replaces what is in the cloud."""
        machine = self.machines[name]
        synced = [entry for entry in machine.entries() if entry.cloud_state == "synced"]
        if not synced:
            return
        record = synced[number % len(synced)].record
        path = record.storage_path or ""
        if what == "row":
            self.server.images.pop(str(record.id), None)
            self.intents.give_up(self._picture(machine, record))
        elif what == "object":
            self.server.objects.pop(path, None)
        else:
            self.server.objects[path] = b"something else"
        self.spoiled.add(path)
        self.damaged.add(str(record.id))

    def verify_and_repair(self, name: str) -> None:
        machine = self.machines[name]
        differing = machine.verify()
        assert differing <= self.damaged, f"verify names {differing - self.damaged}"
        report = machine.repair()
        assert report.left + report.sync.failed == ()
        assert machine.verify() == set()
        checks.assert_all_synced_are_there(machine, set())
        others = [m for m in self.machines.values() if m.user == machine.user and m != machine]
        elsewhere = {str(e.record.id) for one in others for e in one.entries()}
        self.damaged -= {str(e.record.id) for e in machine.entries()} - elsewhere

    # What must hold

    @invariant()
    def nothing_is_lost_or_overwritten(self) -> None:
        assert self.server.overwritten == []
        for machine in self.machines.values():
            checks.assert_drawn_are_kept(machine)
            checks.assert_all_synced_are_there(machine, self.damaged)
        checks.assert_rows_are_sound(self.server)
        for id, row in self.foreign_rows.items():
            assert self.server.images[id] == row, "the stranger's row was changed"

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.end()
        finally:
            for machine in self.machines.values():
                machine.stop()
            shutil.rmtree(self.root, ignore_errors=True)

    def end(self) -> None:
        """Everything arrives, everybody syncs without faults: all agree, nothing is stuck."""
        self.server.deliver_late(everything=True)
        for machine in self.machines.values():
            if machine.folder.exists():
                machine.reindex()
                self._begin_found(machine)
            machine.restart()
            machine.repair()
            checks.assert_sync_leaves_nothing(machine)
        self.nothing_is_lost_or_overwritten()
        self._assert_tags_are_what_was_wanted()
        for machine in self.machines.values():
            for entry in machine.entries():
                machine.tag(str(entry.record.id), make_tag_change(add=["end"]))
            checks.assert_sync_leaves_nothing(machine)
        for machine in self.machines.values():
            checks.assert_all_synced_are_there(machine, set())
            checks.assert_sidecars_agree(machine)
            assert machine.verify() == set()
        checks.assert_rows_are_pictures(
            self.server, self.machines.values(), self.foreign_rows, self.spoiled
        )

    def _assert_tags_are_what_was_wanted(self) -> None:
        emails = {str(user.id): user.email for user in self.server.users.values()}
        for id, row in self.server.images.items():
            if id in self.foreign_rows or self._may_have_any_tags(row):
                continue
            picture = (emails[row["owner_user_id"]], row["sidecar"]["sha256"])
            if id in self.server.changed_late:
                self.intents.give_up(picture)
            violation = self.intents.violation(picture, row["tags"])
            assert violation is None, f"{id}: {violation}"

    def _may_have_any_tags(self, row: dict[str, Any]) -> bool:
        return False

    def _picture(self, machine: Machine, record: Record) -> Picture:
        return machine.user.email, record.sha256 or ""


class DeletingHistories(Histories):
    """Histories in which users delete pictures, too, and change their minds."""

    @rule(name=machines, number=pictures, dies=steps)
    def delete_and_restore(self, name: str, number: int, dies: int | None) -> None:
        """A user changes their mind: what waits for the cloud waits again."""
        machine = self.machines[name]
        entries = machine.entries()
        if entries:
            ids = [str(entries[number % len(entries)].record.id)]
            machine.survives(lambda: move_to_trash(machine.catalog, ids), dies)
            machine.survives(lambda: restore_from_trash(machine.catalog, ids), dies)
            restore_from_trash(machine.catalog, ids)


def _is_drawing(entry: CatalogEntry, prompt: str, seed: int, color: tuple[int, int, int]) -> bool:
    """Whether a picture is what drawing this again gives."""
    if (entry.record.prompt, entry.record.seed) != (prompt, seed):
        return False
    with Image.open(entry.path) as image:
        return image.getpixel((0, 0)) == color
