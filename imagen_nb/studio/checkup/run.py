"""Runs the checks one after the other; what one of them stumbles over is its answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_nb.errors import ImagenError
from imagen_nb.studio.checkup.configuration import check_configuration
from imagen_nb.studio.checkup.drawing import (
    check_backend,
    check_card,
    check_picture,
    check_torch,
    check_weights,
)
from imagen_nb.studio.checkup.keeping import (
    ask_supabase,
    check_disk,
    check_folder,
    check_supabase,
)
from imagen_nb.studio.checkup.row import CheckRow
from imagen_nb.studio.checkup.software import (
    check_extras,
    check_kernel,
    check_python,
    check_versions,
)
from imagen_nb.system.installed import DISTRIBUTION
from imagen_nb.system.markup import one_line
from imagen_nb.system.secret_text import scrub_known_keys

_MAX_WHAT_CHARS = 300  # of a library's own message
_AGAIN = f"pip install --force-reinstall {DISTRIBUTION}"
_SETTING = "`imagen config show` shows the values in force, and where each is from"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. Should it fail itself, then `mend` mends that, in most cases.

    `needed`: whether nothing can be drawn or kept where it fails.
    """

    name: str
    ask: Callable[..., Generator[CheckRow, None, Any] | Iterator[CheckRow]]
    mend: str
    needed: bool = False


_CONFIGURATION = Check("configuration", check_configuration, _AGAIN, needed=True)
_OF_SOFTWARE = (  # which need no configuration
    Check("python", check_python, _AGAIN, needed=True),
    Check("versions", check_versions, _AGAIN, needed=True),
    Check("extras", check_extras, _AGAIN),
    Check("kernel", check_kernel, "pip install --force-reinstall ipykernel"),
)
_OF_SETTINGS = (
    Check("torch", check_torch, "pip install --force-reinstall torch", needed=True),
    Check("card", check_card, _SETTING),
    Check("weights", check_weights, "`imagen models` says how to fetch them"),
    Check("drawing", check_picture, _AGAIN, needed=True),
    Check("backend", check_backend, _SETTING, needed=True),
    Check("folder", check_folder, _SETTING, needed=True),
    Check("disk", check_disk, _SETTING),
    Check("supabase", check_supabase, _SETTING),
)
_ONLINE = Check("supabase", ask_supabase, "`imagen config validate --online`")


def run_checkup(
    config: Path | None = None, output: Path | None = None, online: bool = False
) -> Iterator[CheckRow]:
    """Yield what works on this machine and what does not, a row at a time.

    Downloads and writes nothing. Takes some seconds, most of them to load torch.

    Args:
        config: the configuration file, instead of the usual one.
        output: the folder of pictures, instead of the configured one.
        online: whether to ask the configured Supabase, too.

    Example:
        >>> [row.name for row in run_checkup() if row.stops_drawing]
        []
    """
    for check in _OF_SOFTWARE:
        yield from _answers(check)
    settings = yield from _answers(_CONFIGURATION, config, output)
    if settings is None:
        return
    for check in (*_OF_SETTINGS, *([_ONLINE] if online else [])):
        yield from _answers(check, settings)


def _answers(check: Check, *arguments: Any) -> Generator[CheckRow, None, Any]:
    """Yield a check's rows, and return what it returns; None if it failed itself."""
    try:
        return (yield from check.ask(*arguments))
    except ImagenError as error:
        reason = str(error)
    except Exception as error:  # a broken library raises whatever it likes
        reason = f"{type(error).__name__}: {error}"
    what = one_line(scrub_known_keys(reason), _MAX_WHAT_CHARS)
    yield CheckRow(check.name, "wrong", what, check.mend, check.needed)
    return None
