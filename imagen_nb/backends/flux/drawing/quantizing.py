"""Stores a model's weights in fewer bits, by what diffusers and torchao have for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expand_user

if TYPE_CHECKING:
    import torch


def quantization_arguments(
    row: Model, plan: MemoryPlan, folder: Path, without: Sequence[str]
) -> dict[str, Any]:
    """Return arguments of `from_pretrained` that store the weights as the plan says.

    `folder`: of the model's weights. `without`: names of parts that are not loaded.
    Raise `BackendError` if the plan's GGUF file is not there.
    """
    large = ("transformer", row.kind.large)  # the other parts are small
    parts = [part for part in large if part not in without]
    if plan.quantization == "gguf":
        if "transformer" not in parts:
            return {}
        return {"transformer": _load_gguf_transformer(row, plan, folder)}
    if plan.quantization not in _QUANTIZATION_CONFIGS:
        return {}
    configs = dict(
        zip(large, _QUANTIZATION_CONFIGS[plan.quantization](plan), strict=True)
    )
    mapping = {part: configs[part] for part in parts if configs[part]}
    if not mapping:
        return {}
    from diffusers import PipelineQuantizationConfig

    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def _load_gguf_transformer(row: Model, plan: MemoryPlan, folder: Path) -> Any:
    import diffusers
    import torch
    from diffusers import GGUFQuantizationConfig

    file, dtype = expand_user(plan.gguf), getattr(torch, plan.dtype)
    if not file.is_file():
        raise BackendError(
            f"there is no file {file}: memory.gguf names the transformer's"
        )
    return getattr(diffusers, row.kind.transformer).from_single_file(
        str(file),
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        config=str(folder),
        subfolder="transformer",
        dtype=dtype,
        local_files_only=True,
    )


def _int8_configs(plan: MemoryPlan) -> tuple[Any, Any]:
    from torchao.quantization import Int8WeightOnlyConfig

    return _torchao_configs(Int8WeightOnlyConfig)


def _fp8_configs(plan: MemoryPlan) -> tuple[Any, Any]:
    from torchao.quantization import Float8WeightOnlyConfig

    return _torchao_configs(Float8WeightOnlyConfig)


def _torchao_configs(make_config: Callable[[], Any]) -> tuple[Any, Any]:
    from diffusers import TorchAoConfig as OfDiffusers
    from transformers import TorchAoConfig as OfTransformers

    return OfDiffusers(make_config()), OfTransformers(make_config())


def _fp8_dynamic_configs(plan: MemoryPlan) -> tuple[Any, Any]:
    """The text encoder's alone: see `quantize_activations` for the transformer."""
    return None, _fp8_configs(plan)[1]


def _nf4_configs(plan: MemoryPlan) -> tuple[Any, Any]:
    import torch
    from diffusers import BitsAndBytesConfig as OfDiffusers
    from transformers import BitsAndBytesConfig as OfTransformers

    options = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": getattr(torch, plan.dtype),
    }
    return OfDiffusers(**options), OfTransformers(**options)


# By name of the quantization: the configs for the parts that diffusers loads, and for
# those that transformers loads.
_QUANTIZATION_CONFIGS: dict[str, Callable[[MemoryPlan], tuple[Any, Any]]] = {
    "int8": _int8_configs,
    "fp8": _fp8_configs,
    "fp8-dynamic": _fp8_dynamic_configs,
    "nf4": _nf4_configs,
}


def quantize_activations(transformer: Any, device: torch.device) -> None:
    """Let a transformer's blocks multiply in float8: weights now, activations as used.

    Layer by layer on the device, where the transformer is then. After its projections
    were fused: quantized weights cannot be joined. Not run on a card.
    """
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        PerRow,
        quantize_,
    )

    config = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
    quantize_(transformer, config, filter_fn=_is_linear_of_block, device=device)


def _is_linear_of_block(module: Any, name: str) -> bool:
    """What is before and after the blocks is small, and decides on details."""
    import torch

    return isinstance(module, torch.nn.Linear) and "transformer_blocks." in name
