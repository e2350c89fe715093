"""Ways to be faster that the package has no key for: what each does to a loaded pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _cudnn(pipeline: Any) -> None:
    """Attention by cuDNN, which is part of torch: the kernels named "hub" would be fetched."""
    import torch

    backend = "_native_cudnn" if torch.cuda.is_available() else "native"
    pipeline.transformer.set_attention_backend(backend)


def _fuse_qkv(pipeline: Any) -> None:
    pipeline.transformer.fuse_qkv_projections()


def _channels_last(pipeline: Any) -> None:
    import torch

    pipeline.vae.to(memory_format=torch.channels_last)


def _vae_compile(pipeline: Any) -> None:
    import torch

    pipeline.vae.decoder = torch.compile(pipeline.vae.decoder)


def _fp8_dynamic(pipeline: Any) -> None:
    """Multiply in float8, where the plan fp8 only stores in it and multiplies in bfloat16."""
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        PerRow,
        quantize_,
    )

    def is_large(module: Any, name: str) -> bool:
        import torch

        return isinstance(module, torch.nn.Linear) and "transformer_blocks" in name

    config = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
    quantize_(pipeline.transformer, config, is_large)


CHANGES: dict[str, Callable[[Any], None]] = {
    "cudnn": _cudnn,
    "fuse-qkv": _fuse_qkv,
    "channels-last": _channels_last,
    "vae-compile": _vae_compile,
    "fp8-dynamic": _fp8_dynamic,
}
