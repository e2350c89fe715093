"""Loads pipelines from files on this machine, quietly, as a memory plan has them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.drawing.effects import apply_plan, quantization_arguments
from imagen_nb.backends.flux.failures import card_failure, short_reason
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.weights import (
    explain_incomplete,
    explain_missing,
    locate_weights,
)
from imagen_nb.errors import BackendError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PAINTING_PARTS = ("transformer", "vae")


def require_weights(row: Model) -> Path:
    """Return the folder of a model's weights.

    Raise `BackendError` when it is missing or incomplete.
    """
    folder = locate_weights(row)
    if folder is None or explain_incomplete(folder):
        raise BackendError(explain_missing(row))
    return folder


def load_pipeline(
    row: Model, plan: MemoryPlan, without: Sequence[str] = ()
) -> DiffusionPipeline:
    """Return a model's pipeline, with a memory plan in effect. Never downloads.

    `without`: names of parts that are left out, such as `PAINTING_PARTS`. Raise
    `BackendError` when the weights are missing or no FLUX pipeline, `CardMemoryError`
    when they are too large for the card.
    """
    folder = require_weights(row)
    with quietly():
        import diffusers
        import torch

        try:
            pipeline_class = getattr(diffusers, row.pipeline)
            pipeline: DiffusionPipeline = pipeline_class.from_pretrained(
                folder,
                dtype=getattr(torch, plan.dtype),
                local_files_only=True,
                **dict.fromkeys(without),
                **quantization_arguments(row, plan, folder, without),
            )
            pipeline.set_progress_bar_config(disable=True)
            apply_plan(pipeline, plan)
        except BackendError:
            raise
        except Exception as error:
            # Four libraries read files here, each with errors of its own.
            raise card_failure(error, f"cannot load {row.source}") or BackendError(
                f"cannot load {row.source} ({short_reason(error)}): "
                "save or fetch it again"
            ) from error
    return pipeline


def load_whole_pipeline(row: Model, plan: MemoryPlan) -> DiffusionPipeline:
    """Return a model's pipeline with all its parts; raises as `load_pipeline` does.

    On a card that holds it all, one half goes there before the other is read: the RAM
    may be too small for both.
    """
    import torch

    if plan.offload != "none" or not torch.cuda.is_available():
        return load_pipeline(row, plan)
    painting = load_pipeline(row, plan, row.kind.encoders)
    encoding = load_pipeline(row, plan, PAINTING_PARTS)
    encoders = {name: getattr(encoding, name) for name in row.kind.encoders}
    return pipeline_of_class(row.pipeline, painting, encoders)


def pipeline_of_class(
    name: str, pipeline: DiffusionPipeline, parts: Mapping[str, Any] | None = None
) -> DiffusionPipeline:
    """Return a pipeline of another class of diffusers, with the same parts and config.

    `name`: of the class. `parts`: those that replace the pipeline's own, by name.
    """
    import diffusers

    pipeline_class = getattr(diffusers, name)
    available = {**pipeline.config, **pipeline.components, **(parts or {})}
    parameters = inspect.signature(pipeline_class.__init__).parameters
    arguments = {each: available[each] for each in parameters if each in available}
    made: DiffusionPipeline = pipeline_class(**arguments)
    made.set_progress_bar_config(disable=True)
    return made


def load_vae(row: Model) -> Any:
    """Return another copy of a model's VAE, in float32 on the CPU.

    It is used without the lock of the pipeline. Raise `BackendError` when the weights
    are missing.
    """
    with quietly():
        import diffusers
        import torch

        return getattr(diffusers, row.kind.vae).from_pretrained(
            require_weights(row),
            subfolder="vae",
            dtype=torch.float32,
            local_files_only=True,
        )
