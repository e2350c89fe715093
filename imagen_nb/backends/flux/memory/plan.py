"""The memory plans: where weights are, how they are stored, what is done for speed.

Pure data: nothing here looks at a machine or loads anything. All sizes are in GB of 10⁹
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to draw with.

    `gpu_gb`: memory of the card, 0 without one. `capability`: its CUDA compute
    capability, 0 for other makes. `packages`: those of `PACKAGES` that are installed.
    `make`: cuda, rocm or mps. `device`: torch's name of the card, "" for the first.
    `second`, `second_gb`: another card, and its memory; "" where there is none.
    """

    gpu_gb: float = 0.0
    ram_gb: float = 16.0
    capability: float = 0.0
    packages: frozenset[str] = frozenset()
    make: str = "cuda"
    device: str = ""
    second: str = ""
    second_gb: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How a model is held in memory while it draws.

    `pinned`: with group offload, whether the transformer lies in pinned RAM, from where
    blocks come while the card works. `attention`: native or cudnn. `first_block_cache`:
    the threshold below which a step's other blocks are skipped; 0 never. `taylorseer`:
    of how many steps one is calculated and the others are predicted; 0 predicts none.
    `batch`: pictures denoised together. `gguf`: the file of the transformer, `gguf_gb`
    its size. `device`, `encoder_device`: torch's names of what draws and of what
    encodes, "" for the first card or the CPU. `gpu_gb`, `second_gb`, `ram_gb`: what it
    is expected to take of cards and RAM at its peak.
    """

    name: str = "whole"
    dtype: str = "bfloat16"
    quantization: str = "none"
    offload: str = "none"
    pinned: bool = False
    text_encoders: str = "kept"
    vae_tiling: bool = False
    vae_slicing: bool = False
    attention: str = "native"
    fused_qkv: bool = False
    compile: bool = False
    first_block_cache: float = 0.0
    taylorseer: int = 0
    batch: int = 1
    gguf: str = ""
    gguf_gb: float = 0.0
    device: str = ""
    encoder_device: str = ""
    gpu_gb: float = 0.0
    second_gb: float = 0.0
    ram_gb: float = 0.0

    @property
    def separate(self) -> bool:
        """Return whether the text encoders are in a pipeline of their own."""
        return self.text_encoders != "kept" and self.offload == "none"

    @property
    def phased(self) -> bool:
        """Return whether weights move: then many pictures share each phase."""
        return self.separate or self.offload == "model"

    @property
    def vae_dtype(self) -> str:
        """Return what the VAE calculates with: FLUX's overflows in float16."""
        return "float32" if self.dtype == "float16" else self.dtype

    @property
    def exact(self) -> bool:
        """Return whether it draws, on the same machine, the bits that `whole` does."""
        changing = (self.fused_qkv, self.compile, self.first_block_cache)
        return (
            self.quantization == "none"
            and self.attention == "native"
            and not (any(changing) or self.taylorseer or self.vae_tiling)
        )

    def recorded(self) -> dict[str, Any]:
        """Return what a record has of it: what differs from the defaults, or {}.

        Without `dtype`, `device` and `batch`, which records have anyway, and without
        estimates.
        """
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in _NOT_RECORDED
            and getattr(self, each.name) != each.default
        }


_NOT_RECORDED = {"name", "dtype", "batch", "device", "encoder_device"} | {
    "gguf_gb",
    "gpu_gb",
    "second_gb",
    "ram_gb",
}
_TILED = {"vae_tiling": True, "vae_slicing": True}
_MODEL_OFFLOAD = {"offload": "model", "text_encoders": "offloaded"}
_GROUP_OFFLOAD = {"offload": "group", "text_encoders": "offloaded", **_TILED}
_PINNED = {**_GROUP_OFFLOAD, "pinned": True}
_COMPILED = {"attention": "auto", "compile": True}
_FLOAT8 = {"quantization": "fp8-dynamic", "fused_qkv": True, **_COMPILED}
# From the best pictures and speed to the least memory.
MEMORY_PLANS: dict[str, dict[str, Any]] = {
    "whole": {},
    "two-cards": {"text_encoders": "second-card"},
    "whole-tiled": _TILED,
    "offloaded": _MODEL_OFFLOAD,
    "fp8": {"quantization": "fp8"},
    "int8": {"quantization": "int8"},
    "freed": {"text_encoders": "freed"},
    "freed-tiled": {"text_encoders": "freed", **_TILED},
    "fp8-offloaded": {"quantization": "fp8", **_MODEL_OFFLOAD},
    "int8-offloaded": {"quantization": "int8", **_MODEL_OFFLOAD},
    "layerwise-offloaded": {"quantization": "layerwise", **_MODEL_OFFLOAD},
    "int8-freed": {"quantization": "int8", "text_encoders": "freed", **_TILED},
    "nf4": {"quantization": "nf4", **_TILED},
    "nf4-offloaded": {"quantization": "nf4", **_MODEL_OFFLOAD},
    "nf4-freed": {"quantization": "nf4", "text_encoders": "freed", **_TILED},
    "group": _PINNED,
    "group-layerwise": {"quantization": "layerwise", **_PINNED},
    "group-slow": _GROUP_OFFLOAD,
    "group-layerwise-slow": {"quantization": "layerwise", **_GROUP_OFFLOAD},
    "sequential": {**_GROUP_OFFLOAD, "offload": "sequential"},
}
_KEYS_OF_ROWS = sorted({key for row in MEMORY_PLANS.values() for key in row})


def memory_of_row(name: str) -> dict[str, Any]:
    """Return a row of `MEMORY_PLANS` as `memory` takes it.

    With all keys that rows differ in, so that no other plan can take its place.
    """
    plain = MemoryPlan()
    return {
        key: MEMORY_PLANS[name].get(key, getattr(plain, key)) for key in _KEYS_OF_ROWS
    }


# What `plan: fast` tries before these: pictures that are near those of `whole`, sooner.
FAST_PLANS: dict[str, dict[str, Any]] = {
    "fast": _FLOAT8,
    "fast-16-bit": _COMPILED,
    "fast-offloaded": {**_FLOAT8, **_MODEL_OFFLOAD},
}
# Of a fast plan, for models of many steps: a step that changes less is cut short.
FAST_THRESHOLD, FAST_CACHE_STEPS = 0.08, 16
