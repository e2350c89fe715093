"""Drawing a picture again: the same request in the same place of a batch, and what differs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Availability, Backend, Drawn, Progress, Step
from imagen_nb.cloud.cache import Wanted, fetch
from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import CloudError, StorageError
from imagen_nb.originals import Original
from imagen_nb.record import Record
from imagen_nb.request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

_OF_THE_MODEL = ("steps", "guidance", "max_sequence_length")
_ALWAYS = ("prompt", "seed", "width", "height")
_SAME = ("device", "dtype", "scheduler", "batch_size")  # or the bits may be others


@dataclass(slots=True)
class Alike:
    """A backend that draws each request where it was drawn: in a batch of `size`, at `index`.

    The batch is filled with the same request: what else was in it does not change its pixels.
    `drawn_with` tells, afterwards, how it was drawn.
    """

    inner: Backend
    size: int
    index: int
    drawn_with: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.model = self.inner.name, self.inner.model
        self.defaults, self.limits = self.inner.defaults, self.inner.limits

    name: str = field(init=False)
    model: str = field(init=False)
    defaults: Any = field(init=False)
    limits: Any = field(init=False)

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
        for request in requests:
            listener = self._only(progress) if progress else None
            batch = [*self.inner.draw([request] * self.size, listener, cancel)]
            self.drawn_with = batch[self.index].details
            yield batch[self.index]

    def _only(self, progress: Progress) -> Progress:
        """One picture is drawn, as far as anybody sees."""

        def listen(step: Step) -> None:
            show = step.preview
            mine = (lambda place: show(self.index)) if show else None
            progress(replace(step, indices=range(1), total=1, preview=mine))

        return listen


def wanted(record: Record, given: Mapping[str, Any], same_model: bool) -> dict[str, Any]:
    """The arguments of `Studio.generate` for this picture, those `given` on top.

    With another model only what means the same to every model is taken.
    """
    names = (*_ALWAYS, *(_OF_THE_MODEL if same_model else ()))
    values = {name: getattr(record, name) for name in names}
    return values | {name: value for name, value in given.items() if value is not None}


def differences(record: Record, here: Mapping[str, Any]) -> tuple[str, ...]:
    """How the picture was drawn, and how it was now, where that is not the same."""
    now = {**here, "versions": here.get("versions", {})}
    pairs = [(name, getattr(record, name), now.get(name)) for name in _SAME]
    pairs += [(name, then, now["versions"].get(name)) for name, then in record.versions.items()]
    return tuple(
        f"{name.replace('_', ' ')} was {then}, is {today}"
        for name, then, today in pairs
        if then is not None and today is not None and then != today
    )


def identical(one: Original, image: Image, cloud: Cloud | None) -> bool | None:
    """Whether these are the original's pixels; None when it cannot be had to compare."""
    before = _pixels(one, cloud)
    if before is None:
        return None
    return before.size == image.size and before.tobytes() == image.tobytes()


def _pixels(one: Original, cloud: Cloud | None) -> Image | None:
    from PIL import Image

    for data in _files(one, cloud):
        if one.record.sha256 in (None, hashlib.sha256(data).hexdigest()):
            with suppress(OSError, SyntaxError), Image.open(io.BytesIO(data)) as file:
                return file.convert("RGB")
    return None


def _files(one: Original, cloud: Cloud | None) -> Iterator[bytes]:
    """The original's file, from here and from the cloud, as far as it can be had."""
    record = one.record
    if one.path:
        with suppress(OSError):
            yield one.path.read_bytes()
    if cloud and record.storage_path:
        where = Wanted(str(record.id), record.storage_path, record.sha256, record.bytes)
        with suppress(CloudError, StorageError):
            yield fetch(cloud, where)
