"""Backends draw pictures: the protocol they follow and the registry that finds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.options import EXTRAS, Takes
from imagen_nb.request.request import Defaults, Limits, Request, resolve

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

    @property
    def place(self) -> str:
        """What is being drawn: "step 2 of 6", "picture 3 of 8" or "pictures 1 to 8 of 40"."""
        first, last = self.indices.start + 1, self.indices.stop
        if self.total == 1:
            return f"step {self.step} of {self.steps}"
        if first == last:
            return f"picture {first} of {self.total}"
        return f"pictures {first} to {last} of {self.total}"


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One finished picture and how it was drawn. `latency_ms`: milliseconds spent on this one."""

    request: Request
    image: Image
    latency_ms: int
    details: dict[str, Any] = field(default_factory=dict)
    """Record fields that only the backend knows: scheduler, dtype, device, threads, batch_size,
    batch_index, loras, memory_plan, versions."""


class Backend(Protocol):
    """What draws. Knows requests and pictures; nothing of files, catalogs or clouds.

    It may have the attributes `made_with` and `may_differ` as well, see the functions of these
    names.
    """

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


def made_with(backend: Backend) -> dict[str, Any]:
    """Record fields that follow from how the backend was made: options, loras.

    `options` are what `make_backend` takes to make it again, and no secrets: records are copied.
    """
    return dict(getattr(backend, "made_with", {}))


def may_differ(backend: Backend) -> str:
    """Why the same request may give other pixels, though nothing recorded differs; mostly empty."""
    return str(getattr(backend, "may_differ", ""))


def backend_names() -> list[str]:
    """Names of every registered backend, sorted."""
    return sorted(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))


def make_backend(name: str, **options: Any) -> Backend:
    """The backend registered as `name`, not yet loaded.

    Raises `UsageError` naming the known backends when there is none of that name, or the known
    options when it does not take these.
    """
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        factory = entry.load()
        _require_known_options(name, inspect.signature(factory), options)
        backend: Backend = factory(**options)
        return backend
    raise UsageError(
        f"unknown backend {name!r}: use one of {', '.join(backend_names())}, or auto"
    )


def _require_known_options(
    name: str, takes: inspect.Signature, options: dict[str, Any]
) -> None:
    try:
        takes.bind(**options)
    except TypeError:
        known = ", ".join(takes.parameters) or "no options"
        given = ", ".join(sorted(options)) or "none"
        raise UsageError(
            f"backend {name} takes {known}, and was given {given}; pictures of it may take "
            f"{', '.join(EXTRAS)}"
        ) from None


def backend_rows(
    options_of: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> list[dict[str, Any]]:
    """A row for each registered backend; `reason` says why one cannot draw here, and the remedy.

    `options_of`: what is configured of a backend, by its name. `cost_usd`: of a picture of its own
    size.
    """
    return [_backend_row(name, options_of(name)) for name in backend_names()]


def _backend_row(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    row = dict.fromkeys(("model", "width", "height", "steps", "cost_usd"))
    row = {"name": name} | row
    try:
        backend = make_backend(name, **options)
    except ImagenError as error:  # one that cannot be made without options
        return row | {"available": False, "reason": str(error)}
    state, defaults = backend.availability(), backend.defaults
    sizes = {
        "width": defaults.width,
        "height": defaults.height,
        "steps": defaults.steps,
    }
    usual = resolve(
        "any", defaults=defaults, limits=replace(backend.limits, takes=Takes())
    )
    found = {"cost_usd": backend.cost_usd(usual), "available": state.available}
    return row | {"model": backend.model} | sizes | found | {"reason": state.reason}
