"""Chooses a memory plan for a machine and a model: where weights are, how stored.

Pure data: nothing here looks at a machine or loads anything. All sizes are in GB of 10⁹
bytes; those of models are of weights in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from imagen_nb.backends.flux.models import ModelSizes

# CUDA compute capability from which a card calculates with these.
BF16_CAPABILITY, FP8_CAPABILITY = 8.0, 8.9
CONTEXT_GB = 0.5  # what CUDA itself takes of a card
PROCESS_GB = 1.5  # Python, torch and diffusers in RAM
RAM_SHARE = 0.95  # of the RAM: the rest is the system's
# Of RAM, no plan is called too large that takes no more: these figures are no finer.
MIN_RAM_GB = 4.0
# For one picture of 1024 × 1024 beside the weights. Denoising: diffusers' benchmarks
# dataset, 22.64 GiB for one bf16 forward of a transformer of 23.8 GB. Decoding:
# derekl35's quantization benchmarks, 36.17 GiB peak with 31.45 loaded. Tiled decoding:
# a quarter of that at a time.
DENOISING_GB, DECODING_GB, TILED_GB = 0.6, 5.05, 1.3
# Of the transformer: 0.56 of 23.8 GB in diffusers' group-offload-leaf benchmark.
ONE_LAYER_SHARE = 0.024


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to draw with.

    `gpu_gb`: memory of the card, 0 without a CUDA card. `capability`: its CUDA compute
    capability. `packages`: those of `PACKAGES` that are installed.
    """

    gpu_gb: float = 0.0
    ram_gb: float = 16.0
    capability: float = 0.0
    packages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Storage:
    """A way to store weights.

    `transformer`, `t5`: the share that they take of their size in 16 bits. `package`,
    `capability`, `gpu`: the package, compute capability and CUDA card that it needs.
    `loads_whole`: whether the weights are in RAM in 16 bits first.
    """

    transformer: float
    t5: float
    package: str = ""
    capability: float = 0.0
    gpu: bool = False
    loads_whole: bool = False


# Shares of loaded weights in derekl35's benchmarks and diffusers' dataset; T5 keeps a
# third of its weights in float32, whatever the rest is. A GGUF file counts with its own
# size.
STORAGES = {
    "none": Storage(1.0, 1.0),
    "fp8": Storage(0.5, 0.6, "torchao", FP8_CAPABILITY, gpu=True),
    "int8": Storage(0.5, 0.6, "torchao"),
    "layerwise": Storage(0.68, 1.0, loads_whole=True),
    "nf4": Storage(0.28, 0.67, "bitsandbytes", gpu=True),
    "gguf": Storage(0.0, 1.0, "gguf"),
}
PACKAGES = {  # how to install them
    "torchao": 'pip install "imagen_nb[quant]"',
    "gguf": 'pip install "imagen_nb[quant]"',
    "bitsandbytes": "pip install bitsandbytes",
}


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How a model is held in memory while it draws.

    `first_block_cache`: the threshold below which a step's other blocks are skipped; 0
    never. `batch`: pictures denoised together. `gguf`: the file of the transformer,
    `gguf_gb` its size. `gpu_gb`, `ram_gb`: what it is expected to take at its peak.
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
        """Return whether the text encoders are in a pipeline of their own."""
        return self.text_encoders != "kept" and self.offload == "none"

    @property
    def phased(self) -> bool:
        """Return whether weights move: then many pictures share each phase."""
        return self.separate or self.offload == "model"

    def recorded(self) -> dict[str, Any]:
        """Return what a record has of it: what differs from the defaults, or {}.

        Without `dtype` and `batch`, which records have anyway, and without estimates.
        """
        left_out = {"name", "dtype", "batch", "gguf_gb", "gpu_gb", "ram_gb"}
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in left_out and getattr(self, each.name) != each.default
        }


