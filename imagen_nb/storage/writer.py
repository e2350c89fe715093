"""Writes pictures on a thread: their files first, then their catalog entries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from imagen_nb._version import __version__
from imagen_nb.backends import Backend, Drawn, FinishedFile, made_with
from imagen_nb.errors import Cancelled
from imagen_nb.request.request import Request
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.catalog_schema import CatalogBusyError
from imagen_nb.storage.cost import cost_usd
from imagen_nb.storage.finished import keep_finished
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.input_files import inputs_for_record, save_inputs
from imagen_nb.storage.output import (
    PictureDeletedError,
    SavedPicture,
    load_record,
)
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import apply_tag_change, make_tag_change
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagen_nb.config.groups import CostSettings

    # Of a picture that somebody else drew: what makes the image, and its record.
    ForeignPicture = tuple[Callable[[], Image], Record]

    # Called with the catalog and the ids of the pictures that were written.
    Announce = Callable[[Catalog, Sequence[UUID]], None]

MAX_UNWRITTEN_PICTURES = 8  # drawn and in memory: bounds what a sweep needs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordContext:
    """What the records of the pictures of one call have in common.

    `owner` is the configured user of the cloud; `cloud` says whether the pictures go
    there.
    """

    backend: Backend
    owner: UUID | None
    cloud: bool
    cost: CostSettings


class Writer:
    """A thread that writes pictures, in the order in which it is given them.

    Invariant: what it has taken is written, or has failed, before `close` returns;
    after that it takes nothing. A forked child has a thread of its own, and leaves to
    its parent what the parent had taken.
    """

    def __init__(self) -> None:
        """Start no thread yet: the first picture does."""
        self._closed = False
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Make a new thread and lock: in a forked child, the old ones are of no use."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="imagen-writer")
        self._unwritten: list[Future[Picture]] = []  # taken over; may be written by now
        self._lock = threading.Lock()

    def save(
        self, drawn: Drawn, folder: OutputFolder, context: RecordContext
    ) -> Future[Picture]:
        """Write what a backend drew. Raises `Cancelled` if the writer is closed."""
        if drawn.file:
            inputs = drawn.request.inputs
            return self._submit(keep_finished, drawn.file, folder, inputs)
        cost = cost_usd(context.cost, context.backend, drawn)  # power is measured now
        return self._submit(_save_drawn, drawn, folder, context, cost)

    def keep_drawn(
        self,
        pictures: Sequence[ForeignPicture],
        folder: OutputFolder,
        common: Mapping[str, Any],
        announce: Announce,
    ) -> list[Future[Picture]]:
        """Write pictures that somebody else drew: all of them, or none if it is closed.

        Waits while more than `MAX_UNWRITTEN_PICTURES` are unwritten, which slows a
        caller that draws faster than the disk writes.

        Args:
            pictures: for each, what makes the image, and its record.
            folder: where they are written.
            common: fields to set in every record: tags, owner_user_id, cloud.
            announce: called on the writer's thread with the catalog and the ids of
                those that were written.

        Returns:
            A future for each picture, in order.

        Raises:
            Cancelled: if the writer is closed.
        """
        completed = [
            (make_image, record.model_copy(update=dict(common)))
            for make_image, record in pictures
        ]
        with self._lock:
            self.require_open()
            written = [
                self._submit(_save_foreign, make_image, record, folder)
                for make_image, record in completed
            ]
            self._submit(_announce_saved, written, folder.catalog, announce)
            earlier = [one for one in self._unwritten if not one.done()]
            self._unwritten = [*earlier, *written]
            too_many = self._unwritten[:-MAX_UNWRITTEN_PICTURES]
        wait(too_many)
        return written

    def keep_finished(
        self, file: FinishedFile, folder: OutputFolder
    ) -> Future[Picture]:
        """Write a picture that another machine finished, as it is.

        Raises `Cancelled` if the writer is closed.
        """
        return self._submit(keep_finished, file, folder)

    def wait(self) -> None:
        """Wait until all pictures that were taken over are written."""
        wait(self._unwritten)

    def close(self) -> None:
        """Write what is left to write, and end the thread."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True)

    def require_open(self) -> None:
        """Raise `Cancelled` if the writer is closed."""
        if self._closed:
            raise Cancelled("the session was closed while it drew")

    def _submit(self, work: Callable[..., T], *values: Any) -> Future[T]:
        self.require_open()
        try:
            return self._pool.submit(work, *values)
        except RuntimeError:  # closed meanwhile, or the interpreter ends
            raise Cancelled("the session was closed while it drew") from None


