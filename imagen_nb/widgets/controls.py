"""The controls of a Panel: checked before drawing, and set from a record on request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import ipywidgets as w

from imagen_nb.backends import Backend, backend_names
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.config.settings import Settings
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.request import Defaults, Limits, check_size, random_seed, resolve
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.record import Record
from imagen_nb.studio.studio import Studio

_MAX_PICTURES_PER_CLICK = 100
_CUSTOM_SIZE = (0, 0)  # stands for a size that is none of the presets
_CONTROL_NAMES = (
    "prompt",
    "backend",
    "size",
    "width",
    "height",
    "steps",
    "guidance",
    "seed",
    "lock",
    "dice",
    "count",
    "tags",
    "cloud",
)
_TYPED_CONTROLS = ("width", "height", "steps", "guidance", "seed", "count", "tags")
_LIMITED_SETTINGS = ("seed", "steps", "width", "height", "guidance")  # by the model
_RECALLED_SETTINGS = ("width", "height", "steps", "guidance")
_ASPECT_RATIOS = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


class Controls:
    """The widgets, by name, and the backends that can draw here.

    Invariant: width and height are what will be drawn; the size preset follows them.

    Raises `UsageError` when nothing can draw here.
    """

    def __init__(self, studio: Studio) -> None:
        configured, why = studio.drawing_with()
        self.backends, self.missing = _available_backends(studio, configured)
        self.notes = {"backend": why} if why else {}  # to be shown beside a control
        backend = next(iter(self.backends.values()))
        self._make_settings(studio.settings, backend)
        self._make_others(studio)
        self._settling = False  # several at once, which belong together already
        self._offer_sizes(backend)
        controls = self.by_name()
        for name, control in controls.items():
            control.add_class(f"imagen-{name}")
        self.box = w.Box([one for name, one in controls.items() if name != "prompt"])
        self.box.add_class("imagen-controls")

    def _make_settings(self, settings: Settings, backend: Backend) -> None:
        usual = backend.defaults
        self.backend = w.Dropdown(description="Backend", options=[*self.backends])
        self.size = w.Dropdown(description="Size")
        self.width = _int_box("Width", settings.width or usual.width, "pixels")
        self.height = _int_box("Height", settings.height or usual.height, "pixels")
        self.steps = _int_box("Steps", settings.steps or usual.steps, "denoising steps")
        scale = usual.guidance if settings.guidance is None else settings.guidance
        self.guidance = w.FloatText(description="Guidance", value=scale, step=0.5)
        self.seed = _int_box(
            "Seed", random_seed(), "the same seed draws the same picture"
        )

    def _make_others(self, studio: Studio) -> None:
        self.prompt = w.Textarea(
            description="Prompt",
            placeholder="what to draw; Ctrl-Enter draws",
            rows=3,
            continuous_update=False,
        )
        self.lock = w.ToggleButton(
            description="Lock seed",
            tooltip="draw with this seed again, instead of a new one",
        )
        self.dice = w.Button(description="New seed", tooltip="another seed by lot")
        self.count = _int_box("Count", 1, "pictures, with this seed and the next ones")
        self.tags = w.Text(description="Tags", placeholder="comma-separated")
        self.cloud = w.Checkbox(
            description="Copy to the cloud",
            value=studio.copies(),
            indent=False,
            disabled=not studio.copies(True),
        )
        if self.cloud.disabled:
            self.notes["cloud"] = NOT_CONFIGURED

    def by_name(self) -> dict[str, Any]:
        """Return all widgets, by name, in the order in which they are shown."""
        return {name: getattr(self, name) for name in _CONTROL_NAMES}

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the name of what a person, or a recall, has changed."""
        for name, control in self.by_name().items():
            if name != "dice":
                control.observe(lambda _, name=name: changed(name), names="value")

    def react(self, name: str) -> None:
        """Keep together what belongs together, after a change of this control."""
        if self._settling:
            return
        if name == "backend":
            self._take_over(self.backends[self.backend.value])
        elif name == "size" and self.size.value != _CUSTOM_SIZE:
            with self._at_once():
                self.width.value, self.height.value = self.size.value
        elif name in ("width", "height"):
            self._show_preset()
        elif name == "seed":
            self.lock.value = True  # typed by hand: it is meant

    def type(self, values: Mapping[str, object]) -> None:
        """Set what was typed, by name, if these controls have not heard of it yet."""
        for name in _TYPED_CONTROLS:
            if name in values:
                getattr(self, name).value = values[name]

    def roll(self) -> None:
        """Set another seed, and leave the lock as it is."""
        locked = self.lock.value
        self.seed.value = random_seed()
        self.lock.value = locked

    def problems(self) -> dict[str, str]:
        """Return what cannot be drawn, in the library's words, by control."""
        checks = {name: _problem_of(check) for name, check in self._checks().items()}
        return {name: problem for name, problem in checks.items() if problem}

    def _checks(self) -> dict[str, Callable[[], object]]:
        backend = self.backends[self.backend.value]
        checks: dict[str, Callable[[], object]] = {
            "prompt": lambda: checked_prompt(self.prompt.value),
            "tags": lambda: checked_tags(self._tags()),
            "count": self._require_count,
        }
        for name in _LIMITED_SETTINGS:
            value = getattr(self, name).value
            checks[name] = partial(_validated_setting, backend, name, value)
        if backend.limits.sizes:  # there one side is as good as the other makes it
            check = partial(check_size, *self._chosen_size(), backend.limits)
            checks["width"] = checks["height"] = check
        return checks

    def wishes(self) -> list[DrawingRequest]:
        """Return what is to be drawn, one wish a picture.

        A seed that is not locked is a new one. Raises `UsageError` for what cannot be
        drawn.
        """
        for problem in self.problems().values():
            raise UsageError(problem)
        if not self.lock.value:
            self.roll()
        first = self.seed.value
        last = first + self.count.value - 1
        _validated_setting(self.backends[self.backend.value], "seed", last)
        return [self._wish(seed) for seed in range(first, last + 1)]

    def to_cloud(self) -> bool | None:
        """Return whether to copy pictures; None, as configured, without a cloud."""
        return None if self.cloud.disabled else bool(self.cloud.value)

    def recall(self, record: Record, part: str) -> None:
        """Set the controls from a picture: `all`, its `prompt` or its `seed`.

        Raises `UsageError` for all of one whose backend cannot draw here.
        """
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
        for name in _RECALLED_SETTINGS:
            value = getattr(record, name)
            if value is not None:
                getattr(self, name).value = value
        self.count.value = 1
        self._offer_sizes(self.backends[record.backend])

    def _take_over(self, backend: Backend) -> None:
        """Set another model's own numbers."""
        for name in _RECALLED_SETTINGS:
            getattr(self, name).value = getattr(backend.defaults, name)
        self._offer_sizes(backend)

    def _offer_sizes(self, backend: Backend) -> None:
        presets = size_presets(backend.defaults, backend.limits)
        size = self._chosen_size()
        labelled = [(describe_size(*preset), preset) for preset in presets]
        with self._at_once():
            self.size.options = [*labelled, ("custom", _CUSTOM_SIZE)]
            self.size.value = size if size in presets else _CUSTOM_SIZE

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Change several controls without `react` to each."""
        self._settling = True
        try:
            yield
        finally:
            self._settling = False

    def _show_preset(self) -> None:
        presets = [size for _, size in self.size.options]
        size = self._chosen_size()
        self.size.value = size if size in presets else _CUSTOM_SIZE

    def _chosen_size(self) -> tuple[int, int]:
        return self.width.value, self.height.value

    def _tags(self) -> list[str]:
        return [tag.strip() for tag in self.tags.value.split(",") if tag.strip()]

    def _require_count(self) -> None:
        most = _MAX_PICTURES_PER_CLICK
        if not 1 <= self.count.value <= most:
            raise UsageError(f"count must be from 1 to {most}, not {self.count.value}")

    def _wish(self, seed: int) -> DrawingRequest:
        return DrawingRequest(
            prompt=self.prompt.value,
            backend=self.backend.value,
            seed=seed,
            steps=self.steps.value,
            width=self.width.value,
            height=self.height.value,
            guidance=self.guidance.value,
            tags=tuple(self._tags()),
            cloud=self.to_cloud(),
        )


def _int_box(name: str, value: int, tooltip: str) -> Any:
    return w.IntText(description=name, value=value, tooltip=tooltip)


def _available_backends(
    studio: Studio, configured: Backend
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Return those that can draw here, the configured first, and why others cannot.

    Raises `UsageError` when none can.
    """
    available: dict[str, Backend] = {}
    missing: dict[str, str] = {}
    for name in dict.fromkeys([configured.name, *backend_names()]):
        try:
            backend = configured
            if name != configured.name:
                backend, _ = studio.drawing_with(name)
            reason = _why_not_here(backend)
        except ImagenError as error:  # one that cannot be made without options
            reason = str(error)
        if reason is None:
            available[name] = backend
        else:
            missing[name] = reason
    if not available:
        raise UsageError(f"nothing can draw here: {'; '.join(missing.values())}")
    return available, missing


