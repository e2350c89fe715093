"""What this machine has, what a model's files take, and the memory plan of both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.headers import count_numbers
from imagen_nb.backends.flux.memory.plan import (
    PACKAGES,
    Machine,
    MemoryPlan,
    PlanChoice,
    choose_plan,
    dtype_of,
)
from imagen_nb.backends.flux.models import Model, ModelSizes
from imagen_nb.backends.flux.weights import locate_weights, weight_files
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expand_user

_GB_PER_GIB = 2**30 / 1e9
_USABLE_SHARE = 0.98  # of a card's memory: the driver keeps some


def this_machine() -> Machine:
    """Return this machine as it is now: of its card, what is free. Imports torch."""
    import torch

    gpu_gb, capability = 0.0, 0.0
    if torch.cuda.is_available():
        gpu_gb = torch.cuda.mem_get_info()[0] / 1e9
        major, minor = torch.cuda.get_device_capability()
        capability = major + minor / 10
    return Machine(gpu_gb, total_ram_gb(), capability, installed_packages())


def total_ram_gb() -> float:
    """Return the RAM of this machine in GB of 10⁹ bytes; 16 where it is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 16.0


def installed_packages() -> frozenset[str]:
    """Return which of `PACKAGES`, that store weights in fewer bits, are installed."""
    return frozenset(name for name in PACKAGES if find_spec(name))


def gb_as_sold(
    card: float | None = None, ram: float | None = None
) -> tuple[float, float]:
    """Return GB of 10⁹ bytes of a card and of RAM that are sold as "24 GB": GiB."""
    return (card or 0.0) * _GB_PER_GIB * _USABLE_SHARE, (ram or 0.0) * _GB_PER_GIB


def sizes_of(row: Model) -> ModelSizes:
    """Return what a model's files take; what its row says where they are not here."""
    folder = locate_weights(row)
    if folder is None:
        return row.sizes
    sizes = {part: weights_gb_in_16_bits(folder / part) for part in row.kind.networks}
    return ModelSizes(
        transformer=sizes.pop("transformer"),
        t5=sizes.pop(row.kind.large),
        vae=sizes.pop("vae"),
        clip=sum(sizes.values()),
        megapixels=row.defaults.width * row.defaults.height / 1e6,
    )


def weights_gb_in_16_bits(part: Path) -> float:
    """Return the GB that the weights in a folder take in 16 bits, however stored."""
    files = weight_files(part)
    safetensors = [file for file in files if file.suffix == ".safetensors"]
    try:
        return sum(map(_count_numbers, safetensors or files)) * 2 / 1e9
    except (OSError, ValueError):  # loading will say what is wrong
        return sum(file.stat().st_size for file in files) / 1e9


def _count_numbers(file: Path) -> int:
    """Return how many numbers a file has; of other formats, as if they had 16 bits."""
    if file.suffix == ".safetensors":
        return count_numbers(file)
    return file.stat().st_size // 2


def plan_for(
    row: Model, memory: Mapping[str, Any], machine: Machine | None = None
) -> PlanChoice:
    """Return the memory plan of a model on a machine, this one by default.

    `memory`: what the user sets of it, validated; it wins over all plans. Raise
    `BackendError` when no plan can be used, naming what each lacks.

    Example:
        >>> plan_for(FLUX_SCHNELL, {"batch": 2}, Machine(gpu_gb=24.0, capability=8.9))
    """
    machine = machine or this_machine()
    base = MemoryPlan(
        dtype=dtype_of(machine, row.cpu_dtype),
        batch=row.batch,
        gguf_gb=_file_gb(memory.get("gguf")),
    )
    choice = choose_plan(machine, sizes_of(row), base, memory)
    if isinstance(choice, PlanChoice):
        return choice
    reasons = "; ".join(dict.fromkeys(reason for _, reason in choice))
    raise BackendError(f"no memory plan can be used for {row.recorded}: {reasons}")


def _file_gb(file: str | None) -> float:
    path = expand_user(file) if file else None
    return path.stat().st_size / 1e9 if path and path.is_file() else 0.0
