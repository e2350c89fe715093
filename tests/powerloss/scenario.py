"""The process that is recorded: it uses the product, and notes what the user is told.

python -m tests.powerloss.scenario ROOT MARKS MUTATION ACT...
"""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from PIL import Image

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import SCRAP_MIME, SCRAP_NAME, ExecutedNotebook
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.storage import mending
from imagen_nb.storage.adoption import Adoption, SourceFile
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import (
    apply_tag_change,
    load_queued_tags,
    make_tag_change,
    merge_cloud_tags,
    remove_sent_tags,
)
from imagen_nb.studio import adopting
from imagen_nb.studio.adopting import Adopter, list_sources
from imagen_nb.studio.studio import Studio
from imagen_nb.system.atomic import flush_folder, make_folder, write_atomically
from imagen_nb.system.thumbnails import encode_webp
from tests.powerloss.mutations import mutate
from tests.powerloss.promises import Promises

if TYPE_CHECKING:
    from imagen_nb.storage.writer import ForeignPicture

_SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}
_OWNER = UUID(int=7)
_SETTLED_S = 0.05  # instead of two seconds, which a test need not wait


class Scenario:
    """The user, at work in one folder."""

    def __init__(self, root: Path, marks: Path) -> None:
        self.root, self.folder = root, root / "pictures"
        self.batch = root / "batch"
        self.promises = Promises(marks, root, self.folder)
        self.ids: list[str] = []  # of the pictures, in the order in which they were made
        self._seed = 0
        self._others: list[Catalog] = []
        self._deleted: list[str] = []

    def _new_seed(self) -> int:
        self._seed += 1
        return self._seed

    def studio(self) -> Studio:
        """Return a session without a cloud."""
        settings = {"backend": "flux-tiny-local", "output": {"dir": str(self.folder)}}
        return Studio(settings, background=False)

    def draw(self) -> None:
        """Draw two pictures, and one that shall not go to the cloud."""
        with self.studio() as studio:
            for seed in (self._new_seed(), self._new_seed()):
                picture = studio.generate("a red boat", seed=seed, tags=["sea"], **_SMALL)
                self.ids.append(self.promises.add_picture(picture))
                self.promises.note(f"drawn {seed}")
            private = studio.generate("a secret", seed=self._new_seed(), cloud=False, **_SMALL)
            self.ids.append(self.promises.add_picture(private, "off"))
            self.promises.note("drawn, private")

    def sweep(self) -> None:
        """Draw a sweep and keep its contact sheet."""
        with self.studio() as studio:
            pictures = studio.sweep(
                "a {red|blue} barn",
                seeds=[self._new_seed()],
                steps=[1],
                size=(64, 64),
                progress=False,
            )
            self.ids += [self.promises.add_picture(picture) for picture in pictures]
            self.promises.note("swept")
            self.promises.add_file(pictures.save_contact_sheet())
            self.promises.note("contact sheet kept")

    def again(self) -> None:
        """Ask for a picture that is there, with other tags: found, and drawn anew."""
        with self.studio() as studio:
            for word, anew in (("found", False), ("redrawn", True)):
                tag = f"{word}{self._new_seed()}"
                self._open(self.ids[0], tag)
                studio.generate("a red boat", seed=1, tags=[tag], again=anew, **_SMALL)
                self.promises.set_tags(self.ids[0], **{tag: True})
                self.promises.note(f"had again, {tag}")

    def adopt(self) -> None:
        """Keep pictures that somebody else drew."""
        with self.studio() as studio:
            foreign = [self._foreign(self._new_seed()) for _ in range(2)]
            written = studio.keep_drawn(foreign, tags=["adopted"])
            for one in written:
                self.ids.append(self.promises.add_picture(one.result()))
                self.promises.note("adopted")

    def _foreign(self, shade: int) -> ForeignPicture:
        image = Image.new("RGB", (32, 16), (shade, 0, 0))
        record = Record(
            prompt="a barge", backend="pipeline", seed=shade, steps=1, width=32, height=16
        )
        return (lambda: image), record

    def library(self) -> None:
        """Adopt a folder of another program: PNG, JPEG and WebP, by hard link, batch by batch."""
        self._adopt(self._write_theirs(), ("library",), True)

    def library_by_copy(self) -> None:
        """Adopt a folder of another disk, and keep it from the cloud."""
        link = os.link

        def refuse(source: Path, target: Path) -> None:
            if self.root / "theirs" in Path(source).parents:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            link(source, target)

        theirs = self._write_theirs()
        os.link = refuse  # type: ignore[assignment]
        try:
            self._adopt(theirs, (), False)
        finally:
            os.link = link

    def _write_theirs(self) -> list[SourceFile]:
        """Write files of another program, some of the last minutes and some that are old."""
        folder = self.root / "theirs" / str(self._new_seed())
        make_folder(folder)
        for number, kind in enumerate(("png", "jpeg", "webp", "png", "jpeg")):
            path, data = folder / f"{number}.{kind}", BytesIO()
            Image.effect_noise((24, 24), 90).convert("RGB").save(data, kind)
            write_atomically(path, data.getvalue())
            if number > 1:
                os.utime(path, (1_770_000_000 + number, 1_770_000_000 + number))
            self.promises.add_theirs(path)
        flush_folder(folder)
        self.promises.note("files of another program")
        return list_sources(folder, self.folder).sources

    def _adopt(self, sources: list[SourceFile], tags: tuple[str, ...], cloud: bool) -> None:
        with closing(Catalog(self.folder)) as catalog:

            def told(ids: Sequence[UUID]) -> None:
                for entry in catalog.get_many([str(id) for id in ids]):
                    self.ids.append(self.promises.add_adopted(entry))
                self.promises.note(f"adopted {len(ids)}")

            home = OutputFolder(PictureFiles(self.folder), catalog)
            common = {"tags": tags, "owner_user_id": None, "cloud": cloud}
            adopter = Adopter(Adoption(home, common), told)
            report = adopter.adopt(sources, lambda done, total: None)
            assert len(report.adopted) == len(sources), report

    def tag(self) -> None:
        """Tag, rate, rate otherwise and untag."""
        with self.studio() as studio:
            first, second = self.ids[:2]
            self._open(first, "keeper", "reject", "harbour")
            studio.tag(first, "keeper", "harbour")
            self.promises.set_tags(first, keeper=True, harbour=True, reject=False)
            self.promises.note("tagged")
            for stars in (4, 2):
                ratings = [f"rating:{number}" for number in range(1, 6)]
                self._open(second, *ratings)
                studio.rate(second, stars)
                rated = {f"rating_{number}": number == stars for number in range(1, 6)}
                self.promises.set_tags(second, **rated)
                self.promises.note(f"rated {stars}")
            for id in (first, second):
                self.promises.open_tags(id, "harbour", "sea")
            self.promises.note("to be untagged")
            studio.untag([first, second], "harbour", "sea")
            for id in (first, second):
                self.promises.set_tags(id, harbour=False, sea=False)
            self.promises.note("untagged")

    def _open(self, id: str, *tags: str) -> None:
        self.promises.open_tags(id, *tags)
        self.promises.note(f"to change: {', '.join(tags)}")

    def include(self) -> None:
        """Let the private picture go to the cloud after all."""
        picture = self.promises.pictures[self.ids[2]]
        picture["states"] = ["off", "pending"]
        self.promises.note("to be included")
        with closing(Catalog(self.folder)) as catalog:
            Outbox(catalog).include([self.ids[2]])
        picture["states"] = ["pending"]
        self.promises.note("included")

    def queue(self) -> None:
        """Let pictures wait in the Panel, change their order, remove one."""
        before, number = self.promises.queue, self._new_seed()
        one, two, three, four = (f"{number} {name}" for name in ("one", "two", "three", "four"))
        with closing(Catalog(self.folder)) as catalog, closing(DrawingQueue(catalog)) as queue:
            self._open_queue("adding")
            queue.add([DrawingRequest(prompt=prompt) for prompt in (one, two, three)])
            self._close_queue(*before, one, two, three)
            self._open_queue("moving")
            queue.move(queue.items()[-1].id, -1)
            self._close_queue(*before, one, three, two)
            self.promises.queue = [*before, three, two]
            self._open_queue("removing")
            queue.remove(queue.items()[len(before)].id)
            self._close_queue(*before, three, two)
            self._open_queue("adding one more")
            queue.add([DrawingRequest(prompt=four, tags=("late",))])
            self._close_queue(*before, three, two, four)
        self.promises.note("panel closed")

    def _open_queue(self, what: str) -> None:
        self.promises.queue_closed = False
        self.promises.note(what)

    def _close_queue(self, *prompts: str) -> None:
        self.promises.queue, self.promises.queue_closed = [*prompts], True
        self.promises.note(f"queue: {', '.join(prompts)}")

    def edit(self) -> None:
        """Draw from another picture, which is kept beside the new one."""
        with self.studio() as studio:
            start = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
            picture = studio.generate(
                "a boat at night",
                seed=self._new_seed(),
                init_image=start,
                strength=0.9,
                **_SMALL,
            )
            self.ids.append(self.promises.add_picture(picture))
            self.promises.note("edited")

    def settle(self) -> None:
        """Open the catalog when the folder has been left alone for a while."""
        changed_s = self.folder.stat().st_mtime_ns / 1e9
        while time.time() - changed_s <= 2 * _SETTLED_S:
            time.sleep(_SETTLED_S)
        with closing(Catalog(self.folder)) as catalog:
            catalog.counts()
        self.promises.note("looked at")

    def elsewhere(self) -> None:
        """Name the file to draw, in folders that are not there yet."""
        target = self.root / "new" / f"folder {self._new_seed()}" / "boat.png"
        with self.studio() as studio:
            picture = studio.generate("a boat", seed=1, output=target, **_SMALL)
            self.promises.add_file(picture.path)
            self.promises.add_file(picture.sidecar_path)
            self.promises.note("drawn elsewhere")

    def at_once(self) -> None:
        """Tag a picture while others are written."""
        with self.studio() as studio:
            self._open(self.ids[1], "meanwhile")
            written = studio.keep_drawn([self._foreign(self._new_seed()) for _ in range(3)])
            apply_tag_change(studio.catalog(), self.ids[1:2], make_tag_change(["meanwhile"]))
            self.promises.set_tags(self.ids[1], meanwhile=True)
            self.promises.note("tagged meanwhile")
            self.ids += [self.promises.add_picture(one.result()) for one in written]
            self.promises.note("adopted meanwhile")

    def company(self) -> None:
        """Have the folder open elsewhere as well: who ends a session writes no checkpoint."""
        other = Catalog(self.folder)
        other.counts()
        self._others.append(other)

    def import_tags(self) -> None:
        """Bring a sidecar that another program changed, and let the catalog be rebuilt."""
        id = self.ids[1]
        self._open(id, "imported")
        path = self.folder / f"{self.promises.pictures[id]['name']}.json"
        sidecar = json.loads(path.read_text())
        sidecar["tags"].append("imported")
        write_atomically(path, json.dumps(sidecar).encode())
        flush_folder(self.folder)
        reindex(self.folder)
        self.promises.set_tags(id, queued=False, imported=True)
        self.promises.note("imported")

    def reindex(self) -> None:
        """Remove the files of a picture, and let the catalog be rebuilt."""
        id = self.ids.pop()
        picture = self.folder / self.promises.pictures.pop(id)["name"]
        self.promises.leaving.append(id)
        self.promises.note("files to be removed")
        picture.with_name(f"{picture.name}.json").unlink()
        picture.unlink()
        report = reindex(self.folder)
        assert report.removed == 1, report
        self.promises.gone.append(id)
        self.promises.note("reindexed")

    def delete(self) -> None:
        """Delete two pictures: one that the cloud may have, and the last one."""
        self._deleted = [self.ids[0], self.ids[-1]]
        self._move(self._deleted, self.promises.pictures, "to be deleted")
        with self.studio() as studio:
            assert studio.delete(self._deleted) == 2
            self._arrive(self.promises.trashed, "deleted")

    def restore(self) -> None:
        """Bring these two back."""
        self._move(self._deleted, self.promises.trashed, "to be restored")
        with self.studio() as studio:
            assert studio.restore(self._deleted) == 2
            for picture in self.promises.moving.values():
                picture["states"] = ["off" if picture["states"] == ["off"] else "pending"]
            self._arrive(self.promises.pictures, "restored")

    def _move(self, ids: Sequence[str], pictures: dict[str, Any], what: str) -> None:
        self.promises.moving = {id: pictures.pop(id) for id in ids}
        self.promises.note(what)

    def _arrive(self, pictures: dict[str, Any], what: str) -> None:
        pictures.update(self.promises.moving)
        self.promises.moving = {}
        self.promises.note(what)

    def amend(self) -> None:
        """Change a field of a record."""
        id = self.ids[1]
        self.promises.pictures[id].pop("storage_path", None)
        self.promises.note("to be amended")
        with closing(Catalog(self.folder)) as catalog:
            entry = catalog.get(id)
            assert entry
            catalog.amend(entry, storage_path="2026-05-11/elsewhere.png")
        self.promises.pictures[id]["storage_path"] = "2026-05-11/elsewhere.png"
        self.promises.note("amended")

    def sync(self) -> None:
        """Be told by the cloud that it has two pictures, and later their tags."""
        ids = self.ids[:2]
        with closing(Catalog(self.folder)) as catalog, Outbox(catalog).lease() as lease:
            entries = lease.claim(ids)
            for id in ids:
                self.promises.pictures[id].pop("storage_path", None)
            self.promises.note("to be assigned")
            for entry in entries:
                id = str(entry.record.id)
                lease.assign(entry, _OWNER, f"2026-05-11/{id}.png")
                self.promises.pictures[id]["storage_path"] = f"2026-05-11/{id}.png"
                self.promises.note("assigned")
            for id in ids:
                self.promises.pictures[id]["states"] = ["pending", "synced"]
            self.promises.note("uploaded")
            lease.acknowledge(entries)
            self.promises.note("acknowledged")
            queued = load_queued_tags(catalog)
            sent = {id: queued.get(id, []) for id in ids}
            for id in ids:
                self.promises.pictures[id]["queued"] = {}
            self.promises.note("tags are in the cloud")
            tags = {str(entry.record.id): entry.record.tags for entry in catalog.get_many(ids)}
            merge_cloud_tags(catalog, tags, sent)
            remove_sent_tags(catalog, [(id, mark) for id in ids for mark in sent[id]])
            self.promises.note("tags acknowledged")

    def tag_synced(self) -> None:
        """Tag a picture that is in the cloud."""
        with self.studio() as studio:
            self._open(self.ids[0], "late")
            studio.tag(self.ids[0], "late")
            self.promises.set_tags(self.ids[0], late=True)
            self.promises.note("tagged a synced one")

    def notebook(self) -> None:
        """Draw a picture and keep the notebook that did, as a batch does."""
        with self.studio() as studio, BatchFolder(self.batch).locked():
            seed = self._new_seed()
            picture = studio.generate("a pier", seed=seed, **_SMALL)
            id = self.promises.add_picture(picture)
            self.ids.append(id)
            text = _executed_text(id, picture.path)
            job = Job(f"pier-{seed}", "a key", {})
            thumbnail = base64.b64encode(encode_webp(picture.image, 16)).decode()
            executed = ExecutedNotebook(text, thumbnails={id: thumbnail})
            BatchFolder(self.batch).keep(job, executed)
            self.promises.add_file(self.batch / f"{job.name}.ipynb")
            self.promises.note("notebook kept")


def _executed_text(id: str, path: Path) -> str:
    """Return the text of a notebook that ran and records one picture."""
    scrap = {"name": SCRAP_NAME, "data": [{"id": id, "path": str(path)}]}
    cell = {"cell_type": "code", "outputs": [{"data": {SCRAP_MIME: scrap}}]}
    outcome = {"job": "pier", "key": "a key", "status": "done", "error": None}
    metadata = {"imagen": outcome, "papermill": {"duration": 1.0}}
    return json.dumps({"cells": [cell], "metadata": metadata})


def main(arguments: Sequence[str]) -> None:
    """Do the acts in order."""
    root, marks, mutation, *acts = arguments
    mending._SETTLED_S = _SETTLED_S
    adopting._BATCH = 2  # so that some of a folder are adopted, and others are not yet
    shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]  # its data is in no trace
    mutate(mutation)
    scenario = Scenario(Path(root), Path(marks))
    for act in acts:
        getattr(scenario, act)()


if __name__ == "__main__":
    main(sys.argv[1:])
