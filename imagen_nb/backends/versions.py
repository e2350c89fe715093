"""The versions that pixels follow from."""

from __future__ import annotations

import functools
from importlib.metadata import version


@functools.cache  # 1 ms each: they are read from files
def versions() -> tuple[tuple[str, str], ...]:
    """Names and versions of the libraries that draw."""
    return tuple((name, version(name)) for name in ("diffusers", "torch", "transformers"))
