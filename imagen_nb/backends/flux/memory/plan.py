"""From a machine and a model to a memory plan: which weights lie where, and how they are stored.

Pure data: nothing here looks at a machine or loads anything. All sizes are in GB of 10⁹ bytes, of
weights in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from imagen_nb.backends.flux.models import ModelSizes

BF16_CAPABILITY, FP8_CAPABILITY = (
    8.0,
    8.9,
)  # CUDA compute capability from which a card calculates with these
CONTEXT_GB = 0.5  # what CUDA itself takes of a card
PROCESS_GB = 1.5  # Python, torch and diffusers in RAM
RAM_SHARE = 0.95  # of the RAM: the rest is the system's
MIN_RAM_GB = (
    4.0  # below this no plan is given up: it would save less than is guessed here
)
# For one picture of 1024 × 1024 beside the weights. Denoising: diffusers' benchmarks dataset, 22.64
# GiB for one bf16 forward of a transformer of 23.8 GB. Decoding: derekl35's quantization
# benchmarks, 36.17 GiB peak with 31.45 loaded. Tiled decoding: a quarter of that at a time.
DENOISING_GB, DECODING_GB, TILED_GB = 0.6, 5.05, 1.3
# Of the transformer: 0.56 of 23.8 GB in diffusers' group-offload-leaf benchmark.
ONE_LAYER_SHARE = 0.024


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to draw with; `gpu_gb` is 0 without a CUDA card.

    `capability`: of CUDA. `packages`: those of `PACKAGES` that are installed.
    """

    gpu_gb: float = 0.0
    ram_gb: float = 16.0
    capability: float = 0.0
    packages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Storage:
    """A way to store weights: the share of 16 bits that transformer and T5 take, and what it needs.

    `gpu`: whether it needs a CUDA card. `loads_whole`: whether the weights are in RAM in 16 bits
    first.
    """

    transformer: float
    t5: float
    package: str = ""
    capability: float = 0.0
    gpu: bool = False
    loads_whole: bool = False


