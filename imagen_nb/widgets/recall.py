"""What a record says, as a Panel's form and as a request for more of the kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from imagen_nb.backends import is_remote
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import escape, expand
from imagen_nb.storage.drawing_queue import DrawingRequest
from imagen_nb.storage.input_files import recorded_inputs
from imagen_nb.storage.record import Record


def form_values_of(record: Record) -> dict[str, Any]:
    """Return the form's settings that draw this, prompt, size, seed and images apart."""
    values = {
        "backend": record.backend,
        "steps": record.steps,
        "guidance": record.guidance,
        "negative_prompt": record.negative_prompt or "",
        "scheduler": record.scheduler_name or "",
        "strength": record.strength,
        "loras": [[*_lora_and_weight(each)] for each in record.loras],
        "count": 1,
    }
    said = {name: value for name, value in values.items() if value is not None}
    return {**said, "true_cfg": guiding_scale(record)}


def drawing_request_like(record: Record) -> DrawingRequest:
    """Return a request with all settings of a picture but its seed, tags and cloud.

    Its images are taken to lie where the queue keeps them.
    """
    return DrawingRequest.model_validate(
        {
            "prompt": record.prompt,
            "backend": record.backend,
            "steps": record.steps,
            "width": record.width,
            "height": record.height,
            "guidance": record.guidance,
            "negative_prompt": record.negative_prompt,
            "true_cfg": guiding_scale(record),
            "strength": record.strength,
            "scheduler": record.scheduler_name,
            "loras": tuple(map(_lora_and_weight, record.loras)),
            **{
                name: PurePosixPath(str(each["file"])).name
                for name, each in recorded_inputs(record).items()
            },
        }
    )


def drawing_request_again(
    record: Record, name: str, cloud: bool | None
) -> DrawingRequest:
    """Return the request to draw a picture again.

    `name`: of the backend, which says whether another machine draws.
    """
    return DrawingRequest(
        prompt=record.prompt,
        seed=record.seed,
        again=record.id,
        cloud=cloud,
        backend=name if is_remote(name) else None,
    )


def prompt_as_literal(prompt: str) -> str:
    """Return the text that draws this very prompt: braces in it are no alternatives."""
    try:
        return prompt if expand(prompt) == [prompt] else escape(prompt)
    except UsageError:
        return escape(prompt)


def guiding_scale(record: Record) -> float | None:
    """Return the scale of classifier-free guidance; None where it was off."""
    scale = record.true_cfg
    return scale if scale is not None and scale > 1 else None


def _lora_and_weight(lora: Mapping[str, Any]) -> tuple[str, float]:
    return str(lora.get("path")), float(lora.get("weight", 1))
