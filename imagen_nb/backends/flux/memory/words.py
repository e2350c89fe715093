"""A memory plan in words, and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan, PlanChoice

STORAGE_TEXTS = {
    "none": "as they are",
    "fp8": "in 8 bits, float8 (torchao)",
    "int8": "in 8 bits, int8 (torchao)",
    "layerwise": "the transformer's in 8 bits, each layer widened while it is used",
    "nf4": "in 4 bits, NF4 (bitsandbytes)",
    "gguf": "the transformer's from a GGUF file",
}
OFFLOAD_TEXTS = {
    "none": "the whole model stays where it draws",
    "model": "text encoders, transformer and VAE take turns on the card, and wait in RAM",
    "group": "layers come to the card from RAM as they are used: some 4 times slower",
    "sequential": "every layer comes to the card from RAM by itself: very slow",
}
_PAINTER_STAYS = "transformer and VAE stay where they draw"
TEXT_ENCODER_TEXTS = {
    "kept": "stay beside the transformer",
    "offloaded": "come to the card for all prompts of a call, then wait in RAM",
    "freed": "are read for all prompts of a call, then freed: they and the transformer take turns",
}


def describe_machine(machine: Machine) -> str:
    """What there is, in a phrase."""
    ram = f"{machine.ram_gb:.1f} GB of RAM"
    if not machine.gpu_gb:
        return f"the processor alone, {ram}"
    card = f"a card with {machine.gpu_gb:.1f} GB for use"
    return f"{card} (compute capability {machine.capability:g}), {ram}"


def explain_plan(model: str, found: PlanChoice) -> Iterator[str]:
    """A plan's whole explanation, line by line."""
    plan = found.plan
    yield f"{model} on {describe_machine(found.machine)}"
    yield ""
    if not found.fits:
        yield "Nothing fits this machine (flux-tiny-local does, and hosted models need none)."
        yield "This comes nearest, and will probably fail:"
    yield f"Plan {plan.name}, expected to take {describe_expectation(plan)}"
    yield from (f"  {line}" for line in describe_effects(plan))
    if whys := [
        each for each in found.skipped if _is_worth_a_line(each[1], found.machine)
    ]:
        yield ""
        yield "Better ones, and why not:" if found.fits else "The others:"
        yield from (f"  {name}: {why}" for name, why in whys)
    if found.smaller and found.machine.gpu_gb:
        yield ""
        yield "Should the card's memory prove too small, a session goes on with the next of:"
        yield f"  {', '.join(f'{one.name} ({one.gpu_gb:.1f} GB)' for one in found.smaller)}"


def describe_expectation(plan: MemoryPlan) -> str:
    """What a plan is expected to take at its peak."""
    ram = f"{plan.ram_gb:.1f} GB of RAM"
    return f"{plan.gpu_gb:.1f} GB on the card and {ram}" if plan.gpu_gb else ram


def describe_effects(plan: MemoryPlan) -> Iterator[str]:
    """What a plan does, a line for each."""
    yield f"weights: {STORAGE_TEXTS[plan.quantization]}; calculated in {plan.dtype}"
    yield f"places: {_PAINTER_STAYS if plan.separate else OFFLOAD_TEXTS[plan.offload]}"
    if plan.offload == "none" or plan.text_encoders != "offloaded":
        yield f"text encoders: {TEXT_ENCODER_TEXTS[plan.text_encoders]}"
    if plan.vae_tiling:
        yield "decoding: in tiles"
    if plan.compile:
        yield "speed: the transformer's blocks are compiled at the first picture"
    if plan.first_block_cache:
        yield f"speed: steps that change less than {plan.first_block_cache:g} are cut short"
    yield f"pictures drawn together: {plan.batch}"


def _is_worth_a_line(why: str, machine: Machine) -> bool:
    """Without a card, all that needs one is not worth a line each."""
    return bool(machine.gpu_gb) or "needs a CUDA" not in why


def plan_as_data(model: str, found: PlanChoice) -> dict[str, Any]:
    """All of it as JSON values."""
    machine = asdict(found.machine) | {"packages": sorted(found.machine.packages)}
    return {
        "model": model,
        "machine": machine,
        "plan": asdict(found.plan),
        "fits": found.fits,
        "does": [*describe_effects(found.plan)],
        "skipped": [{"plan": name, "why": why} for name, why in found.skipped],
        "smaller": [plan.name for plan in found.smaller],
    }