# Shares of loaded weights in derekl35's benchmarks and diffusers' dataset; T5 keeps a third of its
# weights in float32, whatever the rest is. A GGUF file's share is its own size.
STORAGES = {
    "none": Storage(1.0, 1.0),
    "fp8": Storage(0.5, 0.6, "torchao", FP8_CAPABILITY, gpu=True),
    "int8": Storage(0.5, 0.6, "torchao"),
    "layerwise": Storage(0.68, 1.0, loads_whole=True),
    "nf4": Storage(0.28, 0.67, "bitsandbytes", gpu=True),
    "gguf": Storage(0.0, 1.0, "gguf"),
}
PACKAGES = {  # what to say to have them
    "torchao": 'pip install "imagen_nb[quant]"',
    "gguf": 'pip install "imagen_nb[quant]"',
    "bitsandbytes": "pip install bitsandbytes",
}


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How a model is held in memory while it draws.

    `first_block_cache`: the threshold below which a step's other blocks are skipped; 0 never.
    `batch`: pictures denoised together. `gguf`: the file of the transformer, `gguf_gb` its size.
    `gpu_gb`, `ram_gb`: what it is expected to take at its peak.
    """

    name: str = "whole"
    dtype: str = "bfloat16"
    quantization: str = "none"
    offload: str = "none"
    text_encoders: str = "kept"
    vae_tiling: bool = False
    vae_slicing: bool = False
    compile: bool = False
    first_block_cache: float = 0.0
    batch: int = 1
    gguf: str = ""
    gguf_gb: float = 0.0
    gpu_gb: float = 0.0
    ram_gb: float = 0.0

    @property
    def separate(self) -> bool:
        """Whether the text encoders are a pipeline of their own, apart from what paints."""
        return self.text_encoders != "kept" and self.offload == "none"

    @property
    def phased(self) -> bool:
        """Whether weights move, so that many pictures go through each phase before the next."""
        return self.separate or self.offload == "model"

    def recorded(self) -> dict[str, Any]:
        """What a record has of it: all that is out of the ordinary, {} when nothing is.

        `dtype` and `batch` are left out, which records have anyway, and what was only expected.
        """
        left_out = {"name", "dtype", "batch", "gguf_gb", "gpu_gb", "ram_gb"}
        names = [each.name for each in fields(MemoryPlan) if each.name not in left_out]
        plain = MemoryPlan()
        return {
            name: getattr(self, name)
            for name in names
            if getattr(self, name) != getattr(plain, name)
        }


_TILED = {"vae_tiling": True, "vae_slicing": True}
_MODEL_OFFLOAD = {"offload": "model", "text_encoders": "offloaded"}
_GROUP_OFFLOAD = {"offload": "group", "text_encoders": "offloaded", **_TILED}
MEMORY_PLANS: dict[
    str, dict[str, Any]
] = {  # from the best pictures and speed to the least memory
    "whole": {},
    "whole-tiled": _TILED,
    "offloaded": _MODEL_OFFLOAD,
    "fp8": {"quantization": "fp8"},
    "int8": {"quantization": "int8"},
    "freed": {"text_encoders": "freed"},
    "freed-tiled": {"text_encoders": "freed", **_TILED},
    "fp8-offloaded": {"quantization": "fp8", **_MODEL_OFFLOAD},
    "int8-offloaded": {"quantization": "int8", **_MODEL_OFFLOAD},
    "layerwise-offloaded": {"quantization": "layerwise", **_MODEL_OFFLOAD},
    "int8-freed": {"quantization": "int8", "text_encoders": "freed", **_TILED},
    "nf4": {"quantization": "nf4", **_TILED},
    "nf4-offloaded": {"quantization": "nf4", **_MODEL_OFFLOAD},
    "nf4-freed": {"quantization": "nf4", "text_encoders": "freed", **_TILED},
    "group": _GROUP_OFFLOAD,
    "group-layerwise": {"quantization": "layerwise", **_GROUP_OFFLOAD},
    "sequential": {**_GROUP_OFFLOAD, "offload": "sequential"},
}


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """The plan in force and how it was found.

    `skipped`: what was better, and why it is not used here. `smaller`: what could be used too, and
    takes less. `fits`: False where nothing fits, and the plan is the one that takes the least.
    """

    plan: MemoryPlan
    fits: bool
    skipped: tuple[tuple[str, str], ...] = ()
    smaller: tuple[MemoryPlan, ...] = ()
    machine: Machine = field(default_factory=Machine)


def dtype_of(machine: Machine, cpu_dtype: str) -> str:
    """What to calculate with: cards older than Ampere have no bfloat16."""
    if not machine.gpu_gb:
        return cpu_dtype
    return "bfloat16" if machine.capability >= BF16_CAPABILITY else "float16"


def candidate_plans(
    machine: Machine, sizes: ModelSizes, plain: MemoryPlan, given: Mapping[str, Any]
) -> Iterator[MemoryPlan]:
    """The rows as plans for this machine, each once; what is `given` wins over all rows."""
    seen = set()
    for name, row in MEMORY_PLANS.items():
        plan = replace(plain, name=name, **(row | dict(given)))
        if plan.offload != "none" and plan.text_encoders == "kept":
            plan = replace(plan, text_encoders="offloaded")  # as the others are
        key = replace(plan, name="")
        if key not in seen:
            seen.add(key)
            yield estimate_memory(plan, sizes, machine)


def choose_plan(
    machine: Machine,
    sizes: ModelSizes,
    plain: MemoryPlan,
    given: Mapping[str, Any] | None = None,
) -> PlanChoice | tuple[tuple[str, str], ...]:
    """The first row that this machine can hold; or, if it can use none, why not for each.

    `plain`: dtype and batch, as the model is drawn with when there is memory enough. `given`: what
    the user wants, whatever the rows say.
    """
    plans = list(candidate_plans(machine, sizes, plain, given or {}))
    whys = {plan.name: explain_unusable(plan, machine) for plan in plans}
    usable = [plan for plan in plans if not whys[plan.name]]
    if not usable:
        return tuple(whys.items())
    whys |= {plan.name: explain_too_large(plan, machine) for plan in usable}
    best = next((plan for plan in usable if not whys[plan.name]), None)
    chosen = best or min(usable, key=lambda plan: _shortage(plan, machine))
    before = (
        plans[: plans.index(best)] if best else [one for one in plans if one != chosen]
    )
    skipped = tuple((plan.name, whys[plan.name]) for plan in before)
    later = usable[usable.index(chosen) + 1 :]
    smaller = tuple(
        _each_smaller(chosen, [plan for plan in later if not whys[plan.name]])
    )
    return PlanChoice(chosen, best is not None, skipped, smaller, machine)


def _each_smaller(plan: MemoryPlan, later: list[MemoryPlan]) -> Iterator[MemoryPlan]:
    """Those of the later plans that take less than all before them."""
    for other in later:
        if (other.gpu_gb, other.ram_gb) < (plan.gpu_gb, plan.ram_gb):
            yield (plan := other)


def _shortage(plan: MemoryPlan, machine: Machine) -> float:
    """How many times the memory that there is a plan takes, of that which is shorter."""
    card = plan.gpu_gb / machine.gpu_gb if machine.gpu_gb else 0.0
    return max(card, plan.ram_gb / machine.ram_gb)


def explain_unusable(plan: MemoryPlan, machine: Machine) -> str:
    """What a plan needs that this machine has not, whatever its memory; empty when nothing."""
    storage = STORAGES[plan.quantization]
    if not machine.gpu_gb and (plan.offload != "none" or storage.gpu):
        what = (
            f"offload {plan.offload}" if plan.offload != "none" else plan.quantization
        )
        return f"{what} needs a CUDA graphics card"
    if storage.capability > machine.capability and storage.gpu:
        return (
            f"{plan.quantization} needs compute capability {storage.capability:g}, "
            f"and the card has {machine.capability:g}"
        )
    if storage.package and storage.package not in machine.packages:
        return (
            f"{plan.quantization} needs {storage.package}: {PACKAGES[storage.package]}"
        )
    return ""


def explain_too_large(plan: MemoryPlan, machine: Machine) -> str:
    """Which memory is too small for a plan, and by how much; empty when it fits."""
    if plan.gpu_gb > machine.gpu_gb:
        return f"takes {plan.gpu_gb:.1f} of {machine.gpu_gb:.1f} GB on the card"
    if plan.ram_gb > max(MIN_RAM_GB, machine.ram_gb * RAM_SHARE):
        return f"takes {plan.ram_gb:.1f} of {machine.ram_gb:.1f} GB of RAM"
    return ""


def estimate_memory(
    plan: MemoryPlan, sizes: ModelSizes, machine: Machine
) -> MemoryPlan:
    """The plan with what it is expected to take at its peak."""
    storage = STORAGES[plan.quantization]
    width = 2.0 if plan.dtype == "float32" else 1.0
    transformer = plan.gguf_gb or sizes.transformer * storage.transformer * width
    encoders = (sizes.t5 * storage.t5 + sizes.clip) * width
    vae = sizes.vae * width
    denoising = DENOISING_GB * width * sizes.megapixels * plan.batch
    at_once = 1 if plan.vae_slicing else plan.batch
    decoding = (
        (TILED_GB if plan.vae_tiling else DECODING_GB)
        * width
        * sizes.megapixels
        * at_once
    )
    painting = transformer + vae + max(denoising, decoding)
    peaks = {
        "none": max(encoders, painting) if plan.separate else encoders + painting,
        "model": max(encoders, transformer + denoising, vae + decoding),
    }
    peak = peaks.get(
        plan.offload, sizes.transformer * ONE_LAYER_SHARE + max(denoising, decoding)
    )
    whole = sizes.transformer * width if storage.loads_whole else 0.0
    if not machine.gpu_gb:
        ram = max(peak, whole)
    elif plan.offload == "none" and plan.text_encoders != "offloaded":
        ram = max(
            encoders, transformer + vae, whole
        )  # one after the other goes to the card
    else:
        ram = max(encoders + transformer + vae, whole)
    gpu = peak + CONTEXT_GB if machine.gpu_gb else 0.0
    return replace(plan, gpu_gb=round(gpu, 2), ram_gb=round(ram + PROCESS_GB, 2))
