"""Turn the arguments of `generate`, `sweep` and `reproduce` into complete requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_nb.backends import Backend
from imagen_nb.backends.session import Backends
from imagen_nb.config.settings import Settings
from imagen_nb.request.images import InputImage, decode_input, load_input
from imagen_nb.request.options import IMAGE_OPTIONS, OPTION_NAMES
from imagen_nb.request.request import Request, Size, resolve
from imagen_nb.request.sweep import Grid, make_grid
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.studio.lookup import Lookup, is_picture, load_original_file


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
        of_request = ("max_sequence_length", *OPTION_NAMES)
        of_backend = {
            option: value
            for option, value in options.items()
            if option not in of_request
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
