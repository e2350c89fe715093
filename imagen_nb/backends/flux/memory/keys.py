"""What of a memory plan a user may set: in `memory:` of the configuration, or in a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagen_nb.backends.flux.memory.plan import STORAGES
from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute, portable


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """One setting: what it takes, in words, whether a value is that, and what it does."""

    takes: str
    accepts: Callable[[Any], bool]
    does: str


def _choice_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return ", ".join(names), lambda value: value in names


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_threshold(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _is_batch_size(value: Any) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 1 <= value <= _MAX_BATCH
    )


_MAX_BATCH = 64  # pictures denoised together
_DTYPES = ("bfloat16", "float16", "float32")
_OFFLOAD_MODES = ("none", "model", "group", "sequential")
_TEXT_ENCODER_MODES = ("kept", "offloaded", "freed")
_TRUE_OR_FALSE = "true or false"
MEMORY_KEYS = {
    "dtype": MemoryKey(*_choice_of(*_DTYPES), "What is calculated with."),
    "quantization": MemoryKey(
        *_choice_of(*STORAGES), "How the weights of transformer and T5 are stored."
    ),
    "offload": MemoryKey(
        *_choice_of(*_OFFLOAD_MODES), "What waits in RAM until the card needs it."
    ),
    "text_encoders": MemoryKey(
        *_choice_of(*_TEXT_ENCODER_MODES), "Where the text encoders are while it draws."
    ),
    "vae_tiling": MemoryKey(
        _TRUE_OR_FALSE,
        _is_switch,
        "Decode pictures in tiles: less memory, faint seams.",
    ),
    "vae_slicing": MemoryKey(
        _TRUE_OR_FALSE, _is_switch, "Decode the pictures of a batch one by one."
    ),
    "compile": MemoryKey(
        _TRUE_OR_FALSE,
        _is_switch,
        "Compile the transformer's blocks: slow once, then faster.",
    ),
    "first_block_cache": MemoryKey(
        "a number, 0 or more",
        _is_threshold,
        "Skip steps that change little; 0.05 to 0.15, 0 is off.",
    ),
    "batch": MemoryKey(
        f"a whole number, 1 to {_MAX_BATCH}",
        _is_batch_size,
        "Pictures denoised together.",
    ),
    "gguf": MemoryKey(
        "a .gguf file",
        lambda value: isinstance(value, str),
        "The transformer's weights.",
    ),
}


def validated_memory(given: Any) -> dict[str, Any]:
    """What a user set, without what is None; a GGUF file means that quantization.

    Raises `UsageError` for an unknown key or value, naming the known ones.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"memory is a mapping like {{'quantization': 'int8'}}, not {given!r}"
        )
    found = {}
    for name, value in given.items():
        if name not in MEMORY_KEYS:
            raise UsageError(
                f"memory has no {name!r}: it takes {', '.join(MEMORY_KEYS)}"
            )
        if value is not None:
            found[name] = _validated_memory_value(name, value)
    if found.get("gguf"):
        if found.setdefault("quantization", "gguf") != "gguf":
            raise UsageError(
                "memory has a gguf file and another quantization: give one of the two"
            )
    elif found.get("quantization") == "gguf":
        raise UsageError(
            "memory.quantization gguf needs memory.gguf: the file of the transformer"
        )
    return found


def _validated_memory_value(name: str, value: Any) -> Any:
    key = MEMORY_KEYS[name]
    if not key.accepts(value):
        raise UsageError(f"memory.{name} is {key.takes}, not {value!r}")
    if name == "gguf" and value:
        return portable(absolute(value))
    return float(value) if name == "first_block_cache" else value
