"""Loads pipelines from files on this machine, quietly, as a memory plan has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.drawing.effects import apply_plan
from imagen_nb.backends.flux.drawing.placing import (
    drawing_device,
    encoding_device,
    place_pipeline,
)
from imagen_nb.backends.flux.drawing.quantizing import quantization_arguments
from imagen_nb.backends.flux.failures import card_failure, short_reason
from imagen_nb.backends.flux.libraries import (
    library_versions,
    noting_random_weights,
    quietly,
)
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.memory.storages import STORAGES
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

        try:
            pipeline_class = getattr(diffusers, row.pipeline)
            with (
                noting_random_weights() as random,
                _where_quantized(plan, without) as device_map,
            ):
                pipeline: DiffusionPipeline = pipeline_class.from_pretrained(
                    folder,
                    dtype=_dtypes(plan),
                    local_files_only=True,
                    **device_map,
                    **dict.fromkeys(without),
                    **quantization_arguments(row, plan, folder, without),
                )
            _require_all_weights(row, random)
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


def _require_all_weights(row: Model, libraries: Set[str]) -> None:
    """Raise `BackendError` if these libraries found weights in no file."""
    names = [
        f"{name} {found}" for name, found in library_versions() if name in libraries
    ]
    if names:
        raise BackendError(
            f"cannot load {row.source} (its files lack weights that "
            f"{' and '.join(names)} looks for): save or fetch it again"
        )


def _dtypes(plan: MemoryPlan) -> Any:
    """Return what the parts calculate with, as `from_pretrained` takes it."""
    import torch

    dtype, vae_dtype = getattr(torch, plan.dtype), getattr(torch, plan.vae_dtype)
    return dtype if dtype == vae_dtype else {"default": dtype, "vae": vae_dtype}


@contextmanager
def _where_quantized(
    plan: MemoryPlan, without: Sequence[str]
) -> Iterator[dict[str, str]]:
    """Give the arguments that let torchao quantize on the card, where it has room.

    A CPU takes some 1,000 seconds for 12 billion weights. With group and sequential
    offload there is no room.
    """
    import torch

    encodes = "transformer" in without
    device = encoding_device(plan) if encodes else drawing_device(plan)
    later = plan.quantization == "fp8-dynamic" and not encodes  # then it is fused first
    by_torchao = STORAGES[plan.quantization].by_torchao
    fits = plan.offload in ("none", "model")
    if device.type == "cpu" or not by_torchao or not fits or later:
        yield {}
    elif device.index is None:
        yield {"device_map": device.type}
    else:  # diffusers takes no number there
        with torch.cuda.device(device):
            yield {"device_map": device.type}


def load_whole_pipeline(row: Model, plan: MemoryPlan) -> DiffusionPipeline:
    """Return a model's pipeline with all its parts; raises as `load_pipeline` does.

    Where a card holds it all, or quantizes it, one half goes there before the other is
    read: RAM or card may be too small for both.
    """
    quantizes = STORAGES[plan.quantization].by_torchao and plan.offload == "model"
    device = drawing_device(plan)
    if device.type == "cpu" or not (plan.offload == "none" or quantizes):
        return load_pipeline(row, plan)
    on_card = replace(plan, offload="none")
    painting = load_pipeline(row, on_card, row.kind.encoders)
    if quantizes:
        painting.to("cpu", silence_dtype_warnings=True)
    encoding = load_pipeline(row, on_card, PAINTING_PARTS)
    if quantizes:
        encoding.to("cpu", silence_dtype_warnings=True)
    encoders = {name: getattr(encoding, name) for name in row.kind.encoders}
    pipeline = pipeline_of_class(row.pipeline, painting, encoders)
    place_pipeline(pipeline, plan, device)
    return pipeline


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
