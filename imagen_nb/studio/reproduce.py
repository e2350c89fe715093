"""Drawing a picture again: the same request in the same place of a batch, and what differs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import (
    Availability,
    Backend,
    Drawn,
    Progress,
    Step,
    backend_names,
    made_with,
    may_differ,
)
from imagen_nb.backends.flux.loras import as_recorded
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.picture_cache import Wanted, fetch
from imagen_nb.errors import BackendError, CloudError, StorageError
from imagen_nb.request.options import EXTRAS
from imagen_nb.request.request import Request
from imagen_nb.storage.record import Record
from imagen_nb.studio.lookup import Original

if TYPE_CHECKING:
    from PIL.Image import Image

_OF_THE_MODEL = {  # arguments, and what of a record they are
    "steps": "steps",
    "guidance": "guidance",
    "max_sequence_length": "max_sequence_length",
    "strength": "strength",
    "negative_prompt": "negative_prompt",
    "true_cfg": "true_cfg",
    "scheduler": "scheduler_name",
}
_ALWAYS = ("prompt", "seed", "width", "height")
_SAME = (  # or the bits may be others
    "model", "device", "threads", "dtype", "scheduler", "batch_size", "memory_plan"
)  # fmt: skip
_OF_ONE_DRAWING = {"prediction"}  # versions that name a drawing, not what drew
MOST = 64  # pictures of a batch


@dataclass(slots=True)
class Alike:
    """A backend that draws each request as it was drawn: in a batch of that size, at its place.

    The batch is filled with the same request: what else was in it does not change its pixels, but
    its place does where several threads of a CPU share the work, and so does their number.
    `drawn_with` tells, afterwards, how it was drawn.
    """

    inner: Backend
    record: Record
    drawn_with: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.model = self.inner.name, self.inner.model
        self.defaults, self.limits = self.inner.defaults, self.inner.limits
        self.made_with = made_with(self.inner)

    name: str = field(init=False)
    model: str = field(init=False)
    defaults: Any = field(init=False)
    limits: Any = field(init=False)
    made_with: dict[str, Any] = field(init=False)

    def availability(self) -> Availability:
        """As the backend's own."""
        return self.inner.availability()

    def cost_usd(self, request: Request) -> float:
        """As the backend's own."""
        return self.inner.cost_usd(request)

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw each request in a batch of its like."""
        listener = self._only(progress) if progress else None
        for request in requests:
            with threads(self.record.threads):
                drawn = self._one_of(self.inner.draw([request] * self._size, listener, cancel))
            self.drawn_with = {**drawn.details, "model": self.model}
            yield drawn

    @property
    def _size(self) -> int:
        """What a record says is not to be trusted with the memory of the machine."""
        size = self.record.batch_size
        return size if 0 <= self.record.batch_index < size <= MOST else 1

    def _one_of(self, batch: Iterator[Drawn]) -> Drawn:
        """The one at the place; the first where no such batch is drawn: then none is alike."""
        for drawn in batch:
            like = drawn.details.get("batch_size", 1) == self._size > 1
            if not like or drawn.details["batch_index"] == self.record.batch_index:
                return drawn
        raise BackendError(f"{self.name} drew nothing")

    def _only(self, progress: Progress) -> Progress:
        """One picture is drawn, as far as anybody sees."""

        def listen(step: Step) -> None:
            show = step.preview
            mine = (lambda place: show(step.indices.start)) if show else None
            progress(replace(step, indices=range(1), total=1, preview=mine))

        return listen


def wanted(record: Record, given: Mapping[str, Any], same_model: bool) -> dict[str, Any]:
    """The arguments of `Studio.generate` for this picture, those `given` on top.

    With another model only what means the same to every model is taken.
    """
    values = {name: getattr(record, name) for name in _ALWAYS}
    if same_model:
        values |= {name: getattr(record, field) for name, field in _OF_THE_MODEL.items()}
    return values | {name: value for name, value in given.items() if value is not None}


def as_said(record: Record) -> dict[str, Any]:
    """What else of the request a record tells, without its images; see `request.options`."""
    return {name: getattr(record, _OF_THE_MODEL[name]) for name in EXTRAS if name in _OF_THE_MODEL}


def options_of(
    record: Record, configured: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """How the backend was made: those options `given` here, as recorded, or as configured.

    Raises `BackendError` when a LoRA is not here, or not as it was.
    """
    made = {**record.options, **given}
    if "loras" not in given and (record.loras or "loras" in configured):
        made["loras"] = as_recorded(record.loras) or None
    if record.backend == "flux" and not (made.get("model") or configured.get("model")):
        made["model"] = record.model
    return made


def here(name: str) -> str:
    """The name of a record's backend. Raises `BackendError` when there is none of that name."""
    if name not in backend_names():
        raise BackendError(
            f"the picture was drawn with the backend {name}, which is not installed: install it, or"
            " draw like it with another one: generate(like=…, backend=…)"
        )
    return name


def differences(record: Record, here: Mapping[str, Any]) -> tuple[str, ...]:
    """How the picture was drawn, and how it was now, where that is not the same."""
    now = {**here, "versions": here.get("versions", {})}
    pairs = [(name, getattr(record, name), now.get(name)) for name in _SAME]
    pairs += [
        (name, then, now["versions"].get(name))
        for name, then in record.versions.items()
        if name not in _OF_ONE_DRAWING
    ]
    return tuple(
        f"{name.replace('_', ' ')} was {then}, is {today}"
        for name, then, today in pairs
        if then is not None and today is not None and then != today
    )


def remark(same: bool | None, differs: Sequence[str], backend: Backend) -> str:
    """What to say of a picture that was drawn again; nothing when it is the same in all."""
    if differs:
        return "; ".join(differs)
    unsure = may_differ(backend)
    if same is None:
        return f"the pixels may be others: {unsure}" if unsure else ""
    why = unsure or "nothing recorded is why: another processor?"
    return "" if same else f"other pixels, and {why}"


def identical(one: Original, image: Image, cloud: Cloud | None) -> bool | None:
    """Whether these are the original's pixels; None when it cannot be had to compare."""
    before = _pixels(one, cloud)
    if before is None:
        return None
    return before.size == image.size and before.tobytes() == image.tobytes()


def file_of(one: Original, cloud: Cloud | None) -> bytes:
    """The original's file. Raises `BackendError` when it is neither here nor in the cloud."""
    for data in _files(one, cloud):
        return data
    raise BackendError(f"the file of the picture {str(one.record.id)[:8]} is nowhere to be had")


def _pixels(one: Original, cloud: Cloud | None) -> Image | None:
    from PIL import Image

    for data in _files(one, cloud):
        with suppress(OSError, SyntaxError), Image.open(io.BytesIO(data)) as file:
            return file.convert("RGB")
    return None


def _files(one: Original, cloud: Cloud | None) -> Iterator[bytes]:
    """The original's file, from here and from the cloud, as far as it can be had unchanged."""
    for data in _read(one, cloud):
        if one.record.sha256 in (None, hashlib.sha256(data).hexdigest()):
            yield data


def _read(one: Original, cloud: Cloud | None) -> Iterator[bytes]:
    record = one.record
    if one.path:
        with suppress(OSError):
            yield one.path.read_bytes()
    if cloud and record.storage_path:
        where = Wanted(str(record.id), record.storage_path, record.sha256, record.bytes)
        with suppress(CloudError, StorageError):
            yield fetch(cloud, where)


MOST_THREADS = 256  # of a record, which may say anything


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Draw with so many threads, as long as this lasts; None or nonsense changes nothing."""
    if count is None or not 0 < count <= MOST_THREADS:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
