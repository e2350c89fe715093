"""Puts a memory plan into effect, by what diffusers has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.memory.plan import Plan
from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expanded

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def quantization_arguments(
    row: Model, plan: Plan, folder: Path, without: Sequence[str]
) -> dict[str, Any]:
    """Arguments of `from_pretrained` that store the weights as the plan says."""
    large = ("transformer", row.kind.large)  # the others are small
    parts = [part for part in large if part not in without]
    if plan.quantization == "gguf":
        return (
            {"transformer": _load_gguf_transformer(row, plan, folder)}
            if "transformer" in parts
            else {}
        )
    if plan.quantization not in _QUANTIZATION_CONFIGS or not parts:
        return {}
    from diffusers import PipelineQuantizationConfig

    of_diffusers, of_transformers = _QUANTIZATION_CONFIGS[plan.quantization](plan)
    kinds = dict(zip(large, (of_diffusers, of_transformers), strict=True))
    mapping = {part: kinds[part] for part in parts}
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def _load_gguf_transformer(row: Model, plan: Plan, folder: Path) -> Any:
    import diffusers
    import torch
    from diffusers import GGUFQuantizationConfig

    file, dtype = expanded(plan.gguf), getattr(torch, plan.dtype)
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


def _int8_configs(plan: Plan) -> tuple[Any, Any]:
    from torchao.quantization import Int8WeightOnlyConfig

    return _torchao_configs(Int8WeightOnlyConfig)


def _fp8_configs(plan: Plan) -> tuple[Any, Any]:
    from torchao.quantization import Float8WeightOnlyConfig

    return _torchao_configs(Float8WeightOnlyConfig)


def _torchao_configs(kind: Callable[[], Any]) -> tuple[Any, Any]:
    from diffusers import TorchAoConfig as OfDiffusers
    from transformers import TorchAoConfig as OfTransformers

    return OfDiffusers(kind()), OfTransformers(kind())


def _nf4_configs(plan: Plan) -> tuple[Any, Any]:
    import torch
    from diffusers import BitsAndBytesConfig as OfDiffusers
    from transformers import BitsAndBytesConfig as OfTransformers

    how = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": getattr(torch, plan.dtype),
    }
    return OfDiffusers(**how), OfTransformers(**how)


_QUANTIZATION_CONFIGS: dict[str, Callable[[Plan], tuple[Any, Any]]] = {
    "int8": _int8_configs,
    "fp8": _fp8_configs,
    "nf4": _nf4_configs,
}


def apply_plan(pipeline: DiffusionPipeline, plan: Plan) -> None:
    """All that is done to a loaded pipeline, which may lack its encoders or all but these."""
    import torch

    if pipeline.transformer is not None:
        _prepare_transformer(pipeline.transformer, plan)
    if pipeline.vae is not None:
        _prepare_vae(pipeline.vae, plan)
    if torch.cuda.is_available():
        _PLACE_ON_CARD[plan.offload](pipeline)


def offload_again(pipeline: DiffusionPipeline, plan: Plan) -> None:
    """For another pipeline of parts that are in place: what belongs to the pipeline itself.

    Layers that come to the card in groups know the way by themselves. Untested: no GPU here.
    """
    import torch

    if torch.cuda.is_available() and plan.offload in ("model", "sequential"):
        _PLACE_ON_CARD[plan.offload](pipeline)


def _prepare_transformer(transformer: Any, plan: Plan) -> None:
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
        # The cache decides after each first block: no single graph.
        transformer.compile_repeated_blocks(fullgraph=not plan.first_block_cache)


def _prepare_vae(vae: Any, plan: Plan) -> None:
    if plan.vae_slicing:
        vae.enable_slicing()
    if plan.vae_tiling:
        vae.enable_tiling()
        # Tiles are as large as a picture of the model's own size, unless they are made smaller.
        vae.tile_sample_min_size //= 2
        vae.tile_latent_min_size //= 2


def _offload_by_groups(pipeline: DiffusionPipeline) -> None:
    import torch

    pipeline.enable_group_offload(
        onload_device=torch.device("cuda"),
        offload_type="leaf_level",
        use_stream=True,
        low_cpu_mem_usage=True,  # or pinned copies double what it takes of the RAM
    )


_PLACE_ON_CARD: dict[str, Callable[[DiffusionPipeline], object]] = {
    "none": lambda pipeline: pipeline.to("cuda"),
    "model": lambda pipeline: pipeline.enable_model_cpu_offload(),
    "group": _offload_by_groups,
    "sequential": lambda pipeline: pipeline.enable_sequential_cpu_offload(),
}
