"""Drawing a picture again: the same request in the same place of a batch, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

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
from imagen_nb.errors import BackendError
from imagen_nb.request.options import EXTRAS, IMAGES
from imagen_nb.request.request import Request, resolve
from imagen_nb.storage.input_files import load_inputs
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.arguments import Arguments
from imagen_nb.studio.lookup import Original
from imagen_nb.studio.original_file import identical
from imagen_nb.studio.redraw import limits_for, redrawable
from imagen_nb.system.terminal import complain

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
                drawn = self._one_of(
                    self.inner.draw([request] * self._size, listener, cancel)
                )
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


def request_like(
    original: Original,
    arguments: Arguments,
    given: Mapping[str, Any],
    *,
    backend: str | None,
    tags: Iterable[str],
    cloud: bool | None,
) -> tuple[Backend, Request]:
    """A backend and a request for a picture like this one, with what is `given` changed.

    Raises `BackendError` when its backend is not installed or it cannot be drawn from its record.
    """
    record = original.record if backend else redrawable(original.record)
    name = backend or record.backend
    same = name == record.backend
    made = _as_made(original, record, arguments, given) if same else {}
    like = {**made, **wanted(record, given, same)}
    return arguments.request(**like, backend=name, tags=tags, cloud=cloud)


def request_again(
    original: Original,
    arguments: Arguments,
    options: Mapping[str, Any],
    *,
    tags: Iterable[str],
    cloud: bool | None,
) -> tuple[Alike, Request]:
    """A backend that draws as this picture was drawn, and the request that it was drawn from.

    Raises `BackendError` as `request_like`.
    """
    record = redrawable(original.record)
    made = _as_made(original, record, arguments, options)
    chosen = arguments.choose(record.backend, made, cloud)
    backend = chosen.backend
    request = resolve(
        record.prompt,
        defaults=backend.defaults,
        limits=limits_for(record, backend.limits),
        seed=record.seed,
        steps=record.steps,
        width=record.width,
        height=record.height,
        guidance=record.guidance,
        max_sequence_length=record.max_sequence_length,
        tags=arguments.tags(tags),
        extras=as_said(record) | chosen.extras,
    )
    return Alike(backend, record), request


def compared(
    picture: Picture, original: Original, drawn_by: Alike, cloud: Cloud | None
) -> Picture:
    """The picture with `identical` and `differs`, and a line on stderr where it is not the same."""
    same = identical(original, picture.image, cloud)
    differs = differences(drawn_by.record, drawn_by.drawn_with)
    if line := remark(same, differs, drawn_by.inner):
        complain(f"reproduce: {line}")
    return replace(picture, identical=same, differs=differs)


def _as_made(
    original: Original, record: Record, arguments: Arguments, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a picture's backend, and the images that it was drawn from."""
    name, configured = arguments.settings.backend_choice()
    made = options_of(record, configured if name == here(record.backend) else {}, given)
    folders = [catalog.folder for catalog in arguments.lookup.catalogs()]
    beside = [original.path.parent] if original.path else []
    lacking = [image for image in IMAGES if given.get(image) is None]
    return {**load_inputs(record, [*beside, *folders], lacking), **made}


def wanted(
    record: Record, given: Mapping[str, Any], same_model: bool
) -> dict[str, Any]:
    """The arguments of `Studio.generate` for this picture, those `given` on top.

    With another model only what means the same to every model is taken.
    """
    values = {name: getattr(record, name) for name in _ALWAYS}
    if same_model:
        values |= {
            name: getattr(record, field) for name, field in _OF_THE_MODEL.items()
        }
    return values | {name: value for name, value in given.items() if value is not None}


def as_said(record: Record) -> dict[str, Any]:
    """What else of the request a record tells, without its images; see `request.options`."""
    return {
        name: getattr(record, _OF_THE_MODEL[name])
        for name in EXTRAS
        if name in _OF_THE_MODEL
    }


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
