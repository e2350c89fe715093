"""The libraries that draw: their versions, and how to keep them quiet."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

# Loggers of what diffusers loads where it is installed.
_CHATTY_LOGGERS = ("torchao", "torch.utils._pytree")


@contextmanager
def quietly() -> Iterator[None]:
    """Silence progress bars and advice of diffusers, transformers and what they load.

    Errors still show. The advice is for programmers, and it would print prompts, which
    are untrusted, as they are.
    """
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    before = [
        (library, library.get_verbosity(), library.is_progress_bar_enabled())
        for library in (diffusers, transformers)
    ]
    for library, _, _ in before:
        library.set_verbosity_error()
        library.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for library, verbosity, had_bar in before:
            library.set_verbosity(verbosity)
            if had_bar:
                library.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# Who says that weights are in no file: both then take random numbers, and only log it.
_LOADERS = ("diffusers.models.modeling_utils", "transformers.modeling_utils")
_RANDOM = "newly initialized"


class _RandomWeightsNotes(logging.Handler):
    """Notes which libraries took random numbers for weights, in this thread."""

    def __init__(self) -> None:
        super().__init__()
        self.libraries: set[str] = set()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and _RANDOM in record.getMessage():
            self.libraries.add(record.name.partition(".")[0])


@contextmanager
def noting_random_weights() -> Iterator[set[str]]:
    """Give the set of libraries that find a weight in no file, filled meanwhile."""
    notes = _RandomWeightsNotes()
    loggers = [logging.getLogger(name) for name in _LOADERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(notes)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    try:
        yield notes.libraries
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(notes)
            logger.setLevel(level)
            logger.propagate = propagate


@functools.cache  # 1 ms each: versions are read from files
def library_versions() -> tuple[tuple[str, str], ...]:
    """Return name and version of each library that draws, e.g. ("torch", "2.8.0")."""
    return tuple(
        (name, version(name)) for name in ("diffusers", "torch", "transformers")
    )
