"""The libraries that draw: their versions, and how they are kept quiet."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

_CHATTY_LOGGERS = (
    "torchao",
    "torch.utils._pytree",
)  # loggers of what diffusers loads where it is there


@contextmanager
def quietly() -> Iterator[None]:
    """No bars and no advice from diffusers, transformers and what they load; errors still show.

    Their advice is for programmers, and it would print prompts, which are untrusted, as they are.
    """
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    advisers = [(it, it.level) for it in map(logging.getLogger, _CHATTY_LOGGERS)]
    before = [
        (it, it.get_verbosity(), it.is_progress_bar_enabled())
        for it in (diffusers, transformers)
    ]
    for library, _, _ in before:
        library.set_verbosity_error()
        library.disable_progress_bar()
    for adviser, _ in advisers:
        adviser.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for library, verbosity, had_bar in before:
            library.set_verbosity(verbosity)
            if had_bar:
                library.enable_progress_bar()
        for adviser, level in advisers:
            adviser.setLevel(level)


@functools.cache  # 1 ms each: they are read from files
def library_versions() -> tuple[tuple[str, str], ...]:
    """Names and versions of the libraries that draw."""
    return tuple(
        (name, version(name)) for name in ("diffusers", "torch", "transformers")
    )
