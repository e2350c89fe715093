"""Arguments of `generate`, `sweep` and `reproduce` become a backend and complete requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Backend
from imagen_nb.backends.session import Backends
from imagen_nb.config.settings import Settings
from imagen_nb.request.images import Input, input_of, read_input
from imagen_nb.request.options import EXTRAS, IMAGES
from imagen_nb.request.request import Request, Size, resolve
from imagen_nb.request.sweep import Grid, grid
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.studio.lookup import Lookup, is_picture
from imagen_nb.studio.original_file import load_file

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class ChosenBackend:
    """The backend of a call, and what of its options each request takes."""

    backend: Backend
    max_sequence_length: int | None
    extras: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Completes arguments by the configuration: what is given wins, None is not given."""

    settings: Settings
    backends: Backends
    lookup: Lookup

    def choose(
        self, name: str | None, options: Mapping[str, Any], cloud: bool | None = None
    ) -> ChosenBackend:
        """The backend of this name, and the options, sorted by who takes them.

        An image may be a picture in any form that `reproduce` takes. Raises `UsageError` for an
        option that nobody takes.
        """
        own = ("max_sequence_length", *EXTRAS)
        made = {option: value for option, value in options.items() if option not in own}
        extras = {
            option: options[option]
            for option in EXTRAS
            if options.get(option) is not None
        }
        for option in IMAGES & extras.keys():
            extras[option] = self._image(option, extras[option], cloud)
        backend = self.backends.get(name, made)
        return ChosenBackend(backend, options.get("max_sequence_length"), extras)

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
        """The backend and the request of one picture; see `Studio.generate`."""
        checked_prompt(prompt)
        chosen = self.choose(backend, options, cloud)
        width, height = self._size(width, height, chosen.extras)
        request = resolve(
            prompt,
            defaults=chosen.backend.defaults,
            limits=chosen.backend.limits,
            seed=seed,
            steps=self._configured("steps", steps),
            width=width,
            height=height,
            guidance=self._configured("guidance", guidance),
            max_sequence_length=chosen.max_sequence_length,
            tags=self.tags(tags),
            extras=chosen.extras,
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
        """The backend and the requests of a sweep, of prompts as they are; see `Studio.sweep`."""
        chosen = self.choose(backend, options, cloud)
        combined = grid(
            prompts,
            defaults=chosen.backend.defaults,
            limits=chosen.backend.limits,
            seeds=seeds,
            steps=self._configured("steps", steps),
            guidance=self._configured("guidance", guidance),
            size=self._size(None, None, chosen.extras) if size is None else size,
            max_sequence_length=chosen.max_sequence_length,
            tags=self.tags(tags),
            extras=chosen.extras,
        )
        return chosen.backend, combined

    def tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        """The configured tags and these. Raises `UsageError` for what is no tag."""
        return checked_tags((*self.settings.tags, *checked_tags(tags)))

    def _configured(self, name: str, value: Any) -> Any:
        return getattr(self.settings, name) if value is None else value

    def _size(
        self, width: int | None, height: int | None, extras: Mapping[str, Any]
    ) -> tuple[int | None, int | None]:
        """The configured size stands for what is not given, unless an init image tells better."""
        if extras.get("init_image") is not None:
            return width, height
        return self._configured("width", width), self._configured("height", height)

    def _image(self, option: str, given: Any, cloud: bool | None) -> Input:
        """An image to draw from: of a file or in memory, or a picture of the history."""
        if is_picture(given):
            original = self.lookup.original(given, cloud)
            return input_of(option, load_file(original, self.lookup.reader(cloud)))
        return read_input(option, given)
