"""Values of a frame's rows as they were, wherever the frame has been: a CSV, a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def text_or_empty(value: object) -> str:
    """The text, or "" for what is none: None, NaN, NA."""
    return value if isinstance(value, str) else ""


def parse_sidecar(value: object) -> dict[str, Any] | None:
    """A sidecar as plain values, from a dict or from JSON; None when it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return plain_value(value) if isinstance(value, Mapping) else None


def parse_tags(value: object) -> list[str]:
    """Tags as a list of text, from a list, an array or JSON; none from anything else."""
    found = value
    with suppress(ValueError):
        found = json.loads(value) if isinstance(value, str) else value
    if hasattr(found, "tolist"):  # an array of numpy's
        found = found.tolist()
    return (
        [tag for tag in found if isinstance(tag, str)]
        if isinstance(found, list)
        else []
    )


def plain_value(value: Any) -> Any:
    """The value with arrays as lists, numpy's numbers as Python's, and None for what is missing."""
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return plain_value(value.tolist())
    return None if _is_missing(value) else value


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in ("NAType", "NaTType") or value != value
