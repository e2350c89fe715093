"""What a user may set of a memory plan: in `memory:` of the configuration or a call."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagen_nb.backends.flux.memory.plan import FAST_THRESHOLD
from imagen_nb.backends.flux.memory.storages import STORAGES
from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute_path, portable_path
from imagen_nb.system.spelling import describe_meant


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """One setting: what it takes and does, in words, and whether it accepts a value."""

    takes: str
    accepts: Callable[[Any], bool]
    does: str


def _choice_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return ", ".join(names), lambda value: value in names


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_threshold(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _is_batch_size(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and 1 <= value <= _MAX_BATCH


def _is_interval(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and 0 <= value <= _MAX_INTERVAL


def _is_device(value: Any) -> bool:
    pattern = r"cpu|mps|cuda(:\d{1,2})?"
    return isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_MAX_BATCH = 64  # pictures denoised together
_MAX_INTERVAL, _USUAL_INTERVAL = 16, 3  # steps
_DTYPES = ("bfloat16", "float16", "float32")
_OFFLOAD_MODES = ("none", "model", "group", "sequential")
_TEXT_ENCODER_MODES = ("kept", "second-card", "offloaded", "freed")
_TRUE_OR_FALSE = ("true or false", _is_switch)
MEMORY_KEYS = {
    "plan": MemoryKey(
        *_choice_of("auto", "fast"),
        "Which plans are tried: those of the table, or the fast ones before them.",
    ),
    "device": MemoryKey(
        "cpu, mps, cuda or cuda:1", _is_device, "What draws; a card if there is one."
    ),
    "dtype": MemoryKey(*_choice_of(*_DTYPES), "What is calculated with."),
    "quantization": MemoryKey(
        *_choice_of(*STORAGES), "How the weights of transformer and T5 are stored."
    ),
    "offload": MemoryKey(
        *_choice_of(*_OFFLOAD_MODES), "What waits in RAM until the card needs it."
    ),
    "pinned": MemoryKey(
        *_TRUE_OR_FALSE,
        "With group offload: RAM that cannot be swapped; blocks come in time.",
    ),
    "text_encoders": MemoryKey(
        *_choice_of(*_TEXT_ENCODER_MODES), "Where the text encoders are while it draws."
    ),
    "vae_tiling": MemoryKey(
        *_TRUE_OR_FALSE, "Decode pictures in tiles: less memory, faint seams."
    ),
    "vae_slicing": MemoryKey(
        *_TRUE_OR_FALSE, "Decode the pictures of a batch one by one."
    ),
    "attention": MemoryKey(
        *_choice_of("auto", "native", "cudnn"),
        "Who computes attention: torch's choice, or cuDNN (auto: on an H100).",
    ),
    "fused_qkv": MemoryKey(
        *_TRUE_OR_FALSE, "Make one multiplication of three in each attention."
    ),
    "compile": MemoryKey(
        *_TRUE_OR_FALSE, "Compile the transformer's blocks: slow once, then faster."
    ),
    "cache": MemoryKey(
        *_choice_of("none", "first-block", "taylorseer"),
        "Use parts of a step again in the next; the two keys below say how much.",
    ),
    "first_block_cache": MemoryKey(
        "a number, 0 or more",
        _is_threshold,
        "Skip steps that change little; 0.05 to 0.15, 0 is off.",
    ),
    "taylorseer": MemoryKey(
        f"a whole number, 0 to {_MAX_INTERVAL}",
        _is_interval,
        "Calculate one of so many steps, predict the others; 3 to 5, 0 is off.",
    ),
    "batch": MemoryKey(
        f"a whole number, 1 to {_MAX_BATCH}",
        _is_batch_size,
        "Pictures denoised together.",
    ),
    "gguf": MemoryKey("a .gguf file", _is_text, "The transformer's weights."),
}


def validated_memory(memory: Any) -> dict[str, Any]:
    """Return what a user set of a memory plan, without what is None.

    A GGUF file implies that quantization, fp8-dynamic what makes it fast, and a cache
    its threshold or interval, in whose place `cache` is left out. Raise `UsageError`
    for an unknown key or value, naming the known ones.

    Example:
        >>> validated_memory({"quantization": "int8", "offload": None})
        {'quantization': 'int8'}
    """
    if memory is None:
        return {}
    if not isinstance(memory, Mapping):
        raise UsageError(
            f"memory is a mapping like {{'quantization': 'int8'}}, not {memory!r}"
        )
    validated = {}
    for name, value in memory.items():
        if name not in MEMORY_KEYS:
            known = ", ".join(MEMORY_KEYS)
            meant = describe_meant(name, MEMORY_KEYS)
            raise UsageError(f"memory has no {name!r}: it takes {known}{meant}")
        if value is not None:
            validated[name] = _validated_memory_value(name, value)
    return _with_gguf(_with_cache(_with_float8(validated)))


def _with_float8(memory: dict[str, Any]) -> dict[str, Any]:
    """Compile and fuse where activations are quantized: without, nothing is won."""
    if memory.get("quantization") == "fp8-dynamic":
        return {"compile": True, "fused_qkv": True, **memory}
    return memory


def _with_cache(memory: dict[str, Any]) -> dict[str, Any]:
    """Put both caches' numbers in the place of `cache`, which decides on them."""
    cache = memory.pop("cache", None)
    if cache is None:
        if memory.get("first_block_cache") and memory.get("taylorseer"):
            raise UsageError(
                "memory has first_block_cache and taylorseer: give one of the two"
            )
        return memory
    threshold = memory.get("first_block_cache") or FAST_THRESHOLD
    interval = memory.get("taylorseer") or _USUAL_INTERVAL
    chosen = {
        "first_block_cache": threshold if cache == "first-block" else 0.0,
        "taylorseer": interval if cache == "taylorseer" else 0,
    }
    return memory | chosen


def _with_gguf(memory: dict[str, Any]) -> dict[str, Any]:
    """Make a GGUF file and the quantization of that name agree."""
    if memory.get("gguf"):
        if memory.setdefault("quantization", "gguf") != "gguf":
            raise UsageError(
                "memory has a gguf file and another quantization: give one of the two"
            )
    elif memory.get("quantization") == "gguf":
        raise UsageError(
            "memory.quantization gguf needs memory.gguf: the file of the transformer"
        )
    return memory


def _validated_memory_value(name: str, value: Any) -> Any:
    key = MEMORY_KEYS[name]
    if not key.accepts(value):
        meant = describe_meant(value, key.takes.split(", "))
        raise UsageError(f"memory.{name} is {key.takes}, not {value!r}{meant}")
    if name == "gguf" and value:
        return portable_path(absolute_path(value))
    return float(value) if name == "first_block_cache" else value
