"""Opens what a power loss left with the product, and says what is not as promised."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from imagen_nb.batch.results.executed import glued_pictures
from imagen_nb.errors import ImagenError
from imagen_nb.frames.query import make_query
from imagen_nb.frames.schema import history_frame
from imagen_nb.frames.sources.local import CatalogSource
from imagen_nb.storage.adoption import Adoption
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.names import PICTURE_SUFFIXES, is_sidecar
from imagen_nb.storage.outbox import Outbox
from imagen_nb.storage.output import PictureFiles, load_record
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.tags import apply_tag_change, load_queued_tags, make_tag_change
from imagen_nb.storage.trash import TrashedPicture, trashed_pictures
from imagen_nb.studio.adopting import Adopter, stat_source
from imagen_nb.system.atomic import is_temporary
from tests.powerloss.states import Promise

_DAY = date(2026, 5, 11)
_PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Found:
    """What the product finds: rows of the history by id, queued tags, the queue, the trash."""

    folder: Path
    rows: dict[str, dict[str, Any]]
    queued: dict[str, dict[str, bool]]
    queue: list[str]
    trashed: dict[str, TrashedPicture]


def problems_of(root: Path, promises: Mapping[int, Promise]) -> list[tuple[int, str]]:
    """Return what is wrong in a folder after a power loss, a line each.

    `promises`: by number; each may have been the last one before it. The number in the
    result is that of the promise that is broken, or of the last one.
    """
    folder, last = root / _PICTURES, max(promises)
    try:
        problems = [(last, one) for one in _half_files(root)]
        with closing(Catalog(folder)) as catalog:
            found = _look(folder)
            wrong = [*_doubled(found), *_orphaned_notebooks(root, found)]
            problems += [*_unkept(root, promises, found), *((last, one) for one in wrong)]
            wrong = [*_goes_on(catalog, promises), *_adopts_the_rest(root, promises[last])]
            found = _look(folder)
            wrong += _doubled(found)
            problems += [(last, f"going on: {one}") for one in wrong]
            for number, one in _unkept(root, promises, found):
                problems.append((number, f"after going on: {one}"))
    except Exception as error:  # whatever it is, this state is to be named
        return [(last, f"the product cannot open it: {type(error).__name__}: {error}")]
    return problems


def _half_files(root: Path) -> Iterator[str]:
    """Pictures, sidecars, inputs and notebooks that are not whole, as files."""
    for path in sorted(root.rglob("*")):
        if path.is_dir() or is_temporary(path.name) or ".imagen" in path.parts:
            continue
        data = path.read_bytes()
        if path.suffix in PICTURE_SUFFIXES and not _is_whole(data):
            yield f"half a picture: {path.name}, {len(data)} bytes"
        if path.parent.name == "inputs" and hashlib.sha256(data).hexdigest() != path.stem:
            yield f"half an input: {path.name}, {len(data)} bytes"
        if path.suffix in (".json", ".ipynb") and not _is_json(data):
            yield f"half a file: {path.name}, {len(data)} bytes"
        if is_sidecar(path.name):
            yield from _unlike_its_picture(path)


@cache
def _is_whole(data: bytes) -> bool:
    try:
        with Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _unlike_its_picture(sidecar: Path) -> Iterator[str]:
    png = sidecar.with_suffix("")
    if png.exists():
        recorded = load_record(sidecar).sha256
        if recorded != hashlib.sha256(png.read_bytes()).hexdigest():
            yield f"{sidecar.name} has another sha256 than its picture"


def _look(folder: Path) -> Found:
    """Look as a user does: at the history, then at the queues."""
    with closing(Catalog(folder)) as catalog:
        frame = history_frame(CatalogSource([catalog]).load(make_query()))
        rows: dict[str, dict[str, Any]] = {
            str(row["id"]): {str(name): value for name, value in row.items()}
            for row in frame.to_dict("records")
        }
        if len(rows) != len(frame):
            raise OSError("an id has several rows")
        queued = {
            id: {mark.tag: mark.present for mark in marks}
            for id, marks in load_queued_tags(catalog).items()
        }
        with closing(DrawingQueue(catalog)) as queue:
            waiting = [one.request.prompt for one in queue.items()]
        trashed = {one.id: one for one in trashed_pictures(catalog)}
    return Found(folder, rows, queued, waiting, trashed)


def _doubled(found: Found) -> Iterator[str]:
    paths = Counter(row["local_path"] for row in found.rows.values())
    records = [_record_of(path) for path in found.folder.glob("*.json") if is_sidecar(path.name)]
    ids = Counter(str(record.id) for record in records if record)
    drawn = Counter(record.decides() for record in records if record)
    for what, counts in (("path", paths), ("id", ids), ("picture", drawn)):
        yield from (f"{what} {one} is there twice" for one, n in counts.items() if n > 1)
    for prompt, times in Counter(found.queue).items():
        if times > 1:
            yield f"{prompt!r} waits {times} times to be drawn"


def _record_of(sidecar: Path) -> Record | None:
    try:
        return Record.from_sidecar(sidecar.read_text(encoding="utf-8"))
    except (ImagenError, UnicodeDecodeError):
        return None  # `_half_files` says so


def _orphaned_notebooks(root: Path, found: Found) -> Iterator[str]:
    """Executed notebooks that are there without their pictures."""
    for path in root.glob("batch/*.ipynb"):
        text = path.read_bytes()
        if not _is_json(text):
            continue
        for id, picture in glued_pictures(json.loads(text)):
            if id not in found.rows or not (found.folder / Path(picture).name).exists():
                yield f"{path.name} is kept and its picture {Path(picture).name} is not"


def _unkept(root: Path, promises: Mapping[int, Promise], found: Found) -> Iterator[tuple[int, str]]:
    for number, promise in promises.items():
        for problem in _broken(root, promise, found):
            yield number, f"{problem} (promised: {promise['what']})"


def _broken(root: Path, promise: Promise, found: Found) -> Iterator[str]:
    if not promise:
        return
    for id, picture in promise["pictures"].items():
        yield from _lost_of_picture(id, picture, found)
    for name, (digest, _) in promise["theirs"].items():
        if _sha256_if_there(root / name) != digest:
            yield f"the original {name} is not as it was"
    for name, digest in promise["files"].items():
        path = root / name
        if not path.is_file() or _sha256(path) != digest:
            yield f"the file {name} is lost"
    waiting = [prompt for prompt in found.queue if prompt in promise["queue"]]
    if set(waiting) != set(promise["queue"]):
        yield f"the queue has lost {sorted(set(promise['queue']) - set(waiting))}"
    elif promise["queue_closed"] and found.queue != promise["queue"]:
        yield f"the queue is {found.queue} instead of {promise['queue']}"
    for id, picture in promise["trashed"].items():
        yield from _lost_of_trashed(id, picture, found)
    for id, picture in promise["moving"].items():
        if id in found.trashed:
            yield from _lost_of_trashed(id, picture, found)
        else:
            states = {"off"} if picture["states"] == ["off"] else {*picture["states"], "pending"}
            yield from _lost_of_picture(id, picture | {"states": states}, found)
    for id in promise["gone"]:
        if id in found.rows and not Path(found.rows[id]["local_path"]).exists():
            yield f"the removed picture {id} is back in the history, without its file"


def _lost_of_trashed(id: str, picture: dict[str, Any], found: Found) -> Iterator[str]:
    name, trashed = picture["name"], found.trashed.get(id)
    if trashed is None or not trashed.path.is_file():
        yield f"the deleted {name} cannot be restored"
    elif _sha256(trashed.path) != picture["sha256"] or trashed.record is None:
        yield f"the deleted {name} is half in the trash"
    if id in found.rows:
        yield f"the deleted {name} is in the history"
    if any((found.folder / one).exists() for one in (name, f"{name}.json")):
        yield f"of the deleted {name} something is in the folder"


def _lost_of_picture(id: str, picture: dict[str, Any], found: Found) -> Iterator[str]:
    name = picture["name"]
    path = found.folder / name
    if not path.is_file() or _sha256(path) != picture["sha256"]:
        yield f"the picture {name} is lost"
        return
    if not path.with_name(f"{name}.json").is_file():
        yield f"the sidecar of {name} is lost"
    record, row = load_record(path), found.rows.get(id)
    if str(record.id) != id:
        yield f"{name} has the id {record.id} instead of {id}"
    if row is None:
        yield f"{name} is not in the history"
        return
    if row["local_path"] != str(path):
        yield f"the history has {name} at {row['local_path']}"
    if row["cloud"] not in picture["states"]:
        yield f"the copy of {name} is {row['cloud']!r}, not one of {picture['states']}"
    for tag, present in picture["tags"].items():
        for where, tags in (("sidecar", record.tags), ("history", row["tags"])):
            if (tag in tags) is not present:
                yield f"the tag {tag} of {name} is {not present} in the {where}"
    for tag, present in picture["queued"].items():
        if found.queued.get(id, {}).get(tag) is not present:
            yield f"the change {tag} {present} of {name} no longer waits for the cloud"
    promised = picture.get("storage_path")
    for where, storage_path in (
        ("sidecar", record.storage_path),
        ("history", row["storage_path"]),
    ):
        if promised and storage_path != promised:
            yield f"the {where} of {name} has the path {storage_path}, not {promised}"


def _adopts_the_rest(root: Path, promise: Promise) -> Iterator[str]:
    """Adopt the same files again: each is there once then, and they are as they were.

    Without those that were deleted: they are known by their paths, which are others here.
    """
    theirs, folder = promise.get("theirs", {}), root / _PICTURES
    if not theirs:
        return
    for name, (_, modified_ns) in theirs.items():
        os.utime(root / name, ns=(modified_ns, modified_ns))  # which is not recorded
    with closing(Catalog(folder)) as catalog:
        deleted = {_sha256(one.path) for one in trashed_pictures(catalog)}
        theirs = {n: (digest, ns) for n, (digest, ns) in theirs.items() if digest not in deleted}
        home = OutputFolder(PictureFiles(folder), catalog)
        adopter = Adopter(Adoption(home, {}), lambda ids: None)
        sources = [stat_source(root / name) for name in theirs]
        report = adopter.adopt([one for one in sources if one], lambda done, total: None)
    if report.refused:
        yield f"the originals cannot be adopted: {report.refused}"
    paths = [path for path in folder.iterdir() if path.suffix in PICTURE_SUFFIXES]
    there = Counter(_sha256(path) for path in paths if path.with_name(f"{path.name}.json").exists())
    anywhere = Counter(map(_sha256, paths))
    for name, (digest, _) in theirs.items():
        if _sha256_if_there(root / name) != digest:
            yield f"adopting changed the original {name}"
        if (there[digest], anywhere[digest]) != (1, 1):
            yield f"{name} is there {there[digest]} times, and {anywhere[digest]} in all"


def _sha256_if_there(path: Path) -> str | None:
    return _sha256(path) if path.is_file() else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _goes_on(catalog: Catalog, promises: Mapping[int, Promise]) -> Iterator[str]:
    """Draw, tag, queue, claim and reindex as if nothing had been."""
    files = PictureFiles(catalog.folder)
    image = Image.new("RGB", (16, 16), (1, 2, 3))
    record = Record(prompt="afterwards", backend="b", seed=1, steps=1, width=16, height=16)
    catalog.add(files.save(image, record, _DAY), "pending")
    id = str(record.id)
    apply_tag_change(catalog, [id], make_tag_change(add=["afterwards"]))
    entry = catalog.get(id)
    kept = [load_record(entry.path).tags, entry.record.tags] if entry else []
    if kept != [("afterwards",)] * 2:
        yield "a picture drawn afterwards is not kept"
    with closing(DrawingQueue(catalog)) as queue:
        queue.add([DrawingRequest(prompt="afterwards")])
        last = queue.items()[-1]
        if last.request.prompt != "afterwards":
            yield "what is queued afterwards is not the last in the queue"
        queue.remove(last.id)
    outbox = Outbox(catalog)
    waiting = outbox.waiting()
    with outbox.lease() as lease:
        claimed = {str(one.record.id) for one in lease.claim(waiting)}
        if claimed != set(waiting):
            yield f"{len(waiting) - len(claimed)} pictures cannot be sent: they are held"
        lease.release(lease.claim(waiting))
    report = reindex(catalog.folder)
    leaving = {id for one in promises.values() for id in one.get("leaving", ())}
    if report.removed > len(leaving):
        yield f"reindex removed {report.removed} rows: they had no pictures"
    # A file that was being adopted may have its name and no sidecar: adopting again completes it.
    theirs = {digest for one in promises.values() for digest, _ in one.get("theirs", {}).values()}
    foreign = [path for path in report.foreign if _sha256(path) not in theirs]
    if report.torn or foreign or report.skipped:
        yield f"reindex found torn or foreign files: {report}"