def _why_not_here(backend: Backend) -> str | None:
    """Return why a panel cannot draw with this; None when it can."""
    state = backend.availability()
    needs = backend.limits.takes.needs
    if needs:
        return f"it draws from {' and '.join(needs)}: use im.generate"
    return None if state.available else state.reason


def _validated_setting(backend: Backend, name: str, value: Any) -> object:
    return resolve(
        "x", defaults=backend.defaults, limits=backend.limits, **{name: value}
    )


def _problem_of(check: Callable[[], object]) -> str:
    try:
        check()
    except UsageError as error:
        return str(error)
    return ""


def size_presets(defaults: Defaults, limits: Limits) -> list[tuple[int, int]]:
    """Return sizes to choose from, (width, height) in pixels; each allowed, each once.

    The model's own is the first; then come others of about as many pixels, by shape.
    """
    area = defaults.width * defaults.height
    own = (defaults.width, defaults.height)
    if limits.sizes:
        return list(dict.fromkeys([own, *limits.sizes]))
    ratios = [width / height for width, height in _ASPECT_RATIOS]
    shaped = [_size_of_shape(area, ratio, limits) for ratio in ratios]
    return list(dict.fromkeys([own, *shaped]))


def _size_of_shape(area: int, ratio: float, limits: Limits) -> tuple[int, int]:
    width = math.sqrt(area * ratio)
    return _allowed_side(width, limits), _allowed_side(width / ratio, limits)


def _allowed_side(pixels: float, limits: Limits) -> int:
    step = limits.multiple
    low, high = -(-limits.min_side // step) * step, limits.max_side // step * step
    return min(high, max(low, round(pixels / step) * step))


def describe_size(width: int, height: int) -> str:
    """Return a size as people choose it, e.g. "128 × 96 wide"."""
    if width == height:
        return f"{width} × {height} square"
    return f"{width} × {height} {'wide' if width > height else 'tall'}"
