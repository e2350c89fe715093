"""The controls of a Panel: what they are set to, checked before drawing, and set from a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ipywidgets as w

from imagen_nb.backends import Backend, backend_names
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.request import Defaults, Limits, check_size, random_seed, resolve
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.record import Record
from imagen_nb.studio.studio import Studio

MANY = 100  # pictures that one click may ask for
_CUSTOM = (0, 0)  # the size that is none of the presets
_NAMES = (
    "prompt", "backend", "size", "width", "height", "steps", "guidance", "seed", "lock", "dice",
    "count", "tags", "cloud",
)  # fmt: skip
_CHECKED = ("seed", "steps", "width", "height", "guidance")  # by the model's limits


class Controls:
    """The widgets, by name, and the backends that can draw here.

    Invariant: width and height are what will be drawn; the size preset follows them.
    """

    def __init__(self, studio: Studio) -> None:
        configured, why = studio.drawing_with()
        self.backends, self.missing = _backends(studio, configured)
        self.notes = {"backend": why} if why else {}  # to be shown beside a control
        settings = studio.settings
        backend = next(iter(self.backends.values()))
        usual = backend.defaults
        self.prompt = w.Textarea(
            description="Prompt", placeholder="what to draw; Ctrl-Enter draws", rows=3,
            continuous_update=False,
        )  # fmt: skip
        self.backend = w.Dropdown(description="Backend", options=[*self.backends])
        self.size = w.Dropdown(description="Size")
        self.width = _number("Width", settings.width or usual.width, "pixels")
        self.height = _number("Height", settings.height or usual.height, "pixels")
        self.steps = _number("Steps", settings.steps or usual.steps, "denoising steps")
        strength = usual.guidance if settings.guidance is None else settings.guidance
        self.guidance = w.FloatText(description="Guidance", value=strength, step=0.5)
        self.seed = _number(
            "Seed", random_seed(), "the same seed draws the same picture"
        )
        self.lock = w.ToggleButton(
            description="Lock seed",
            tooltip="draw with this seed again, instead of a new one",
        )
        self.dice = w.Button(description="New seed", tooltip="another seed by lot")
        self.count = _number("Count", 1, "pictures, with this seed and the next ones")
        self.tags = w.Text(description="Tags", placeholder="comma-separated")
        self.cloud = w.Checkbox(
            description="Copy to the cloud", value=studio.copies(), indent=False,
            disabled=not studio.copies(True),
        )  # fmt: skip
        if self.cloud.disabled:
            self.notes["cloud"] = NOT_CONFIGURED
        self._settling = False  # several at once, which belong together already
        self._offer_sizes(backend)
        for name, one in self.named().items():
            one.add_class(f"imagen-{name}")
        self.box = w.Box(
            [one for name, one in self.named().items() if name != "prompt"]
        )
        self.box.add_class("imagen-controls")

    def named(self) -> dict[str, Any]:
        """All of them, by name, in their order."""
        return {name: getattr(self, name) for name in _NAMES}

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call this with the name of what a person, or a recall, has changed."""
        for name, one in self.named().items():
            if name != "dice":
                one.observe(lambda _, name=name: changed(name), names="value")

    def react(self, name: str) -> None:
        """Keep together what belongs together, after a change of this control."""
        if self._settling:
            return
        if name == "backend":
            self._take_over(self.backends[self.backend.value])
        elif name == "size" and self.size.value != _CUSTOM:
            with self._at_once():
                self.width.value, self.height.value = self.size.value
        elif name in ("width", "height"):
            self._show_preset()
        elif name == "seed":
            self.lock.value = True  # typed by hand: it is meant

    def roll(self) -> None:
        """Another seed, which the lock, as it is, keeps or does not."""
        locked = self.lock.value
        self.seed.value = random_seed()
        self.lock.value = locked

    def problems(self) -> dict[str, str]:
        """What cannot be drawn, by the name of the control, in the library's own words."""
        drawer = self.backends[self.backend.value]
        checks: dict[str, Callable[[], object]] = {
            "prompt": lambda: checked_prompt(self.prompt.value),
            "tags": lambda: checked_tags(self._tags()),
            "count": self._count,
        }
        for name in _CHECKED:
            checks[name] = partial(_checked, drawer, name, getattr(self, name).value)
        if drawer.limits.sizes:  # there one side is as good as the other makes it
            here = self._here()
            checks["width"] = checks["height"] = partial(
                check_size, *here, drawer.limits
            )
        return {name: said for name, check in checks.items() if (said := _said(check))}

    def wishes(self) -> list[DrawingRequest]:
        """What is wanted, one for each picture; a seed that is not locked is a new one.

        Raises `UsageError` for what cannot be drawn.
        """
        for problem in self.problems().values():
            raise UsageError(problem)
        if not self.lock.value:
            self.roll()
        first = self.seed.value
        _checked(
            self.backends[self.backend.value], "seed", first + self.count.value - 1
        )
        return [self._wish(first + n) for n in range(self.count.value)]

    def to_cloud(self) -> bool | None:
        """Whether to copy pictures; None, as configured, where there is nothing to switch."""
        return None if self.cloud.disabled else bool(self.cloud.value)

    def recall(self, record: Record, part: str) -> None:
        """Set the controls from a picture: `all`, its `prompt` or its `seed`."""
        if part == "all" and record.backend not in self.backends:
            raise UsageError(
                f"{record.backend} cannot draw here, so only its prompt and seed help"
            )
        if part in ("all", "prompt"):
            self.prompt.value = record.prompt
        if part == "all":
            self._recall_settings(record)
        if part in ("all", "seed"):
            self.seed.value = record.seed
            self.lock.value = True

    def _recall_settings(self, record: Record) -> None:
        with self._at_once():
            self.backend.value = record.backend
        for name in ("width", "height", "steps", "guidance"):
            if (value := getattr(record, name)) is not None:
                getattr(self, name).value = value
        self.count.value = 1
        self._offer_sizes(self.backends[record.backend])

    def _take_over(self, backend: Backend) -> None:
        """Another model: its own numbers."""
        usual = backend.defaults
        for name in ("width", "height", "steps", "guidance"):
            getattr(self, name).value = getattr(usual, name)
        self._offer_sizes(backend)

    def _offer_sizes(self, backend: Backend) -> None:
        offered = sizes(backend.defaults, backend.limits)
        here = self._here() if self._here() in offered else _CUSTOM
        options = [*((labelled(*size), size) for size in offered), ("custom", _CUSTOM)]
        with self._at_once():
            self.size.options = options
            self.size.value = here

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        self._settling = True
        try:
            yield
        finally:
            self._settling = False

    def _show_preset(self) -> None:
        presets = [size for _, size in self.size.options]
        self.size.value = self._here() if self._here() in presets else _CUSTOM

    def _here(self) -> tuple[int, int]:
        return self.width.value, self.height.value

    def _tags(self) -> list[str]:
        return [tag.strip() for tag in self.tags.value.split(",") if tag.strip()]

    def _count(self) -> None:
        if not 1 <= self.count.value <= MANY:
            raise UsageError(f"count must be from 1 to {MANY}, not {self.count.value}")

    def _wish(self, seed: int) -> DrawingRequest:
        return DrawingRequest(
            prompt=self.prompt.value, backend=self.backend.value, seed=seed,
            steps=self.steps.value, width=self.width.value, height=self.height.value,
            guidance=self.guidance.value, tags=tuple(self._tags()),
            cloud=self.to_cloud(),
        )  # fmt: skip


