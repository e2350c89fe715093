"""Backends draw pictures: the protocol they follow and the registry that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.errors import UsageError
from imagen_nb.request import Defaults, Limits, Request

if TYPE_CHECKING:
    from PIL.Image import Image

ENTRY_POINT_GROUP = "imagen_nb.backends"


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can draw here and now, and the reason (and remedy) when it cannot."""

    available: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step that has ended.

    `indices` are the positions, in the list given to `draw`, of the pictures being drawn together;
    `preview()` computes a small RGB image of one of them on the thread that calls it (cheap, but
    not free: call it off the drawing thread).
    """

    indices: range
    total: int
    step: int
    steps: int
    seconds_left: float
    preview: Callable[[int], Image] | None = None


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One finished picture and how it was drawn. `latency_ms`: milliseconds spent on this picture."""

    request: Request
    image: Image
    latency_ms: int
    details: dict[str, Any] = field(default_factory=dict)
    """Record fields that only the backend knows: scheduler, dtype, device, batch_size, batch_index,
    loras, memory_plan, versions."""


class Backend(Protocol):
    """What draws. Knows requests and pictures; nothing of files, catalogs or clouds."""

    name: str
    model: str
    defaults: Defaults
    limits: Limits

    def availability(self) -> Availability:
        """Say whether this backend can draw here, without loading or downloading anything."""
        ...

    def cost_usd(self, request: Request) -> float:
        """Estimated price of one picture, US dollars."""
        ...

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw all `requests`, yielding pictures in their order.

        Raises `Cancelled` at the next step after `cancel` is set and `BackendError` when a picture
        cannot be drawn; what was yielded before stays valid.
        """
        ...


def backend_names() -> list[str]:
    """Names of every registered backend, sorted."""
    return sorted(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))


def make_backend(name: str, **options: Any) -> Backend:
    """The backend registered as `name`, not yet loaded.

    Raises `UsageError` naming the known backends when there is none of that name.
    """
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        backend: Backend = entry.load()(**options)
        return backend
    raise UsageError(f"unknown backend {name!r}: use one of {', '.join(backend_names())}, or auto")
