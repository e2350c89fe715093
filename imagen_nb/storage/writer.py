"""Keeping what was drawn: files first, the catalog after, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from imagen_nb._version import __version__
from imagen_nb.backends import Backend, Drawn, made_with
from imagen_nb.errors import Cancelled
from imagen_nb.request.request import Request
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.cost import cost_usd
from imagen_nb.storage.folders import OutputFolder
from imagen_nb.storage.input_files import inputs_for_record, save_inputs
from imagen_nb.storage.output import SavedPicture, load_record
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import apply_tag_change, make_tag_change
from imagen_nb.system.faults import reach

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagen_nb.config.settings import CostSettings

    ForeignPicture = tuple[
        Callable[[], Image], Record
    ]  # the picture may be made when it is written

MAX_UNWRITTEN_PICTURES = (
    8  # pictures drawn and not yet written: bounds the memory of a sweep
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordContext:
    """What the records of one call have in common."""

    backend: Backend
    owner: UUID | None
    cloud: bool
    cost: CostSettings


class Writer:
    """A thread that keeps pictures, in the order in which it is given them.

    Invariant: what it has taken is kept, or has failed, before `close` returns; from then on it
    takes nothing.
    """

    def __init__(self) -> None:
        """The thread starts with the first picture."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="imagen-writer")
        self._adopted: list[Future[Picture]] = []  # not all of them written yet
        self._closed = False
        self._lock = threading.Lock()

    def drawn(
        self, drawn: Drawn, home: OutputFolder, facts: RecordContext
    ) -> Future[Picture]:
        """Keep what a backend drew. Raises `Cancelled` when it is closed."""
        cost = cost_usd(facts.cost, facts.backend, drawn)  # now: it may be measured
        return self._submit(_save_drawn, drawn, home, facts, cost)

    def adopt(
        self,
        drawn: Sequence[ForeignPicture],
        home: OutputFolder,
        common: Mapping[str, Any],
        announce: Callable[[Catalog, Sequence[UUID]], None],
    ) -> list[Future[Picture]]:
        """Keep what was drawn elsewhere, all of it or none.

        Whoever draws faster than the disk writes is slowed to its pace.

        Args:
            drawn: what makes each image, and its record.
            home: where they go.
            common: fields that all the records get: tags, owner_user_id, cloud.
            announce: hears, on the writer's thread, of the catalog and the ids of those kept.

        Raises:
            Cancelled: when it is closed.
        """
        labelled = [
            (show, record.model_copy(update=dict(common))) for show, record in drawn
        ]
        with self._lock:
            self.check()
            writing = [
                self._submit(_save_foreign, show, record, home)
                for show, record in labelled
            ]
            self._submit(_announce_saved, writing, home.catalog, announce)
            self._adopted = [
                *(one for one in self._adopted if not one.done()),
                *writing,
            ]
            early = self._adopted[:-MAX_UNWRITTEN_PICTURES]
        wait(early)
        return writing

    def wait(self) -> None:
        """Until all is written that was adopted."""
        wait(self._adopted)

    def close(self) -> None:
        """Write what is left to write, and end."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True)

    def check(self) -> None:
        """Raises `Cancelled` when it takes nothing any more."""
        if self._closed:
            raise Cancelled("the session was closed while it drew")

    def _submit(self, work: Callable[..., T], *values: Any) -> Future[T]:
        self.check()
        try:
            return self._pool.submit(work, *values)
        except RuntimeError:  # closed by now, or the interpreter ends
            raise Cancelled("the session was closed while it drew") from None


def find_drawn_today(
    requests: Sequence[Request], home: OutputFolder, facts: RecordContext
) -> dict[int, Picture]:
    """Those of the requests, by place, whose pictures are there already."""
    today = datetime.now().astimezone().date()
    kept = [
        home.output.found(_record_of_request(request, facts), today, home.name)
        for request in requests
    ]
    return {
        place: _enter_in_catalog(one, requests[place].tags, home, facts.cloud)
        for place, one in enumerate(kept)
        if one
    }


def _save_drawn(
    drawn: Drawn, home: OutputFolder, facts: RecordContext, cost: float | None
) -> Picture:
    """The record is made from the very request that was drawn."""
    details = dict(drawn.details)
    now = datetime.now().astimezone()
    versions = {"imagen_nb": __version__, **details.pop("versions", {})}
    more = {
        "latency_ms": drawn.latency_ms,
        "created_at": now,
        "versions": versions,
        **details,
    }
    record = _record_of_request(drawn.request, facts, cost_usd_estimate=cost, **more)
    save_inputs(
        home.output.folder, drawn.request.inputs
    )  # first: a record names what is there
    kept = home.output.keep(drawn.image, record, now.date(), home.name)
    return _enter_in_catalog(kept, drawn.request.tags, home, facts.cloud)


def _save_foreign(
    show: Callable[[], Image], record: Record, home: OutputFolder
) -> Picture:
    day = record.created_at.astimezone().date()
    versions = {"imagen_nb": __version__, **record.versions}
    kept = home.output.keep(
        show(), record.model_copy(update={"versions": versions}), day
    )
    return _enter_in_catalog(kept, record.tags, home, record.cloud)


def _announce_saved(
    written: Sequence[Future[Picture]],
    catalog: Catalog,
    announce: Callable[[Catalog, Sequence[UUID]], None],
) -> None:
    if done := [one.result().record.id for one in written if not one.exception()]:
        announce(catalog, done)


def _record_of_request(request: Request, facts: RecordContext, **more: Any) -> Record:
    """What is known before drawing, which all pixels follow from, and `more` that is afterwards."""
    backend = facts.backend
    names = Record.model_fields.keys() & {each.name for each in fields(request)}
    said = {name: getattr(request, name) for name in names - {"scheduler"}}
    return Record(
        **said | {"true_cfg": request.true_cfg if request.true_cfg > 1 else None},
        backend=backend.name, model=backend.model, scheduler_name=request.scheduler,
        inputs=inputs_for_record(request.inputs), cloud=facts.cloud, owner_user_id=facts.owner,
        **made_with(backend) | more,
    )  # fmt: skip


def _enter_in_catalog(
    kept: SavedPicture, tags: Sequence[str], home: OutputFolder, cloud: bool
) -> Picture:
    home.catalog.add(kept, "pending" if cloud else "off")
    reach("after-catalog")
    if kept.reused and set(tags) - set(kept.record.tags):
        apply_tag_change(home.catalog, [str(kept.record.id)], make_tag_change(add=tags))
        kept = replace(kept, record=load_record(kept.path))
    return Picture(kept.record, kept.path, kept.sidecar_path, home.catalog)
