"""The checks of a Panel's form: what is drawn with it, and how it is set from a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from imagen_nb.backends import REMOTE, Backend, is_remote
from imagen_nb.backends.flux.loras import validated_loras
from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.config.presets import DrawingPreset
from imagen_nb.config.settings import Settings
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.images import InputImage
from imagen_nb.request.options import (
    OPTION_NAMES,
    AcceptedOptions,
    validated_options,
)
from imagen_nb.request.request import check_size, random_seed, resolve
from imagen_nb.request.validation import checked_tags, short_repr
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.record import Record
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.form import MAX_COUNT, Form
from imagen_nb.widgets.models import accepted_options, available_backends
from imagen_nb.widgets.recall import (
    drawing_request_like,
    form_values_of,
    prompt_as_literal,
)
from imagen_nb.widgets.sizes import size_of_shape

_LIMITED_SETTINGS = ("seed", "steps", "width", "height", "guidance")  # by the model
_BACKEND_SETTINGS = ("width", "height", "steps", "guidance")
# In this order an option's name in a problem tells the control that it is shown at.
_OPTION_CONTROLS = ("scheduler", "strength", "true_cfg", "mask", "init_image")
RECALLABLE = ("all", "prompt", "seed", "size")


class Controls:
    """The form's meaning: with which backends, in which limits, from which images.

    Attributes:
        inputs: init image and mask, by these names.

    Raises `UsageError` when nothing can draw here.
    """

    def __init__(self, form: Form, studio: Studio) -> None:
        self._form = form
        form.wildcards = studio.wildcards
        configured, why = studio.drawing_with()
        self.backends, self.missing = available_backends(studio, configured)
        self.notes = {"backend": why} if why else {}  # to be shown beside a control
        self.inputs: dict[str, InputImage] = {}
        self._can_copy = studio.copies(True)
        if not self._can_copy:
            self.notes["cloud"] = NOT_CONFIGURED
        with form.settle():
            form.cloud = studio.copies()
            form.roll()
            form.backend = next(iter(self.backends))
            self._take_over(self.backend, studio.settings)

    @property
    def backend(self) -> Backend:
        """The chosen one. Raises `UsageError` for one that cannot draw here."""
        name = self._form.backend
        if name not in self.backends:
            known = ", ".join(self.backends)
            reason = self.missing.get(name, f"use one of {known}")
            raise UsageError(f"{short_repr(name)} cannot draw here: {reason}")
        return self.backends[name]

    def offer_elsewhere(self, backends: Mapping[str, Backend]) -> None:
        """Let these draw too, which other machines have; the chosen one stays."""
        here = {name: one for name, one in self.backends.items() if not is_remote(name)}
        chosen = self._form.backend
        if is_remote(chosen) and chosen in self.backends:
            here[chosen] = self.backends[chosen]
        self.backends = {**here, **backends}

    def name_of(self, backend: str) -> str:
        """Return the name under which a recorded backend draws: here, or elsewhere."""
        there = f"{REMOTE}:{backend}"
        return (
            there
            if backend not in self.backends and there in self.backends
            else backend
        )

    def react(self, name: str) -> None:
        """Keep together what belongs together, after Python set this one."""
        if self._form.settling:
            return
        if name == "backend" and self._form.backend in self.backends:
            with self._form.settle():
                self._take_over(self.backend)
        elif name == "seed":
            self._form.lock_seed = True  # it is meant

    def problems(self) -> dict[str, str]:
        """Return what cannot be drawn, in the library's words, by control."""
        checks = {name: _problem_of(check) for name, check in self._checks().items()}
        return {name: problem for name, problem in checks.items() if problem}

    def requests(self) -> list[DrawingRequest]:
        """Return what is to be drawn, a request a picture; prompts vary slowest.

        A seed that is not locked is a new one. Raises `UsageError` for what cannot be
        drawn.
        """
        form = self._form
        for problem in self.problems().values():
            raise UsageError(problem)
        prompts = form.prompts()
        if not form.lock_seed:
            form.roll()
        seeds = range(form.seed, form.seed + form.count)
        _validated_setting(self.backend, "seed", seeds[-1])
        common = self._common_values()
        return [
            DrawingRequest(prompt=prompt, seed=seed, **common)
            for prompt in prompts
            for seed in seeds
        ]

    def to_cloud(self) -> bool | None:
        """Return whether to copy pictures; None, as configured, without a cloud."""
        return bool(self._form.cloud) if self._can_copy else None

    def options(self) -> dict[str, Any]:
        """Return the request's options that are set and that the backend takes."""
        form, takes = self._form, self.backend.limits.takes
        given = {
            "negative_prompt": form.negative_prompt.strip() or None,
            "true_cfg": form.true_cfg,
            "scheduler": form.scheduler or None,
            **self.inputs,
            "strength": form.strength,
        }
        options = {
            name: value
            for name, value in given.items()
            if name in takes.options and value is not None
        }
        for name in OPTION_NAMES:  # in this order: those that others need come first
            if any(other not in options for other in takes.options.get(name, ())):
                options.pop(name, None)
        return options

    def recall(self, record: Record, part: str) -> None:
        """Set the form from a picture: `all`, its `prompt`, `seed` or `size`.

        Raises `UsageError` for all of one whose backend cannot draw here, and for the
        seed of one that has none.
        """
        form = self._form
        backend = self.name_of(record.backend)
        if part == "all" and backend not in self.backends:
            raise UsageError(
                f"{record.backend} cannot draw here, so only its prompt, seed and size "
                "help"
            )
        if part == "seed" and record.seed is None:
            raise UsageError("no seed of this picture is known")
        with form.settle():
            if part in ("all", "prompt"):
                form.one_per_line = False
                form.prompt = prompt_as_literal(record.prompt)
            if part == "all":
                form.fill({**form_values_of(record), "backend": backend})
            if part in ("all", "size"):
                form.width, form.height = record.width, record.height
            if part in ("all", "seed") and record.seed is not None:
                form.seed, form.lock_seed = record.seed, True

    def apply_preset(self, values: Mapping[str, Any]) -> None:
        """Set the form to what a preset says; what it does not say stays.

        Raises `UsageError` for a backend that cannot draw here.
        """
        name = values.get("backend")
        if name is not None and name not in self.backends:
            raise UsageError(f"{name} cannot draw here: {self.missing.get(name, '')}")
        with self._form.settle():
            if name is not None and name != self._form.backend:
                self._form.backend = name
                self._take_over(self.backend)
            self._form.fill(
                {
                    **values,
                    "tags": ", ".join(values.get("tags", self._form.tag_names())),
                    "loras": [[*each] for each in values.get("loras", ())],
                }
            )

    def preset_values(self) -> dict[str, Any]:
        """Return what a preset keeps of the form."""
        kept = self._common_values()
        return {
            name: kept[name]
            for name in DrawingPreset.model_fields
            if name in kept and kept[name] not in ((), "")
        }

    def variations(
        self, record: Record, count: int, strength: float | None
    ) -> list[DrawingRequest]:
        """Return requests like a picture's, with new seeds.

        `strength`: another one, for a picture that was drawn from an image. Raises
        `UsageError` for one whose backend cannot draw here, and for another count.
        """
        backend = self.name_of(record.backend)
        if backend not in self.backends:
            raise UsageError(f"{record.backend} cannot draw here")
        if not 1 <= count <= MAX_COUNT:
            raise UsageError(f"count must be from 1 to {MAX_COUNT}, not {count}")
        first = drawing_request_like(record).model_copy(
            update={
                "backend": backend,
                "tags": tuple(self._form.tag_names()),
                "cloud": self.to_cloud(),
            }
        )
        if strength is not None:
            first = first.model_copy(update={"strength": strength})
        seeds = [random_seed() for _ in range(count)]
        return [first.model_copy(update={"seed": seed}) for seed in seeds]

    def use_image(self, name: str, image: InputImage | None) -> None:
        """Take or drop an image to draw from; an init image sets the size to its shape.

        Another init image has another mask: the one before goes.
        """
        self.inputs.pop(name, None)
        if name == "init_image":
            self.inputs.pop("mask", None)
        if image is None:
            return
        self.inputs[name] = image
        if name == "init_image":
            backend = self.backend
            size = size_of_shape(
                image.width / image.height, backend.defaults, backend.limits
            )
            with self._form.settle():
                self._form.width, self._form.height = size

    def _take_over(self, backend: Backend, settings: Settings | None = None) -> None:
        """Set a model's own numbers, or where there are any, the configured ones."""
        for name in _BACKEND_SETTINGS:
            configured = getattr(settings, name) if settings else None
            own = getattr(backend.defaults, name)
            setattr(self._form, name, own if configured is None else configured)
        takes = backend.limits.takes
        self._form.strength = takes.strength
        if self._form.scheduler not in takes.schedulers:
            self._form.scheduler = ""

    def _checks(self) -> dict[str, Callable[[], object]]:
        form = self._form
        try:
            backend = self.backend
        except UsageError as error:
            return {"backend": partial(_fail, error)}
        checks: dict[str, Callable[[], object]] = {
            "prompt": form.prompts,
            "tags": lambda: checked_tags(form.tag_names()),
            "count": form.require_count,
            "loras": lambda: validated_loras(self._loras()),
        }
        for name in _LIMITED_SETTINGS:
            checks[name] = partial(
                _validated_setting, backend, name, getattr(form, name)
            )
        if backend.limits.sizes:  # there one side is as good as the other makes it
            fitting = partial(check_size, form.width, form.height, backend.limits)
            checks["width"] = checks["height"] = fitting
        name, check = self._options_check(backend)
        return {**checks, name: check}

    def _options_check(self, backend: Backend) -> tuple[str, Callable[[], object]]:
        """Return the check of all options together, and the control that fails it."""
        options, takes = self.options(), backend.limits.takes
        if lacking := [name for name in takes.needs if name not in options]:
            words = " and ".join(name.replace("_", " ") for name in takes.needs)
            why = UsageError(f"{backend.name} draws from {words}: add what is missing")
            return lacking[0], partial(_fail, why)
        check = partial(validated_options, options, takes)
        problem = _problem_of(check)
        named = (name for name in _OPTION_CONTROLS if name in problem)
        return next(named, "negative_prompt"), check

    def _loras(self) -> list[tuple[str, float]] | None:
        """Return the chosen LoRAs; None for a backend that takes none, or for none."""
        if "loras" not in accepted_options(self.backend) or not self._form.loras:
            return None
        try:
            return [(str(file), float(weight)) for file, weight in self._form.loras]
        except (TypeError, ValueError):
            raise UsageError("loras are [file, weight] pairs") from None

    def _common_values(self) -> dict[str, Any]:
        """Return what all requests of the form have, prompt and seed apart."""
        form, options = self._form, self.options()
        images = {name: image.file_name for name, image in _images_in(options).items()}
        return {
            "backend": form.backend,
            "tags": tuple(form.tag_names()),
            "cloud": self.to_cloud(),
            "loras": tuple(self._loras() or ()),
            **{name: getattr(form, name) for name in _BACKEND_SETTINGS},
            **options,
            **images,
        }


def _images_in(options: Mapping[str, Any]) -> dict[str, InputImage]:
    return {
        name: value for name, value in options.items() if isinstance(value, InputImage)
    }


def _validated_setting(backend: Backend, name: str, value: Any) -> object:
    limits = replace(backend.limits, takes=AcceptedOptions(), sizes=())
    return resolve("x", defaults=backend.defaults, limits=limits, **{name: value})


def _fail(error: UsageError) -> dict[str, Any]:
    raise error


def _problem_of(check: Callable[[], object]) -> str:
    try:
        check()
    except ImagenError as error:
        return str(error)
    return ""
