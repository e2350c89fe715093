"""Checks what a job asks for, as arguments of a command are checked, and within bounds.

A job's row is data from outside. It names a backend that this worker offers, a model of
Hugging Face's cache by its id, LoRAs of the configured folders by their names, and
images by the sha256 of a file in its owner's folder of the bucket: nothing else that this
machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from imagen_nb.backends import Backend
from imagen_nb.backends.flux.lora_files import LORA_SUFFIX
from imagen_nb.backends.flux.models import FLUX_DEV
from imagen_nb.backends.flux.weights import HUGGING_FACE_ID, locate_weights
from imagen_nb.config.groups import WorkSettings
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.request.images import InputImage, decode_input
from imagen_nb.request.options import IMAGE_OPTIONS
from imagen_nb.request.request import Request
from imagen_nb.request.validation import validated_text
from imagen_nb.storage.jobs import Job, JobRequest, job_request
from imagen_nb.studio.arguments import RequestBuilder
from imagen_nb.system.paths import absolute_path, expand_user

FetchInput = Callable[[str], bytes]  # given its sha256
_MAX_CACHED_INPUTS = 4  # a batch has one of each, mostly


@dataclass(frozen=True, slots=True, eq=False)
class CheckedJob:
    """A job that can be drawn, with what draws it and the complete request."""

    job: Job
    backend: Backend
    request: Request

    @property
    def id(self) -> UUID:
        """Its id, and its picture's."""
        return self.job.id


@dataclass(slots=True, eq=False)
class JobChecker:
    """Makes requests of jobs.

    Attributes:
        builder: of the session that draws.
        offered: the names of the backends that this worker draws with.
        bounds: of a picture.
        lora_dirs: the folders whose LoRAs may be named.
        fetch: gets an input image from the bucket.
    """

    builder: RequestBuilder
    offered: tuple[str, ...]
    bounds: WorkSettings
    lora_dirs: tuple[str, ...]
    fetch: FetchInput
    _inputs: dict[str, InputImage] = field(default_factory=dict)

    def check(self, job: Job) -> CheckedJob:
        """Return the job as it will be drawn.

        Raises:
            UsageError, BackendError: if it cannot be drawn here, in one line.
            CloudError: if an input cannot be had; `RejectedError` if there is none.
        """
        _require_text(job.request)
        asked = job_request(job.request)
        name = self._backend(job, asked)
        self._require_steps(asked.steps)
        self._require_pixels(asked.width or 1, asked.height or 1)
        backend, request = self.builder.request(
            backend=name, cloud=False, **self._arguments(asked)
        )
        self._require_steps(request.steps)
        self._require_pixels(request.width, request.height)
        state = backend.availability()
        if not state.available:
            raise BackendError(state.reason)
        request = replace(request, job=job.id, derived_from=asked.parents())
        return CheckedJob(job, backend, request)

    def _backend(self, job: Job, asked: JobRequest) -> str | None:
        """Return the name of what must draw it; None for this worker's own choice."""
        named = {name for name in (job.backend, asked.backend) if name}
        if len(named) > 1:
            raise UsageError(f"the job names two backends: {', '.join(sorted(named))}")
        if not named:
            return self.offered[0]
        (name,) = named
        if name not in self.offered:
            offered = ", ".join(self.offered)
            raise UsageError(f"backend: this worker draws with {offered} only")
        return name

    def _arguments(self, asked: JobRequest) -> dict[str, Any]:
        arguments = asked.model_dump(
            exclude={"backend", "derived_from"}, exclude_none=True
        )
        if asked.model:
            arguments["model"] = _cached_model(asked.model)
        del arguments["loras"]  # not every backend takes them
        if asked.loras:
            arguments["loras"] = [
                (locate_named_lora(name, self.lora_dirs), weight)
                for name, weight in asked.loras
            ]
        for name in sorted(IMAGE_OPTIONS & arguments.keys()):
            arguments[name] = self._input(name, arguments[name])
        return arguments

    def _input(self, name: str, sha256: str) -> InputImage:
        if sha256 not in self._inputs:
            while len(self._inputs) >= _MAX_CACHED_INPUTS:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[sha256] = decode_input(name, self.fetch(sha256))
        return self._inputs[sha256]

    def _require_steps(self, steps: int | None) -> None:
        most = self.bounds.max_steps
        if steps is not None and steps > most:
            raise UsageError(f"steps: this worker draws {most} at most, not {steps}")

    def _require_pixels(self, width: int, height: int) -> None:
        most = self.bounds.max_pixels
        if abs(width * height) > most:
            raise UsageError(
                f"{width} × {height} is more than the {most} pixels that this worker"
                " draws"
            )


def locate_named_lora(name: str, folders: Iterable[str]) -> Path:
    """Return the LoRA of this name, relative to one of the folders.

    Raise `UsageError` if none has it. `name`: checked to be no path that leads outside.
    """
    for folder in folders:
        path = absolute_path(expand_user(Path(folder))) / name
        if path.suffix == LORA_SUFFIX and path.is_file():
            return path
    raise UsageError(f"loras: this worker's lora_dirs have no {name}")


def _cached_model(name: str) -> str:
    """Return the id of a model in Hugging Face's cache. Raise `UsageError` for others."""
    missing = UsageError(
        f"model: {name} is no model of this worker's Hugging Face cache"
    )
    row = replace(FLUX_DEV, source=name)
    if not HUGGING_FACE_ID.fullmatch(name) or row.folder is not None:
        raise missing
    if locate_weights(row) is None:
        raise missing
    return name


def _require_text(value: Any) -> None:
    """Raise `UsageError` if a text of the request is none that can be kept."""
    if isinstance(value, str):
        if "\0" in validated_text("the request", value):
            raise UsageError("the request has a NUL character: remove it")
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_text(key)
            _require_text(item)
    elif isinstance(value, list):
        for item in value:
            _require_text(item)