def _number(name: str, value: int, tooltip: str) -> Any:
    return w.IntText(description=name, value=value, tooltip=tooltip)


def _backends(
    studio: Studio, configured: Backend
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Those that can draw here, the configured one first, and why the others cannot."""
    drawing, missing = {}, {}
    for name in dict.fromkeys([configured.name, *backend_names()]):
        try:
            backend = (
                configured if name == configured.name else studio.drawing_with(name)[0]
            )
            state = backend.availability()
        except ImagenError as error:  # one that cannot be made without options
            missing[name] = str(error)
            continue
        if needs := backend.limits.takes.needs:
            missing[name] = f"it draws from {' and '.join(needs)}: use im.generate"
        elif state.available:
            drawing[name] = backend
        else:
            missing[name] = state.reason
    if not drawing:
        raise UsageError(f"nothing can draw here: {'; '.join(missing.values())}")
    return drawing, missing


def _checked(backend: Backend, name: str, value: Any) -> object:
    return resolve(
        "x", defaults=backend.defaults, limits=backend.limits, **{name: value}
    )


def _said(check: Callable[[], object]) -> str:
    try:
        check()
    except UsageError as error:
        return str(error)
    return ""


SHAPES = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


def sizes(defaults: Defaults, limits: Limits) -> list[tuple[int, int]]:
    """(width, height) in pixels, the model's own first, then by shape; each allowed, each once."""
    area = defaults.width * defaults.height
    own = (defaults.width, defaults.height)
    if limits.sizes:
        return list(dict.fromkeys([own, *limits.sizes]))
    shaped = [_sides(area, width / height, limits) for width, height in SHAPES]
    return list(dict.fromkeys([own, *shaped]))


def _sides(area: int, ratio: float, limits: Limits) -> tuple[int, int]:
    width = math.sqrt(area * ratio)
    return _side(width, limits), _side(width / ratio, limits)


def _side(pixels: float, limits: Limits) -> int:
    step = limits.multiple
    low, high = -(-limits.min_side // step) * step, limits.max_side // step * step
    return min(high, max(low, round(pixels / step) * step))


def labelled(width: int, height: int) -> str:
    """A size as people choose it, e.g. "128 × 96 wide"."""
    form = "square" if width == height else "wide" if width > height else "tall"
    return f"{width} × {height} {form}"
