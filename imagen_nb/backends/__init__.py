"""Who draws: the protocol of a backend, the registry that finds it, and the backends.

Other rooms use:
    session: `Backends`, those of one session; `describe_backend`, one in a line;
        `choose_backend`, which one auto is
    tiny: `FLUX_TINY` and its `WEIGHTS`, the embedded model
    local_models: `local_model`, one by the name that people call it;
        `backend_arguments`, what draws with it
    flux.backend: `FluxBackend`, which draws with one model
    flux.models: `Model`, `LOCAL_MODELS`, `short_name`: the FLUX models known by name
    flux.weights: `locate_weights`, `explain_missing`, `explain_incomplete`
    flux.schedulers: `SCHEDULERS` by name
    flux.loras: `parse_lora` of a command line, `loras_of_record`
    flux.lora_files: `lora_rows`, the LoRAs of a folder
    flux.libraries: `library_versions`; `quietly`, `noting_random_weights`: loading
    flux.failures: `torch_error`, what an error of torch means, `short_reason`
    flux.weights: `weight_files` of a folder, `load_json_object`
    flux.bench: `time_plans`, `timings_as_markdown`
    flux.random_weights.architectures: `TINY_MODEL`, which draws anywhere
    flux.random_weights.layout: `temporary_model`, full size, no download
    flux.memory.keys: `MEMORY_KEYS`, `validated_memory`: what may be set
    flux.memory.machine: `plan_for` a model and machine, `this_machine`, `gb_as_sold`,
        `default_device`
    flux.memory.plan: `Machine`, what there is to draw with
    flux.memory.ram: `total_ram_gb`, what this process may use
    flux.memory.words: `explain_plan`, `plan_as_data`, `describe_machine`
    flux.drawing.loaded: `LoadedModel`, a model in memory
    flux.training.pictures: `load_training_pictures` of a data set
    flux.training.settings: `TrainingSettings`
    flux.training.trainer: `train` a LoRA
    flux.training.watch: `TrainingWatch` and `TrainingProgress`, what is told meanwhile
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.options import OPTION_NAMES, AcceptedOptions
from imagen_nb.request.request import Defaults, Limits, Request, resolve
from imagen_nb.system.plugins import PluginKind

if TYPE_CHECKING:
    from PIL.Image import Image

REMOTE = "remote"  # a box of the user's draws; "remote:NAME": with this backend of it
BACKENDS = PluginKind("backend", "imagen_nb.backends", also=("auto", REMOTE))


class UnknownOptionError(UsageError):
    """A backend was given options that it does not take, or lacks one that it needs.

    `unknown`: the names of the options that it does not take; `known`: of all that it
    takes.
    """

    unknown: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can draw on this machine now; if not, why, and what to do.

    `lacks`: what it cannot draw without, in one word: weights, token, package.
    """

    available: bool
    reason: str = ""
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step that has ended.

    `indices`: positions, in the list given to `draw`, of the pictures that are drawn
    together. `step`: counted from 1. `seconds_left`: expected for all `total` pictures.
    `preview(index)` computes a small RGB image of one of `indices` on the thread that
    calls it (cheap, but not free: call it off the drawing thread); None where the model
    has no previews.
    """

    indices: range
    total: int
    step: int
    steps: int
    seconds_left: float
    preview: Callable[[int], Image] | None = None

    @property
    def place(self) -> str:
        """Return "step 2 of 6", "picture 3 of 8" or "pictures 1 to 8 of 40"."""
        first, last = self.indices.start + 1, self.indices.stop
        if self.total == 1:
            return f"step {self.step} of {self.steps}"
        if first == last:
            return f"picture {first} of {self.total}"
        return f"pictures {first} to {last} of {self.total}"


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A picture that another machine finished: its PNG, and the text of its sidecar."""

    png: bytes = field(repr=False)
    sidecar: str = field(repr=False)


@dataclass(slots=True)
class Drawn:
    """One finished picture and how it was drawn.

    Args:
        request: what was drawn.
        picture: the image, or a function that makes it from what the backend fetched;
            it is called by the thread that writes the picture, while the next is drawn.
        latency_ms: milliseconds that drawing it took.
        details: record fields that only the backend knows: scheduler, dtype, device,
            threads, batch_size, batch_index, loras, memory_plan, versions.
        file: the picture as it is to be kept, byte for byte, if another machine drew
            it and has kept it already.
    """

    request: Request
    picture: Image | Callable[[], Image]
    latency_ms: int
    details: dict[str, Any] = field(default_factory=dict)
    file: FinishedFile | None = None

    @property
    def image(self) -> Image:
        """The image, RGB; made once. Raise `BackendError` if it came out broken."""
        if callable(self.picture):
            self.picture = self.picture()  # what it was made from is no longer needed
        return self.picture


