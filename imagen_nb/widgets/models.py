"""The backends that a Panel can draw with, and what its page must know of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imagen_nb.backends import Backend, backend_names, option_names
from imagen_nb.backends.flux.lora_files import lora_rows
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.words import describe_expectation, describe_places
from imagen_nb.config.settings import Settings
from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.request.options import OPTION_NAMES
from imagen_nb.studio.studio import Studio
from imagen_nb.system.paths import expand_user
from imagen_nb.widgets.sizes import describe_size, size_presets

_MAX_LORAS = 500  # that are offered
_LORAS = "loras"
_CUSTOM_SIZE = "custom"


def available_backends(
    studio: Studio, configured: Backend
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Return those that can draw here, the configured first, and why others cannot.

    Raises `UsageError` when none can.
    """
    available: dict[str, Backend] = {}
    missing: dict[str, str] = {}
    for name in dict.fromkeys([configured.name, *backend_names()]):
        try:
            backend = configured
            if name != configured.name:
                backend, _ = studio.drawing_with(name)
            state = backend.availability()
            reason = "" if state.available else state.reason
        except ImagenError as error:  # one that cannot be made without options
            reason = str(error)
        if reason:
            missing[name] = reason
        else:
            available[name] = backend
    if not available:
        raise UsageError(f"nothing can draw here: {'; '.join(missing.values())}")
    return available, missing


def describe_for_page(backend: Backend) -> dict[str, Any]:
    """Return what the page must know of a backend, as JSON values.

    `takes`: the options that it takes; `refuses`: the others, each with the reason.
    """
    usual, limits = backend.defaults, backend.limits
    presets = size_presets(usual, limits)
    takes = accepted_options(backend)
    return {
        "name": backend.name,
        "defaults": {
            "width": usual.width,
            "height": usual.height,
            "steps": usual.steps,
            "guidance": usual.guidance,
        },
        "multiple": limits.multiple,
        "sizes": [[*size, describe_size(*size)] for size in presets],
        "custom": _CUSTOM_SIZE,
        "schedulers": [*limits.takes.schedulers],
        "needs": [*limits.takes.needs],
        "strength": limits.takes.strength,
        "takes": [*takes],
        "requires": {name: [*limits.takes.options.get(name, ())] for name in takes},
        "refuses": {
            name: f"{backend.name} takes no {name.replace('_', ' ')}"
            for name in (*OPTION_NAMES, _LORAS)
            if name not in takes
        },
    }


def accepted_options(backend: Backend) -> tuple[str, ...]:
    """Return the names of all options that a panel may give to this backend."""
    with_loras = _LORAS in option_names(backend.name)
    return (*backend.limits.takes.options, *([_LORAS] if with_loras else []))


def describe_memory(backend: Backend, settings: Settings) -> str:
    """Return the memory plan of a local model in a line; "" for a hosted one.

    Takes a second or two: torch is asked for the machine.
    """
    row = getattr(backend, "row", None)
    if row is None:
        return ""
    try:
        choice = plan_for(row, settings.memory.given())
    except ImagenError as error:
        return str(error)
    plan = choice.plan
    fits = "" if choice.fits else "does not fit this machine: "
    return (
        f"memory: {fits}{plan.name}, {describe_expectation(plan)}; "
        f"{describe_places(plan)}"
    )


def list_loras(settings: Settings) -> tuple[list[dict[str, Any]], str]:
    """Return the LoRAs of the configured folders, and why there are none or fewer.

    Each has its `file` (the whole path), its `name`, `words` (that trigger it) and
    `error`.
    """
    found: list[dict[str, Any]] = []
    reasons: list[str] = []
    for folder in settings.lora_dirs:
        try:
            root = expand_user(Path(folder))
            rows = lora_rows(root)
        except UsageError as error:
            reasons.append(str(error))
            continue
        for row in rows:
            file = Path(row["file"])
            found.append(
                {
                    "file": str(root / file),
                    "name": str(file.with_suffix("")),
                    "words": row["words"],
                    "error": row["error"],
                }
            )
    if not settings.lora_dirs:
        reasons.append("name folders of LoRAs in imagen.yaml: lora_dirs: [~/loras]")
    elif not found and not reasons:
        reasons.append("the configured lora_dirs have no LoRA in them")
    if len(found) > _MAX_LORAS:
        reasons.append(f"these are the first {_MAX_LORAS} of {len(found)} LoRAs")
    return found[:_MAX_LORAS], "; ".join(reasons)
