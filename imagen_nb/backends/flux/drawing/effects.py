"""Puts a memory plan into effect, by what diffusers has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.drawing.placing import (
    drawing_device,
    encoding_device,
    place_pipeline,
)
from imagen_nb.backends.flux.drawing.quantizing import quantize_activations
from imagen_nb.backends.flux.memory.plan import MemoryPlan

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

# What fusing makes superfluous.
_FUSED_LAYERS = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
_TAYLOR_WARM_UP = 3  # steps that are calculated before any is predicted


def apply_plan(pipeline: DiffusionPipeline, plan: MemoryPlan) -> None:
    """Do to a loaded pipeline what the plan says; put it on the card if there is one.

    The pipeline may lack its text encoders, or have nothing else.
    """
    device = drawing_device(plan)
    if pipeline.transformer is not None:
        _prepare_transformer(pipeline.transformer, plan, device)
    if pipeline.vae is not None:
        _prepare_vae(pipeline.vae, plan)
    if pipeline.transformer is None and pipeline.vae is None:
        device = encoding_device(plan)
    place_pipeline(pipeline, plan, device)


def _prepare_transformer(
    transformer: Any, plan: MemoryPlan, device: torch.device
) -> None:
    import torch

    if plan.fused_qkv:
        _fuse_projections(transformer)
    if plan.quantization == "fp8-dynamic":
        quantize_activations(transformer, device)
    if plan.quantization == "layerwise":
        transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, plan.dtype)
        )
    if plan.attention == "cudnn":
        _use_cudnn_attention(transformer)
    _enable_cache(transformer, plan)
    if plan.compile:
        transformer.compile_repeated_blocks(fullgraph=has_full_graphs(plan))


def has_full_graphs(plan: MemoryPlan) -> bool:
    """Return whether a block of the transformer is one graph for the compiler.

    Caches decide after a block's first layers, and hooks that move or widen weights
    cannot be compiled.
    """
    has_cache = plan.first_block_cache > 0 or plan.taylorseer > 0
    has_hooks = plan.quantization == "layerwise" or plan.offload not in _WHOLE_BLOCKS
    return not (has_cache or has_hooks)


_WHOLE_BLOCKS = ("none", "model")  # offloads that leave the inside of a model alone


def _fuse_projections(transformer: Any) -> None:
    """Join the three projections of each attention, and drop the single ones."""
    import torch

    with torch.no_grad():
        transformer.fuse_qkv_projections()
    for module in transformer.modules():
        if getattr(module, "fused_projections", False):
            for name in _FUSED_LAYERS:
                if getattr(module, name, None) is not None:
                    setattr(module, name, None)


def _use_cudnn_attention(transformer: Any) -> None:
    """Let cuDNN compute this transformer's attention. Not run on a card.

    diffusers makes it that of all other pipelines too: the context takes that back.
    """
    from diffusers.models.attention_dispatch import attention_backend

    with attention_backend("native"):
        transformer.set_attention_backend("_native_cudnn")


def _enable_cache(transformer: Any, plan: MemoryPlan) -> None:
    if not (plan.first_block_cache or plan.taylorseer):
        return
    import torch
    from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

    config: FirstBlockCacheConfig | TaylorSeerCacheConfig
    if plan.first_block_cache:
        config = FirstBlockCacheConfig(threshold=plan.first_block_cache)
    else:
        config = TaylorSeerCacheConfig(
            cache_interval=plan.taylorseer,
            disable_cache_before_step=_TAYLOR_WARM_UP,
            taylor_factors_dtype=getattr(torch, plan.dtype),
            use_lite_mode=True,  # predicts what the transformer gives, and skips it all
        )
    if transformer.is_cache_enabled:  # a second one is refused
        transformer.disable_cache()
    transformer.enable_cache(config)


def _prepare_vae(vae: Any, plan: MemoryPlan) -> None:
    if plan.vae_dtype != plan.dtype:
        _calculate_apart(vae, plan)
    if plan.vae_slicing:
        vae.enable_slicing()
    if plan.vae_tiling:
        vae.enable_tiling()
        # By default a tile is as large as a picture of the model's own size.
        vae.tile_sample_min_size //= 2
        vae.tile_latent_min_size //= 2


def _calculate_apart(vae: Any, plan: MemoryPlan) -> None:
    """Let a VAE of another type take, and encode to, what the transformer has."""
    import torch

    inside, outside = getattr(torch, plan.vae_dtype), getattr(torch, plan.dtype)

    def widen(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            each.to(inside) if isinstance(each, torch.Tensor) else each
            for each in given
        )

    def narrow(module: Any, given: tuple[Any, ...], result: torch.Tensor) -> Any:
        return result.to(outside)

    encoding = (vae.encoder, getattr(vae, "quant_conv", None))
    decoding = (getattr(vae, "post_quant_conv", None), vae.decoder)
    for layer in (*encoding, *decoding):
        if layer is not None:
            layer.register_forward_pre_hook(widen)
    for layer in encoding:
        if layer is not None:
            layer.register_forward_hook(narrow)
