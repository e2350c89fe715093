"""A machine of a user: a folder, a process that works on it, and what its user asks for."""

from __future__ import annotations

import datetime
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from PIL import Image
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.removal import push_removals
from imagen_nb.cloud.sync import drain
from imagen_nb.cloud.sync_report import RepairReport, SyncReport
from imagen_nb.cloud.tags import push_tags
from imagen_nb.cloud.verify import compare_copies, repair_copies
from imagen_nb.errors import CloudError
from imagen_nb.storage.adoption import Adoption
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.names import PICTURE_SUFFIXES
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import TagChange, apply_tag_change, queue_tag_change
from imagen_nb.storage.writer import _save_foreign
from imagen_nb.studio.adopting import Adopter, AdoptReport, What, list_sources
from imagen_nb.system.clock import SystemClock
from tests.simulation.deaths import Mortality, SimulatedDeath
from tests.simulation.network import Network
from tests.simulation.server import URL, SimulatedSupabase, User

START = datetime.datetime(2026, 5, 11, 12, tzinfo=datetime.UTC)
ATTEMPTS = 2  # at each request


class SimulatedClock(SystemClock):
    """Goes on by a moment whenever it is looked at, and by what is waited; may be set back."""

    def __init__(self) -> None:
        self._now, self._passed = START, 0.0

    def now(self) -> datetime.datetime:
        self._now += datetime.timedelta(milliseconds=1)
        return self._now

    def set(self, hours: int) -> None:
        """Set the time of day, by so many hours; none of them pass."""
        self._now += datetime.timedelta(hours=hours)

    def monotonic(self) -> float:
        self._passed += 0.001
        return self._passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._passed += seconds
        self._now += datetime.timedelta(seconds=seconds)
        return event.is_set()


@contextmanager
def synced_machine(folder: Path, pictures: int) -> Iterator[Machine]:
    """A machine whose pictures, numbered from 0, the server has, too."""
    server = SimulatedSupabase()
    machine = Machine("one", server.add_user("owner"), server, folder)
    for number in range(pictures):
        machine.draw(UUID(int=number), "a boat", number, 0, ())
    assert machine.sync().synced == pictures
    yield machine
    machine.stop()


class Machine:
    """One machine. What a dying process leaves is found by the next, which is there at once.

    `drawn`: the bytes of pictures that their user was told are kept, by file name. `adopted`: the
    sha256 of files that their user was told are adopted. `private`: of those that may be kept
    from the cloud.
    """

    def __init__(self, name: str, user: User, server: SimulatedSupabase, root: Path) -> None:
        self.name, self.user, self.server = name, user, server
        self.mortality = Mortality(root / name)
        self.network = Network(name, server, self.mortality)
        self.clock = SimulatedClock()
        self.drawn: dict[str, bytes] = {}
        self.adopted: set[str] = set()
        self.private: set[str] = set()
        self._start()

    @property
    def folder(self) -> Path:
        return self.mortality.folder

    def _start(self) -> None:
        self.mortality.revive()
        self.catalog = self.open_catalog()
        self.files = PictureFiles(self.folder)
        key, password = SecretStr("sb_publishable_simulated"), SecretStr(self.user.password)
        account = Account(URL, key, self.user.email, password)
        self.cloud = Cloud(account, ATTEMPTS, transport=self.network, clock=self.clock)

    def open_catalog(self) -> Catalog:
        catalog = Catalog(self.folder)
        catalog.clock = self.clock
        return catalog

    def stop(self) -> None:
        self.catalog.close()
        self.cloud.close()

    def restart(self) -> None:
        self.stop()
        self._start()

    def survives(self, work: Callable[[], object], steps: int | None = None) -> bool:
        """Do the work in a process that dies after so many steps; return whether it did not."""
        try:
            with self.mortality.dying_after(steps):
                work()
        except SimulatedDeath:
            self.restart()
            return False
        return True

    def entries(self) -> list[CatalogEntry]:
        return self.catalog.select("ORDER BY path")

    def draw(self, id: UUID, prompt: str, seed: int, shade: int, tags: Iterable[str]) -> Picture:
        """Keep a picture as a Studio does."""
        image = Image.new("RGB", (8, 8), (shade, seed, len(prompt)))
        record = Record(
            id=id,
            prompt=prompt,
            backend="b",
            seed=seed,
            steps=4,
            width=8,
            height=8,
            tags=tuple(tags),
            created_at=START + datetime.timedelta(seconds=id.int % 3600),
        )
        output = OutputFolder(self.files, self.catalog)
        picture = _save_foreign(lambda: image, record, output)
        self.drawn[picture.path.name] = picture.path.read_bytes()
        return picture

    def tag(self, id: str, change: TagChange, catalog: Catalog | None = None) -> None:
        """Change tags of a picture, of another machine too, as `Library.retag` does."""
        catalog = catalog or self.catalog
        if not apply_tag_change(catalog, [id], change):
            queue_tag_change(catalog, [id], change)

    def adopt(
        self, what: What, tags: Iterable[str], cloud: bool, catalog: Catalog | None = None
    ) -> AdoptReport:
        """Adopt files as a Studio does."""
        home = OutputFolder(self.files, catalog or self.catalog)
        common = {"tags": tuple(tags), "owner_user_id": None, "cloud": cloud}
        adopter = Adopter(Adoption(home, common), lambda ids: None)
        sources = list_sources(what, adopter.target).sources
        report = adopter.adopt(sources, lambda done, total: None)
        self.adopted |= {entry.record.sha256 or "" for entry in self._entries_of(report)}
        return report

    def _entries_of(self, report: AdoptReport) -> list[CatalogEntry]:
        """What the user was told is there; the process died if it is not."""
        entries = {str(entry.record.id): entry for entry in self.entries()}
        return [entries[id] for id in report.ids]

    def sync(self) -> SyncReport:
        """Send what waits, then tags and removals, as the worker does."""
        report = drain(self.catalog, self.cloud, senders=1)
        if report.trouble is None:
            try:
                push_tags(self.catalog, self.cloud)
                push_removals(self.catalog, self.cloud)
            except CloudError as error:
                return SyncReport(trouble=str(error))
        return report

    def verify(self) -> set[str]:
        """Return the ids of pictures whose copies differ, as `imagen sync --verify` does."""
        differences = compare_copies(self._synced(), self.cloud)
        return {str(one.entry.record.id) for one in differences}

    def repair(self) -> RepairReport:
        return repair_copies(self.catalog, self._synced(), self.cloud)

    def _synced(self) -> list[CatalogEntry]:
        return [entry for entry in self.entries() if entry.cloud_state == "synced"]

    def reindex(self) -> None:
        reindex(self.folder)

    def lose_catalog(self) -> None:
        """All but the pictures and their sidecars is gone, as when somebody tidies up."""
        self.stop()
        shutil.rmtree(self.folder / ".imagen", ignore_errors=True)
        self._start()

    def copy_pictures_of(self, other: Machine) -> list[str]:
        """Copy pictures with their sidecars, but none over another; return their names."""
        suffixes = (f"*{suffix}" for suffix in PICTURE_SUFFIXES)
        paths = sorted(path for suffix in suffixes for path in other.folder.glob(suffix))
        names = [path.name for path in paths]
        names = [name for name in names if not (self.folder / name).exists()]
        names = [name for name in names if (other.folder / f"{name}.json").exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy2(other.folder / name, self.folder / name)
            shutil.copy2(other.folder / f"{name}.json", self.folder / f"{name}.json")
        if names:
            self.reindex()
            self.restart()
        return names
