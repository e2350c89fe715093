"""Loads pipelines: from files that are here, quietly, as a memory plan has them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.drawing.effects import apply_plan, quantization_arguments
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.flux.memory.plan import Plan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.weights import found, lacking, missing_line
from imagen_nb.errors import BackendError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PAINTING_PARTS = ("transformer", "vae")


class CardMemoryError(BackendError):
    """The graphics card's memory was too small; a smaller plan may do."""


def require_weights(row: Model) -> Path:
    """The folder of a row's weights. Raises `BackendError` when it is missing or incomplete."""
    folder = found(row)
    if folder is None or lacking(folder):
        raise BackendError(missing_line(row))
    return folder


def load_pipeline(
    row: Model, plan: Plan, without: Sequence[str] = ()
) -> DiffusionPipeline:
    """The pipeline of a row as a plan has it, `without` some of its parts. Never downloads.

    Raises `BackendError` when the weights are missing or no FLUX pipeline, `CardMemoryError` when
    they are too large for the card.
    """
    folder = require_weights(row)
    with quietly():
        import diffusers
        import torch

        try:
            pipeline: DiffusionPipeline = getattr(
                diffusers, row.pipeline
            ).from_pretrained(
                folder,
                dtype=getattr(torch, plan.dtype),
                local_files_only=True,
                **dict.fromkeys(without),
                **quantization_arguments(row, plan, folder, without),
            )
            pipeline.set_progress_bar_config(disable=True)
            apply_plan(pipeline, plan)
        except torch.OutOfMemoryError as error:
            raise CardMemoryError(
                f"cannot load {row.source}: out of memory of the card"
            ) from error
        except BackendError:
            raise
        except (
            Exception
        ) as error:  # four libraries read files here, each with errors of its own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BackendError(
                f"cannot load {row.source} ({reason}): save or fetch it again"
            ) from error
    return pipeline


def load_whole_pipeline(row: Model, plan: Plan) -> DiffusionPipeline:
    """The pipeline of a row with all its parts.

    On a card that holds it all, one half goes there before the other is read: the RAM may be small.
    """
    import torch

    if plan.offload != "none" or not torch.cuda.is_available():
        return load_pipeline(row, plan)
    painter, encoders = (
        load_pipeline(row, plan, row.kind.encoders),
        load_pipeline(row, plan, PAINTING_PARTS),
    )
    return pipeline_of_class(
        row.pipeline,
        painter,
        {name: getattr(encoders, name) for name in row.kind.encoders},
    )


def pipeline_of_class(
    name: str, pipeline: DiffusionPipeline, parts: Mapping[str, Any] | None = None
) -> DiffusionPipeline:
    """Another pipeline of the same parts, but for those given, and of the same configuration."""
    import diffusers

    kind = getattr(diffusers, name)
    known = {**pipeline.config, **pipeline.components, **(parts or {})}
    taken = [
        each for each in inspect.signature(kind.__init__).parameters if each in known
    ]
    made: DiffusionPipeline = kind(**{each: known[each] for each in taken})
    made.set_progress_bar_config(disable=True)
    return made


def load_vae(row: Model) -> Any:
    """Another copy of a row's VAE, in float32 on the CPU: free of the pipeline's lock."""
    with quietly():
        import diffusers
        import torch

        return getattr(diffusers, row.kind.vae).from_pretrained(
            require_weights(row),
            subfolder="vae",
            dtype=torch.float32,
            local_files_only=True,
        )
