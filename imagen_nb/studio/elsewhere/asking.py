"""Requests as rows of imagen.jobs: complete, and naming nothing of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from uuid import UUID

from imagen_nb.backends import UnknownOptionError
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.inputs import upload_input
from imagen_nb.errors import UsageError
from imagen_nb.request.request import Request
from imagen_nb.storage.jobs import Job, job_request
from imagen_nb.storage.record import new_id

_OPTIONS = ("model", "loras")
_LORAS_BY_NAME = "loras are names of the drawing machine's, or (name, weight) pairs"


def jobs_of(
    requests: Sequence[Request], backend: str, options: Mapping[str, Any]
) -> list[Job]:
    """Return a job for each request, in an order that the queue keeps.

    `options`: of the backend, as `remote_options` gives them. Raises `UsageError` for
    what no job can ask for.
    """
    # Jobs that come in at one moment are drawn in the order of their ids.
    ids = sorted(new_id() for _ in requests)
    return [
        _job_of(id, request, backend, options)
        for id, request in zip(ids, requests, strict=True)
    ]


def _job_of(
    id: UUID, request: Request, backend: str, options: Mapping[str, Any]
) -> Job:
    asked = {
        "prompt": request.prompt,
        "seed": request.seed,
        "steps": request.steps,
        "width": request.width,
        "height": request.height,
        "guidance": request.guidance,
        "max_sequence_length": request.max_sequence_length,
        "negative_prompt": request.negative_prompt,
        "true_cfg": request.true_cfg if request.true_cfg > 1 else None,
        "scheduler": request.scheduler,
        "strength": request.strength,
        "tags": request.tags,
        "derived_from": request.derived_from or None,
        **{name: image.sha256 for name, image in request.inputs.items()},
        **options,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    checked = job_request(given)
    return Job(
        id=id,
        request=checked.model_dump(mode="json", include={*given}),
        backend=backend,
    )


def remote_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job can ask of its backend: `model`, and `loras` by name.

    A name is relative to a LoRA folder of the drawing machine; of a path on this one, it
    is the file's name. Raises `UsageError` for other options.
    """
    if others := sorted(options.keys() - {*_OPTIONS}):
        error = UnknownOptionError(
            f"a machine elsewhere is told model and loras, not {', '.join(others)}"
        )
        error.known, error.unknown = _OPTIONS, tuple(others)
        raise error
    given: dict[str, Any] = {"model": options.get("model")}
    if options.get("loras"):
        given["loras"] = [*map(_lora_by_name, _listed(options["loras"]))]
    return given


def _listed(loras: Any) -> Iterable[Any]:
    if isinstance(loras, (str, PurePath)) or _is_weighted(loras):
        return [loras]
    if not isinstance(loras, Iterable) or isinstance(loras, Mapping):
        raise UsageError(f"{_LORAS_BY_NAME}, not {loras!r:.60}")
    return loras


def _is_weighted(lora: Any) -> bool:
    return (
        isinstance(lora, (tuple, list))
        and len(lora) == 2
        and not isinstance(lora[1], (str, PurePath, tuple, list))
    )


def _lora_by_name(lora: Any) -> tuple[str, float]:
    name, weight = lora if _is_weighted(lora) else (lora, 1.0)
    if not isinstance(name, (str, PurePath)):
        raise UsageError(f"{_LORAS_BY_NAME}, not {lora!r:.60}")
    text = str(name)
    is_path = text.startswith((".", "~")) or PurePath(text).is_absolute()
    return (PurePath(text).name if is_path else text), weight


def upload_inputs_of(requests: Iterable[Request], cloud: Cloud) -> None:
    """Upload the images that these are drawn from, each once. Raises `CloudError`."""
    images = {
        image.sha256: image for request in requests for image in request.inputs.values()
    }
    for image in images.values():
        upload_input(image, cloud)
