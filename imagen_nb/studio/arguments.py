"""Turn the arguments of `generate`, `sweep` and `reproduce` into complete requests."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from imagen_nb.backends import Backend, UnknownOptionError
from imagen_nb.backends.session import Backends
from imagen_nb.config.settings import Settings
from imagen_nb.errors import UsageError
from imagen_nb.request.images import InputImage, decode_input, load_input
from imagen_nb.request.options import IMAGE_OPTIONS, OPTION_NAMES
from imagen_nb.request.request import Request, Size, resolve
from imagen_nb.request.sweep import Grid, make_grid
from imagen_nb.request.sweep_syntax import MAX_SWEEP_PICTURES
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.studio.lookup import Lookup, is_picture, load_original_file
from imagen_nb.system.markup import one_line
from imagen_nb.system.spelling import argument_names, nearest_name
from imagen_nb.system.terminal import print_notice

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_REQUEST_OPTIONS = ("max_sequence_length", *OPTION_NAMES)
_ALTERNATIVES = re.compile(r"\{[^{|}]*\|[^{}]*\}")  # as a sweep expands them
_OTHER_WORDS = (  # words of other calls and programs, and our arguments for them
    ("size", ("width", "height")),
    ("width", ("size",)),
    ("height", ("size",)),
    ("num_inference_steps", ("steps",)),
    ("guidance_scale", ("guidance",)),
    ("image", ("init_image",)),
    ("mask_image", ("mask",)),
)


@dataclass(frozen=True, slots=True)
class ChosenBackend:
    """The backend of a call, and those of the call's options that its requests take.

    `request_options`: the options of `request.options.OPTION_NAMES` that were given, images loaded.
    """

    backend: Backend
    max_sequence_length: int | None
    request_options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Builds requests from a call's arguments; the configuration stands for None."""

    settings: Settings
    backends: Backends
    lookup: Lookup

    def choose(
        self, name: str | None, options: Mapping[str, Any], cloud: bool | None = None
    ) -> ChosenBackend:
        """Return the backend of this name, and the options sorted by who takes them.

        Args:
            name: of the backend; None is the configured one.
            options: of the request or of the backend. An image may be a picture in any
                form that `Studio.reproduce` takes.
            cloud: False looks no picture up in the cloud.

        Raises:
            UsageError: for an option that neither takes, or an image that is none.
            BackendError: if the file of a recorded picture cannot be found.
        """
        of_backend = {
            option: value
            for option, value in options.items()
            if option not in _REQUEST_OPTIONS
        }
        request_options = {
            option: options[option]
            for option in OPTION_NAMES
            if options.get(option) is not None
        }
        for option in IMAGE_OPTIONS & request_options.keys():
            request_options[option] = self._load_image(
                option, request_options[option], cloud
            )
        backend = self.backends.get(name, of_backend)
        return ChosenBackend(
            backend, options.get("max_sequence_length"), request_options
        )

    def request(
        self,
        prompt: str,
        *,
        backend: str | None = None,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        guidance: float | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        **options: Any,
    ) -> tuple[Backend, Request]:
        """Return the backend and the request of one picture; see `Studio.generate`."""
        checked_prompt(prompt)
        chosen = self.choose(backend, options, cloud)
        width, height = self._size(width, height, chosen.request_options)
        request = resolve(
            prompt,
            defaults=chosen.backend.defaults,
            limits=chosen.backend.limits,
            seed=seed,
            steps=self._or_configured("steps", steps),
            width=width,
            height=height,
            guidance=self._or_configured("guidance", guidance),
            max_sequence_length=chosen.max_sequence_length,
            tags=self.tags(tags),
            options=chosen.request_options,
        )
        return chosen.backend, request

    def grid(
        self,
        prompts: Sequence[str],
        *,
        backend: str | None = None,
        seeds: int | Iterable[int] | None = None,
        steps: int | Iterable[int] | None = None,
        guidance: float | Iterable[float] | None = None,
        size: Size | Iterable[Size] | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        **options: Any,
    ) -> tuple[Backend, Grid]:
        """Return the backend and the requests of a sweep; see `Studio.sweep`.

        `prompts`: already expanded; braces in them are braces.
        """
        chosen = self.choose(backend, options, cloud)
        if size is None:
            size = self._size(None, None, chosen.request_options)
        requests = make_grid(
            prompts,
            defaults=chosen.backend.defaults,
            limits=chosen.backend.limits,
            seeds=seeds,
            steps=self._or_configured("steps", steps),
            guidance=self._or_configured("guidance", guidance),
            size=size,
            max_sequence_length=chosen.max_sequence_length,
            tags=self.tags(tags),
            options=chosen.request_options,
        )
        return chosen.backend, requests

    def tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return the configured tags and these; raise UsageError for what is no tag."""
        return checked_tags((*self.settings.tags, *checked_tags(tags)))

    def _or_configured(self, name: str, value: Any) -> Any:
        return getattr(self.settings, name) if value is None else value

    def _size(
        self, width: int | None, height: int | None, request_options: Mapping[str, Any]
    ) -> Size:
        """Complete the size, unless there is an init image, which then decides."""
        if request_options.get("init_image") is not None:
            return width, height
        return (
            self._or_configured("width", width),
            self._or_configured("height", height),
        )

    def _load_image(self, option: str, image: Any, cloud: bool | None) -> InputImage:
        """Load an image to draw from: a recorded picture, a file, or one in memory."""
        if is_picture(image):
            original = self.lookup.original(image, cloud)
            data = load_original_file(original, self.lookup.reader(cloud))
            return decode_input(option, data)
        return load_input(option, image)


def suggesting_arguments(
    method: Callable[_Given, _Result],
) -> Callable[_Given, _Result]:
    """Make the method's error for an unknown argument name what was probably meant.

    That is an argument of the method, or an option that its `**` takes.
    """

    @functools.wraps(method)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        try:
            return method(*args, **kwargs)
        except UnknownOptionError as error:
            known = [*argument_names(method), *_REQUEST_OPTIONS, *error.known]
            hints = _describe_unknown(error.unknown, known)
            raise UsageError(f"{hints}: {error}" if hints else str(error)) from None

    return call


def describe_missing_prompt(options: Iterable[str]) -> str:
    """Return why nothing can be drawn, and which of the options was to be the prompt."""
    why = "nothing to draw: give a prompt, or like= a picture"
    misspelt = [name for name in options if nearest_name(name, ["prompt"])]
    hints = _describe_unknown(misspelt, ["prompt"])
    return f"{hints}: {why}" if hints else why


def note_single_seed(seeds: object) -> None:
    """Say on stderr that a number for seeds is one seed, not how many there are."""
    if isinstance(seeds, int) and 0 < seeds <= MAX_SWEEP_PICTURES:
        print_notice(
            f"seeds={seeds} is the one seed {seeds}, not so many seeds: "
            f"write seeds=[{seeds}] or seeds=range({seeds})"
        )


def note_braces(prompt: str) -> None:
    """Say on stderr that a prompt with alternatives in braces is drawn as it is."""
    if alternatives := _ALTERNATIVES.search(prompt):
        print_notice(
            f"{one_line(alternatives[0])} is drawn as it is written: did you mean sweep, which "
            "draws each of these?"
        )


def _describe_unknown(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Return a line on unknown arguments; "" if nothing like one of them is known."""
    meant = {name: _meant_arguments(name, known) for name in unknown}
    if not any(meant.values()):
        return ""
    words = "unknown arguments" if len(meant) > 1 else "unknown argument"
    described = (
        f"{name} (did you mean {near}?)" if near else name
        for name, near in meant.items()
    )
    return f"{words} {', '.join(described)}"


def _meant_arguments(name: str, known: Sequence[str]) -> str:
    """Return the known argument most like this one, or those that stand for it."""
    for word, ours in _OTHER_WORDS:
        if word == name and set(ours) <= set(known):
            return ", ".join(f"{each}=" for each in ours)
    nearest = nearest_name(name, known)
    return nearest or ""
