"""The pictures of trials: those that are there already, and those drawn now."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from imagen_nb.backends import Backend, Progress, UnknownOptionError
from imagen_nb.request.request import Request
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.arguments import RequestBuilder
from imagen_nb.studio.drawing import RequestDrawer
from imagen_nb.studio.optimizing.study_file import KeptTrial

_NUMBERS = ("steps", "guidance", "size", "width", "height")

FindTagged = Callable[[str, datetime], Sequence[str]]


@dataclass(frozen=True, slots=True)
class HowToDraw:
    """What the trials of a study have in common, as of `Studio.generate`."""

    backend: str | None = None
    settings: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()
    cloud: bool | None = None
    output: str | Path | None = None
    progress: Progress | bool | None = None


@dataclass(frozen=True, slots=True)
class TrialPictures:
    """Draws the pictures of a study's trials, one for each seed.

    Attributes:
        study: its name, which is in their tags.
        seeds: the same for all trials.
        how: what they have in common.
        builder: makes requests of settings.
        drawer: draws them.
        catalogs: returns those of the session, once all is written.
        tagged: returns the ids of pictures here with a tag, drawn since then.
    """

    study: str
    seeds: Sequence[int]
    how: HowToDraw
    builder: RequestBuilder
    drawer: RequestDrawer
    catalogs: Callable[[], list[Catalog]]
    tagged: FindTagged

    def request(
        self, settings: Mapping[str, Any], seed: int, tags: Sequence[str] = ()
    ) -> tuple[Backend, Request]:
        """Return who draws a picture, and what. Raise `UsageError` if it cannot be."""
        given = {**(self.how.settings or {}), **settings}
        size = given.pop("size", None)
        if size is not None:
            given["width"], given["height"] = size
        try:
            return self.builder.request(
                **given,
                seed=seed,
                backend=self.how.backend,
                tags=(*self.how.tags, *tags),
                cloud=self.how.cloud,
            )
        except UnknownOptionError as error:  # what may be meant by a misspelt one
            error.known = (*error.known, *_NUMBERS)
            raise

    def draw(
        self,
        trials: Mapping[int, tuple[KeptTrial, Mapping[str, Any]]],
        interrupted: Container[int],
    ) -> dict[int, list[Picture]]:
        """Return the pictures of each trial, in the order of the seeds.

        Those that one backend draws are drawn together.

        Args:
            trials: by number, with the settings of each. Their requests can be drawn.
            interrupted: the numbers of those that were begun before: what is there of
                them is not drawn again.
        """
        found: dict[int, dict[int, Picture]] = {}
        asked: dict[int, list[tuple[int, Request]]] = {}
        backends: dict[int, Backend] = {}
        for number, (trial, settings) in trials.items():
            was_begun = number in interrupted
            found[number] = self.there(trial, settings["prompt"]) if was_begun else {}
            for seed in self.seeds:
                if seed not in found[number]:
                    tags = tags_of(self.study, number)
                    backend, request = self.request(settings, seed, tags)
                    backends[id(backend)] = backend
                    asked.setdefault(id(backend), []).append((number, request))
        for key, requests in asked.items():
            for number, seed, picture in self._drawn(backends[key], requests):
                found[number][seed] = picture
        return {
            number: [of_trial[seed] for seed in self.seeds]
            for number, of_trial in found.items()
        }

    def _drawn(
        self, backend: Backend, requests: Sequence[tuple[int, Request]]
    ) -> list[tuple[int, int, Picture]]:
        """Return the pictures, each with its trial's number and its seed."""
        how = self.how
        with self.drawer.call(how.cloud, how.output, how.progress) as call:
            drawn = self.drawer.draw(backend, [each for _, each in requests], call)
        return [
            (number, request.seed, picture)
            for (number, request), picture in zip(requests, drawn, strict=True)
        ]

    def there(self, trial: KeptTrial, prompt: str) -> dict[int, Picture]:
        """Return the pictures of a trial that were drawn already, by seed."""
        tag = tags_of(self.study, trial.number)[-1]
        pictures = self.pictures(self.tagged(tag, trial.started))
        found: dict[int, Picture] = {}
        for picture in pictures:
            seed = picture.record.seed
            if (
                seed is not None
                and seed in self.seeds
                and picture.record.prompt == prompt
            ):
                found[seed] = picture
        return found

    def pictures(self, ids: Sequence[str]) -> list[Picture]:
        """Return those of these pictures that are on this machine, in their order."""
        found = {}
        for catalog in self.catalogs():
            for id in ids:
                entry = catalog.get(id) if catalog.has_any() else None
                if entry and entry.path.exists():
                    files = (entry.path, entry.sidecar_path)
                    found[id] = Picture(entry.record, *files, catalog)
        return [found[id] for id in ids if id in found]


def tags_of(study: str, trial: int) -> tuple[str, str]:
    """Return the tags of a trial's pictures: that of the study, and its own."""
    return f"study:{study}", f"trial:{study}/{trial}"


def first_undrawn(
    pictures: TrialPictures, trials: Mapping[int, tuple[KeptTrial, Mapping[str, Any]]]
) -> int | None:
    """Return the first trial that lacks a picture: of which drawing has failed."""
    for number, (trial, settings) in trials.items():
        if len(pictures.there(trial, settings["prompt"])) < len(pictures.seeds):
            return number
    return None
