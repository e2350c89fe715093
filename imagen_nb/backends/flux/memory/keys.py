"""What of a memory plan a user may set: in `memory:` of the configuration, or in a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagen_nb.backends.flux.memory.plan import STORAGES
from imagen_nb.errors import UsageError
from imagen_nb.system.paths import absolute_path, portable_path


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: what it takes, in words, whether a value is that, and what it does."""

    takes: str
    accepts: Callable[[Any], bool]
    does: str


def _one_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return ", ".join(names), lambda value: value in names


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _threshold(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST


MOST = 64  # pictures denoised together
DTYPES = ("bfloat16", "float16", "float32")
OFFLOADS = ("none", "model", "group", "sequential")
ENCODERS = ("kept", "offloaded", "freed")
_SWITCH = "true or false"
KEYS = {
    "dtype": Key(*_one_of(*DTYPES), "What is calculated with."),
    "quantization": Key(
        *_one_of(*STORAGES), "How the weights of transformer and T5 are stored."
    ),
    "offload": Key(*_one_of(*OFFLOADS), "What waits in RAM until the card needs it."),
    "text_encoders": Key(
        *_one_of(*ENCODERS), "Where the text encoders are while it draws."
    ),
    "vae_tiling": Key(
        _SWITCH, _switch, "Decode pictures in tiles: less memory, faint seams."
    ),
    "vae_slicing": Key(_SWITCH, _switch, "Decode the pictures of a batch one by one."),
    "compile": Key(
        _SWITCH, _switch, "Compile the transformer's blocks: slow once, then faster."
    ),
    "first_block_cache": Key(
        "a number, 0 or more",
        _threshold,
        "Skip steps that change little; 0.05 to 0.15, 0 is off.",
    ),
    "batch": Key(f"a whole number, 1 to {MOST}", _count, "Pictures denoised together."),
    "gguf": Key(
        "a .gguf file",
        lambda value: isinstance(value, str),
        "The transformer's weights.",
    ),
}


def checked(given: Any) -> dict[str, Any]:
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
        if name not in KEYS:
            raise UsageError(f"memory has no {name!r}: it takes {', '.join(KEYS)}")
        if value is not None:
            found[name] = _value(name, value)
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


def _value(name: str, value: Any) -> Any:
    key = KEYS[name]
    if not key.accepts(value):
        raise UsageError(f"memory.{name} is {key.takes}, not {value!r}")
    if name == "gguf" and value:
        return portable_path(absolute_path(value))
    return float(value) if name == "first_block_cache" else value