class Backend(Protocol):
    """What draws. Knows requests and pictures; nothing of files, catalogs or clouds.

    It may have the attributes `made_with`, `may_differ` and `drawn_as` as well: see the
    functions of these names.
    """

    name: str
    model: str
    defaults: Defaults
    limits: Limits

    def availability(self) -> Availability:
        """Say whether it can draw here, without loading or downloading anything."""
        ...

    def cost_usd(self, request: Request) -> float:
        """Return the estimated price of one picture, in US dollars."""
        ...

    def draw(
        self, requests: Sequence[Request], progress: Progress | None, cancel: Event
    ) -> Iterator[Drawn]:
        """Draw all `requests`, yielding pictures in their order.

        `progress` is called after each step, on the thread that draws. Raise
        `Cancelled` at the next step after `cancel` is set, and `BackendError` when a
        picture cannot be drawn; what was yielded before stays valid. That a picture
        came out broken may also be raised by `Drawn.image`.
        """
        ...


def made_with(backend: Backend) -> dict[str, Any]:
    """Return the record fields that follow from how a backend was made: options, loras.

    `options`: what `make_backend` takes to make it again. No secrets: records are
    copied.
    """
    return dict(getattr(backend, "made_with", {}))


def may_differ(backend: Backend) -> str:
    """Return why the same request may give other pixels; mostly empty."""
    return str(getattr(backend, "may_differ", ""))


def is_remote(name: str) -> bool:
    """Return whether a backend's name says that a box of the user's draws."""
    return name == REMOTE or name.startswith(f"{REMOTE}:")


def drawn_as(backend: Backend) -> Backend:
    """Return the backend that records name: of a remote one, what the box draws with."""
    chosen: Backend = getattr(backend, "drawn_as", backend)
    return chosen


def backend_names() -> list[str]:
    """Return the names of all registered backends, sorted."""
    return BACKENDS.names()


def option_names(name: str) -> tuple[str, ...]:
    """Return the options of the backend registered as `name`; none if there is none."""
    factory = BACKENDS.find(name)
    return tuple(inspect.signature(factory).parameters) if factory else ()


def make_backend(name: str, **options: Any) -> Backend:
    """Return the backend registered as `name`, not yet loaded.

    `options`: what its factory takes, e.g. `model`, `loras`, `memory`. Raise
    `UsageError` for an unknown name or option, with the known ones. Packages register
    backends under the entry point group `imagen_nb.backends`.

    Example:
        >>> make_backend("flux-tiny-local", memory={"batch": 4})
    """
    factory = BACKENDS.load(name)
    _require_known_options(name, inspect.signature(factory), options)
    backend: Backend = factory(**options)
    return backend


def _require_known_options(
    name: str, signature: inspect.Signature, options: dict[str, Any]
) -> None:
    try:
        signature.bind(**options)
    except TypeError:
        known = ", ".join(signature.parameters) or "no options"
        given = ", ".join(sorted(options)) or "none"
        error = UnknownOptionError(
            f"backend {name} takes {known}, and was given {given}; "
            f"pictures of it may take {', '.join(OPTION_NAMES)}"
        )
        error.known = tuple(signature.parameters)
        error.unknown = tuple(option for option in options if option not in error.known)
        raise error from None


def backend_rows(
    options_of: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> list[dict[str, Any]]:
    """Return a row for each registered backend, as `imagen models` shows them.

    `options_of`: returns what is configured of a backend, by its name. Of a row,
    `reason` says why the backend cannot draw here and what to do, `lacks` in one word;
    `cost_usd` is the price of a picture of its own size and steps.
    """
    return [backend_row(name, options_of(name)) for name in backend_names()]


def backend_row(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one backend, with these options, see `backend_rows`."""
    unknown = dict.fromkeys(("model", "width", "height", "steps", "cost_usd"))
    row = {"name": name, **unknown}
    try:
        backend = make_backend(name, **options)
    except ImagenError as error:  # one that cannot be made without options
        return row | {"available": False, "lacks": "options", "reason": str(error)}
    state, defaults = backend.availability(), backend.defaults
    return row | {
        "model": backend.model,
        "width": defaults.width,
        "height": defaults.height,
        "steps": defaults.steps,
        "cost_usd": backend.cost_usd(_default_request(backend)),
        "available": state.available,
        "lacks": state.lacks,
        "reason": state.reason,
    }


def _default_request(backend: Backend) -> Request:
    """Return a request that leaves all to the model, images that it needs left out."""
    limits = replace(backend.limits, takes=AcceptedOptions())
    return resolve("any", defaults=backend.defaults, limits=limits)
