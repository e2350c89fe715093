"""Puts a memory plan into effect, by what diffusers has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expand_user

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


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
    if plan.quantization not in _QUANTIZATION_CONFIGS or not parts:
        return {}
    from diffusers import PipelineQuantizationConfig

    of_diffusers, of_transformers = _QUANTIZATION_CONFIGS[plan.quantization](plan)
    configs = dict(zip(large, (of_diffusers, of_transformers), strict=True))
    mapping = {part: configs[part] for part in parts}
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
    "nf4": _nf4_configs,
}


def apply_plan(pipeline: DiffusionPipeline, plan: MemoryPlan) -> None:
    """Do to a loaded pipeline what the plan says; put it on the card if there is one.

    The pipeline may lack its text encoders, or have nothing else.
    """
    import torch

    if pipeline.transformer is not None:
        _prepare_transformer(pipeline.transformer, plan)
    if pipeline.vae is not None:
        _prepare_vae(pipeline.vae, plan)
    if torch.cuda.is_available():
        _PLACE_ON_CARD[plan.offload](pipeline)


def offload_again(pipeline: DiffusionPipeline, plan: MemoryPlan) -> None:
    """Do what belongs to a pipeline itself, for a new one of parts that are in place.

    With group offload there is nothing: the layers' own hooks move them. Not tested on
    a GPU.
    """
    import torch

    if torch.cuda.is_available() and plan.offload in ("model", "sequential"):
        _PLACE_ON_CARD[plan.offload](pipeline)


def _prepare_transformer(transformer: Any, plan: MemoryPlan) -> None:
    import torch

    if plan.quantization == "layerwise":
        transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, plan.dtype)
        )
    if plan.first_block_cache:
        from diffusers import FirstBlockCacheConfig

        if transformer.is_cache_enabled:  # a second one is refused
            transformer.disable_cache()
        transformer.enable_cache(
            FirstBlockCacheConfig(threshold=plan.first_block_cache)
        )
    if plan.compile:
        # The cache decides after each first block, so there is no single graph.
        transformer.compile_repeated_blocks(fullgraph=not plan.first_block_cache)


def _prepare_vae(vae: Any, plan: MemoryPlan) -> None:
    if plan.vae_slicing:
        vae.enable_slicing()
    if plan.vae_tiling:
        vae.enable_tiling()
        # By default a tile is as large as a picture of the model's own size.
        vae.tile_sample_min_size //= 2
        vae.tile_latent_min_size //= 2


def _offload_by_groups(pipeline: DiffusionPipeline) -> None:
    import torch

    pipeline.enable_group_offload(
        onload_device=torch.device("cuda"),
        offload_type="leaf_level",
        use_stream=True,
        low_cpu_mem_usage=True,  # without it, pinned copies double the RAM taken
    )


_PLACE_ON_CARD: dict[str, Callable[[DiffusionPipeline], object]] = {
    "none": lambda pipeline: pipeline.to("cuda"),
    "model": lambda pipeline: pipeline.enable_model_cpu_offload(),
    "group": _offload_by_groups,
    "sequential": lambda pipeline: pipeline.enable_sequential_cpu_offload(),
}