_TILED = {"vae_tiling": True, "vae_slicing": True}
_MODEL_OFFLOAD = {"offload": "model", "text_encoders": "offloaded"}
_GROUP_OFFLOAD = {"offload": "group", "text_encoders": "offloaded", **_TILED}
# From the best pictures and speed to the least memory.
MEMORY_PLANS: dict[str, dict[str, Any]] = {
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

    `fits`: False where nothing fits; then the plan is the one that lacks the least.
    `skipped`: names of better plans, with the reasons why they are not used here.
    `smaller`: plans that fit too and take less, each less than the one before.
    """

    plan: MemoryPlan
    fits: bool
    skipped: tuple[tuple[str, str], ...] = ()
    smaller: tuple[MemoryPlan, ...] = ()
    machine: Machine = field(default_factory=Machine)


def dtype_of(machine: Machine, cpu_dtype: str) -> str:
    """Return what to calculate with: cards older than Ampere have no bfloat16."""
    if not machine.gpu_gb:
        return cpu_dtype
    return "bfloat16" if machine.capability >= BF16_CAPABILITY else "float16"


def candidate_plans(
    machine: Machine, sizes: ModelSizes, base: MemoryPlan, memory: Mapping[str, Any]
) -> Iterator[MemoryPlan]:
    """Yield the rows of the table as plans for this machine, each once.

    `base`: dtype and batch of the model. `memory`: what the user sets, over all rows.
    """
    seen = set()
    for name, row in MEMORY_PLANS.items():
        plan = replace(base, name=name, **(row | dict(memory)))
        if plan.offload != "none" and plan.text_encoders == "kept":
            plan = replace(plan, text_encoders="offloaded")  # as the others are
        unnamed = replace(plan, name="")
        if unnamed not in seen:
            seen.add(unnamed)
            yield estimate_memory(plan, sizes, machine)


def choose_plan(
    machine: Machine,
    sizes: ModelSizes,
    base: MemoryPlan,
    memory: Mapping[str, Any] | None = None,
) -> PlanChoice | tuple[tuple[str, str], ...]:
    """Return the first plan that fits the machine, or else the one that lacks least.

    `base`: dtype and batch of the model. `memory`: what the user sets, over all rows.
    If no plan can be used at all, return their names, each with the reason.
    """
    plans = list(candidate_plans(machine, sizes, base, memory or {}))
    reasons = {plan.name: explain_unusable(plan, machine) for plan in plans}
    usable = [plan for plan in plans if not reasons[plan.name]]
    if not usable:
        return tuple(reasons.items())
    reasons |= {plan.name: explain_too_large(plan, machine) for plan in usable}
    fitting = [plan for plan in usable if not reasons[plan.name]]
    if not fitting:
        return _least_lacking(machine, plans, usable, reasons)
    chosen = fitting[0]
    better = plans[: plans.index(chosen)]
    return PlanChoice(
        chosen,
        fits=True,
        skipped=tuple((plan.name, reasons[plan.name]) for plan in better),
        smaller=tuple(_each_smaller(chosen, fitting[1:])),
        machine=machine,
    )


def _least_lacking(
    machine: Machine,
    plans: list[MemoryPlan],
    usable: list[MemoryPlan],
    reasons: dict[str, str],
) -> PlanChoice:
    nearest = min(usable, key=lambda plan: _shortage(plan, machine))
    others = [plan for plan in plans if plan != nearest]
    skipped = tuple((plan.name, reasons[plan.name]) for plan in others)
    return PlanChoice(nearest, fits=False, skipped=skipped, machine=machine)


def _each_smaller(plan: MemoryPlan, later: list[MemoryPlan]) -> Iterator[MemoryPlan]:
    """Yield those of the later plans that take less than all before them."""
    for other in later:
        if (other.gpu_gb, other.ram_gb) < (plan.gpu_gb, plan.ram_gb):
            plan = other
            yield plan


def _shortage(plan: MemoryPlan, machine: Machine) -> float:
    """Return the share that it takes of card or RAM, the larger; above 1: too large."""
    card = plan.gpu_gb / machine.gpu_gb if machine.gpu_gb else 0.0
    return max(card, plan.ram_gb / machine.ram_gb)


def explain_unusable(plan: MemoryPlan, machine: Machine) -> str:
    """Return what a plan needs besides memory that the machine lacks, or nothing."""
    storage = STORAGES[plan.quantization]
    if not machine.gpu_gb:
        if plan.offload != "none":
            return f"offload {plan.offload} needs a CUDA graphics card"
        if storage.gpu:
            return f"{plan.quantization} needs a CUDA graphics card"
    if storage.gpu and storage.capability > machine.capability:
        return (
            f"{plan.quantization} needs compute capability {storage.capability:g}, "
            f"and the card has {machine.capability:g}"
        )
    if storage.package and storage.package not in machine.packages:
        remedy = PACKAGES[storage.package]
        return f"{plan.quantization} needs {storage.package}: {remedy}"
    return ""


def explain_too_large(plan: MemoryPlan, machine: Machine) -> str:
    """Return which memory is too small for a plan, with both figures; or nothing."""
    if plan.gpu_gb > machine.gpu_gb:
        return f"takes {plan.gpu_gb:.1f} of {machine.gpu_gb:.1f} GB on the card"
    if plan.ram_gb > max(MIN_RAM_GB, machine.ram_gb * RAM_SHARE):
        return f"takes {plan.ram_gb:.1f} of {machine.ram_gb:.1f} GB of RAM"
    return ""


def estimate_memory(
    plan: MemoryPlan, sizes: ModelSizes, machine: Machine
) -> MemoryPlan:
    """Return the plan with the `gpu_gb` and `ram_gb` that it is expected to take."""
    amounts = _amounts(plan, sizes)
    peak = _peak(plan, amounts)
    if machine.gpu_gb:
        gpu, ram = peak + CONTEXT_GB, _ram_beside_card(plan, amounts)
    else:
        gpu, ram = 0.0, max(peak, amounts.loading)
    return replace(plan, gpu_gb=round(gpu, 2), ram_gb=round(ram + PROCESS_GB, 2))


@dataclass(frozen=True, slots=True)
class _Amounts:
    """GB of the parts and phases of a plan; `layer`: of one layer of the transformer.

    `loading`: of the transformer in 16 bits, where it is loaded whole before it is
    stored in fewer.
    """

    encoders: float
    transformer: float
    vae: float
    denoising: float
    decoding: float
    layer: float
    loading: float


def _amounts(plan: MemoryPlan, sizes: ModelSizes) -> _Amounts:
    storage = STORAGES[plan.quantization]
    width = 2.0 if plan.dtype == "float32" else 1.0
    per_megapixel = TILED_GB if plan.vae_tiling else DECODING_GB
    decoded_at_once = 1 if plan.vae_slicing else plan.batch
    return _Amounts(
        encoders=(sizes.t5 * storage.t5 + sizes.clip) * width,
        transformer=plan.gguf_gb or sizes.transformer * storage.transformer * width,
        vae=sizes.vae * width,
        denoising=DENOISING_GB * width * sizes.megapixels * plan.batch,
        decoding=per_megapixel * width * sizes.megapixels * decoded_at_once,
        layer=sizes.transformer * ONE_LAYER_SHARE,
        loading=sizes.transformer * width if storage.loads_whole else 0.0,
    )


def _peak(plan: MemoryPlan, gb: _Amounts) -> float:
    """Return what it takes where it draws: on the card, or in RAM without one."""
    painting = gb.transformer + gb.vae + max(gb.denoising, gb.decoding)
    if plan.offload == "none":
        return max(gb.encoders, painting) if plan.separate else gb.encoders + painting
    if plan.offload == "model":
        return max(gb.encoders, gb.transformer + gb.denoising, gb.vae + gb.decoding)
    return gb.layer + max(gb.denoising, gb.decoding)


def _ram_beside_card(plan: MemoryPlan, gb: _Amounts) -> float:
    """Return what it takes of RAM where a card draws."""
    if plan.offload == "none" and plan.text_encoders != "offloaded":
        # One after the other is loaded, and goes to the card.
        return max(gb.encoders, gb.transformer + gb.vae, gb.loading)
    return max(gb.encoders + gb.transformer + gb.vae, gb.loading)
