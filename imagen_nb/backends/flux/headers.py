"""Headers of safetensors files, which anybody may have written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_MIN_BYTES_PER_NUMBER = 1 / 8


def load_safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header of a file, as it is.

    Raise `OSError` if it cannot be read, `ValueError` if it is no safetensors file: see
    "Format" at https://github.com/huggingface/safetensors.
    """
    if path.exists() and not path.is_file():
        raise ValueError("no file, but a folder or a device")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < min(_MAX_HEADER_BYTES, path.stat().st_size):
            raise ValueError("its header is longer than it")
        try:
            header = json.loads(file.read(length))
        except RecursionError:
            raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    return header


def header_texts(header: dict[str, Any]) -> dict[str, str]:
    """Return the texts that a header has about its file, by name; none if it has none."""
    texts = header.get("__metadata__")
    if not isinstance(texts, dict):
        return {}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def count_numbers(path: Path) -> int:
    """Return how many numbers are in a file. Raises as `load_safetensors_header` does."""
    header = load_safetensors_header(path)
    shapes = [_shape_of(tensor) for name, tensor in header.items() if name[:2] != "__"]
    count = sum(map(math.prod, shapes))
    if count * _MIN_BYTES_PER_NUMBER > path.stat().st_size:
        raise ValueError("it is too small for its numbers")
    return count


def _shape_of(tensor: Any) -> list[int]:
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    if not isinstance(shape, list) or not all(_is_side(side) for side in shape):
        raise ValueError("a tensor without a shape")
    return shape


def _is_side(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**63