def find_drawn_today(
    requests: Sequence[Request], folder: OutputFolder, context: RecordContext
) -> dict[int, Picture]:
    """Return the pictures of today that were drawn from these very requests.

    The keys are positions in `requests`; requests without such a picture are left out.
    """
    today = datetime.now().astimezone().date()
    pictures: dict[int, Picture] = {}
    for position, request in enumerate(requests):
        record = _record_of_request(request, context)
        saved = folder.files.find_drawn(record, today, folder.stem)
        if saved:
            with suppress(PictureDeletedError):  # meanwhile: it is drawn again
                pictures[position] = _enter_in_catalog(
                    saved, request.tags, folder, context.cloud
                )
    return pictures


def _save_drawn(
    drawn: Drawn, folder: OutputFolder, context: RecordContext, cost: float | None
) -> Picture:
    """Write a picture with the record of the very request that was drawn."""
    details = dict(drawn.details)
    now = datetime.now().astimezone()
    details["versions"] = {"imagen_nb": __version__, **details.get("versions", {})}
    measured = {"latency_ms": drawn.latency_ms, "created_at": now, **details}
    record = _record_of_request(
        drawn.request, context, cost_usd_estimate=cost, **measured
    )
    # Inputs first: a record may only name files that are there.
    save_inputs(folder.files.folder, drawn.request.inputs)
    while True:
        saved = folder.files.save(drawn.image, record, now.date(), folder.stem)
        with suppress(PictureDeletedError):  # the same one, by another process
            return _enter_in_catalog(saved, drawn.request.tags, folder, context.cloud)


def _save_foreign(
    make_image: Callable[[], Image], record: Record, folder: OutputFolder
) -> Picture:
    day = record.created_at.astimezone().date()
    versions = {"imagen_nb": __version__, **record.versions}
    complete = record.model_copy(update={"versions": versions})
    image = make_image()
    while True:
        saved = folder.files.save(image, complete, day)
        with suppress(PictureDeletedError):
            return _enter_in_catalog(saved, record.tags, folder, record.cloud)


def _announce_saved(
    written: Sequence[Future[Picture]], catalog: Catalog, announce: Announce
) -> None:
    ids = [one.result().record.id for one in written if not one.exception()]
    if ids:
        announce(catalog, ids)


def _record_of_request(
    request: Request, context: RecordContext, **measured: Any
) -> Record:
    """Make a record of what is known before drawing, plus what was `measured` by it.

    What is known before decides the pixels: `find_drawn_today` compares by it.
    """
    backend = context.backend
    shared = Record.model_fields.keys() & {each.name for each in fields(request)}
    shared -= {"scheduler"}  # in a record, it is the class that drew
    values = {name: getattr(request, name) for name in shared}
    values |= {
        "true_cfg": request.true_cfg if request.true_cfg > 1 else None,
        "backend": backend.name,
        "model": backend.model,
        "scheduler_name": request.scheduler,
        "inputs": inputs_for_record(request.inputs),
        "cloud": context.cloud,
        "owner_user_id": context.owner,
    }
    values |= {"id": request.job} if request.job else {}
    return Record(**values, **made_with(backend) | measured)


def _enter_in_catalog(
    saved: SavedPicture, tags: Sequence[str], folder: OutputFolder, cloud: bool
) -> Picture:
    """Enter the picture; one that was there already gets the tags that it lacks."""
    catalog = folder.catalog
    state = "pending" if cloud else "off"
    try:
        if saved.reused:
            saved = catalog.add_again(saved, state)
        else:
            catalog.add(saved, state)
    except CatalogBusyError as error:
        print_notice(f"{saved.path.name} is kept, and entered later: {error}")
        return Picture(saved.record, saved.path, saved.sidecar_path, catalog)
    if saved.reused and set(tags) - set(saved.record.tags):
        apply_tag_change(catalog, [str(saved.record.id)], make_tag_change(add=tags))
        saved = replace(saved, record=load_record(saved.path))
    return Picture(saved.record, saved.path, saved.sidecar_path, catalog)
