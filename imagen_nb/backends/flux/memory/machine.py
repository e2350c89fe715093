"""What this machine has, what a model's files take, and the memory plan of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.headers import count_numbers
from imagen_nb.backends.flux.memory.choice import PlanChoice, choose_plan, dtype_of
from imagen_nb.backends.flux.memory.estimate import Demand
from imagen_nb.backends.flux.memory.plan import FAST_CACHE_STEPS, Machine, MemoryPlan
from imagen_nb.backends.flux.memory.ram import total_ram_gb
from imagen_nb.backends.flux.memory.storages import PACKAGES
from imagen_nb.backends.flux.models import Model, ModelSizes
from imagen_nb.backends.flux.weights import locate_weights, weight_files
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expand_user

_GB_PER_GIB = 2**30 / 1e9
_USABLE_SHARE = 0.98  # of a card's memory: the driver keeps some


def default_device() -> str:
    """Return torch's name of what draws by default: a card if there is one."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def this_machine(device: str = "", with_second: bool = False) -> Machine:
    """Return this machine as it is now: of its card, what is free. Imports torch.

    `device`: torch's name of the card, like cuda:1; the first by default. Then another
    card is looked at too, as well as where `with_second` is set. Raise `BackendError`
    when there is no such card.
    """
    machine = Machine(ram_gb=total_ram_gb(), packages=installed_packages())
    name = device or default_device()
    described = _MACHINES_WITH[name.partition(":")[0]](machine, name)
    if described.make == "mps" or not described.gpu_gb:
        return described
    return _with_second_card(described) if with_second or not device else described


def _without_card(machine: Machine, device: str) -> Machine:
    return replace(machine, device=device)


def _with_cuda_card(machine: Machine, device: str) -> Machine:
    """Describe a card of Nvidia, or of AMD: torch calls both cuda."""
    import torch

    index = torch.device(device).index
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not torch.cuda.is_available() or (index is not None and index >= cards):
        raise BackendError(
            f"memory.device is {device}, and there are {cards} such cards"
        )
    numbered = () if index is None else (index,)
    capability = 0.0
    is_rocm = torch.version.hip is not None
    if not is_rocm:  # AMD's numbers mean something else: gfx1100 would be 11
        major, minor = torch.cuda.get_device_capability(*numbered)
        capability = major + minor / 10
    return replace(
        machine,
        gpu_gb=torch.cuda.mem_get_info(*numbered)[0] / 1e9,
        capability=capability,
        make="rocm" if is_rocm else "cuda",
        device=device,
    )


def _with_apple_card(machine: Machine, device: str) -> Machine:
    import torch

    if not torch.backends.mps.is_available():
        raise BackendError(f"memory.device is {device}, and there is no such card")
    usable = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return replace(machine, gpu_gb=usable / 1e9, make="mps", device=device)


_MACHINES_WITH: dict[str, Callable[[Machine, str], Machine]] = {
    "cpu": _without_card,
    "cuda": _with_cuda_card,
    "mps": _with_apple_card,
}


def _with_second_card(machine: Machine) -> Machine:
    """Add the largest other card, by its whole memory.

    What is free of it would be known only after CUDA took some of it.
    """
    import torch

    if torch.cuda.device_count() < 2:
        return machine
    first = torch.device(machine.device).index
    first = torch.cuda.current_device() if first is None else first
    others = {
        index: torch.cuda.get_device_properties(index).total_memory / 1e9
        for index in range(torch.cuda.device_count())
        if index != first
    }
    largest = max(others, key=lambda index: others[index])
    usable = others[largest] * _USABLE_SHARE
    return replace(machine, second=f"cuda:{largest}", second_gb=usable)


def installed_packages() -> frozenset[str]:
    """Return which of `PACKAGES`, that store weights in fewer bits, are installed."""
    return frozenset(name for name in PACKAGES if find_spec(name))


def gb_as_sold(
    card: float | None = None, ram: float | None = None
) -> tuple[float, float]:
    """Return GB of 10⁹ bytes of a card and of RAM that are sold as "24 GB": GiB."""
    return (card or 0.0) * _GB_PER_GIB * _USABLE_SHARE, (ram or 0.0) * _GB_PER_GIB


def sizes_of(row: Model) -> ModelSizes:
    """Return what a model's files take; what its row says where they are not here.

    Which shares a block has of the transformer, and what no quantization touches of the
    large text encoder, is what the row says.
    """
    folder = locate_weights(row)
    if folder is None:
        return row.sizes
    sizes = {part: weights_gb_in_16_bits(folder / part) for part in row.kind.networks}
    encoder, transformer = sizes.pop(row.kind.large), sizes.pop("transformer")
    share = encoder / row.sizes.t5
    return ModelSizes(
        transformer=transformer,
        t5=encoder,
        t5_words=row.sizes.t5_words * share,
        t5_wo=row.sizes.t5_wo * share,
        block=row.sizes.block * transformer / row.sizes.transformer,
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
    row: Model,
    memory: Mapping[str, Any],
    machine: Machine | None = None,
    demand: Demand | None = None,
) -> PlanChoice:
    """Return the memory plan of a model on a machine, this one by default.

    `memory`: what the user sets of it, validated; it wins over all plans. `demand`:
    what is to be drawn, the model's usual picture by default. Raise `BackendError` when
    no plan can be used, naming what each lacks.

    Example:
        >>> plan_for(FLUX_SCHNELL, {"batch": 2}, Machine(gpu_gb=24.0, capability=8.9))
    """
    machine = machine or this_machine(
        memory.get("device", ""), memory.get("text_encoders") == "second-card"
    )
    base = MemoryPlan(
        dtype=dtype_of(machine, row.cpu_dtype),
        batch=row.batch,
        gguf_gb=_file_gb(memory.get("gguf")),
    )
    many_steps = row.defaults.steps >= FAST_CACHE_STEPS
    choice = choose_plan(
        machine,
        sizes_of(row),
        base,
        memory,
        demand,
        cacheable=many_steps and row.kind.shifted,
    )
    if isinstance(choice, PlanChoice):
        return choice
    reasons = "; ".join(dict.fromkeys(reason for _, reason in choice))
    raise BackendError(f"no memory plan can be used for {row.recorded}: {reasons}")


def _file_gb(file: str | None) -> float:
    path = expand_user(file) if file else None
    return path.stat().st_size / 1e9 if path and path.is_file() else 0.0
