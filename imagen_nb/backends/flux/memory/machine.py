"""What this machine has to draw with, and what a model's files weigh."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.memory.plan import (
    PACKAGES,
    Machine,
    MemoryPlan,
    PlanChoice,
    choose_plan,
    dtype_of,
)
from imagen_nb.backends.flux.models import Model, ModelSizes
from imagen_nb.backends.flux.weights import WEIGHT_PATTERNS, locate_weights
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expanded

_GB_PER_GIB = 2**30 / 1e9
_USABLE_SHARE = 0.98  # of what a card is sold with: the driver keeps some


def this_machine() -> Machine:
    """This one, as it is now: of a card what is free. Imports torch."""
    import torch

    gpu_gb, capability = 0.0, 0.0
    if torch.cuda.is_available():
        gpu_gb = torch.cuda.mem_get_info()[0] / 1e9
        major, minor = torch.cuda.get_device_capability()
        capability = major + minor / 10
    return Machine(gpu_gb, total_ram_gb(), capability, installed_packages())


def total_ram_gb() -> float:
    """RAM of this machine; 16 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 16.0


def installed_packages() -> frozenset[str]:
    """Which packages that store weights smaller are here."""
    return frozenset(name for name in PACKAGES if find_spec(name))


def gb_as_sold(
    card: float | None = None, ram: float | None = None
) -> tuple[float, float]:
    """GB of 10⁹ bytes of a card and of RAM that are sold as so many GB, which are GiB."""
    return (card or 0.0) * _GB_PER_GIB * _USABLE_SHARE, (ram or 0.0) * _GB_PER_GIB


def sizes_of(row: Model) -> ModelSizes:
    """Of a model's files; as its row says where they are not here."""
    folder = locate_weights(row)
    if folder is None:
        return row.sizes
    sizes = {part: weights_gb_in_16_bits(folder / part) for part in row.kind.networks}
    transformer, large, vae = (
        sizes.pop(p) for p in ("transformer", row.kind.large, "vae")
    )
    megapixels = row.defaults.width * row.defaults.height / 1e6
    return ModelSizes(transformer, large, sum(sizes.values()), vae, megapixels)


def weights_gb_in_16_bits(part: Path) -> float:
    """What the weights in a folder take in 16 bits, whatever they are stored in."""
    files = [file for kind in WEIGHT_PATTERNS for file in part.glob(kind)]
    whole = [file for file in files if file.suffix == ".safetensors"]
    try:
        return sum(map(_count_numbers, whole or files)) * 2 / 1e9
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # loading says what is wrong
        return sum(file.stat().st_size for file in files) / 1e9


def _count_numbers(file: Path) -> int:
    """How many numbers a file of weights has; a safetensors file begins with their shapes."""
    if file.suffix != ".safetensors":
        return file.stat().st_size // 2
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("no safetensors file")
        header = json.loads(opened.read(length))
    return sum(
        math.prod(one["shape"])
        for name, one in header.items()
        if name != "__metadata__"
    )


def plan_for(
    row: Model, given: Mapping[str, Any], machine: Machine | None = None
) -> PlanChoice:
    """The plan of a model on a machine, this one by default; what is `given` wins.

    Raises `BackendError` when no plan can be used, naming what each lacks.
    """
    here = machine or this_machine()
    plain = MemoryPlan(dtype=dtype_of(here, row.cpu_dtype), batch=row.batch)
    if file := given.get("gguf"):
        path = expanded(file)
        plain = replace(
            plain, gguf_gb=path.stat().st_size / 1e9 if path.is_file() else 0.0
        )
    found = choose_plan(here, sizes_of(row), plain, given)
    if isinstance(found, PlanChoice):
        return found
    whys = "; ".join(dict.fromkeys(why for _, why in found))
    raise BackendError(f"no memory plan can be used for {row.recorded}: {whys}")
