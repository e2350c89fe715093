"""Puts a pipeline where a memory plan has it: on a card, or in RAM until used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from imagen_nb.backends.flux.memory.machine import default_device
from imagen_nb.backends.flux.memory.plan import MemoryPlan

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


@dataclass(frozen=True, slots=True)
class Placement:
    """What a pipeline computes on, and its transformer's type of numbers."""

    device: torch.device
    dtype: torch.dtype


_PLACEMENTS: WeakKeyDictionary[DiffusionPipeline, Placement] = WeakKeyDictionary()


def placement_of(pipeline: DiffusionPipeline) -> Placement:
    """Return the placement of a pipeline that draws; looked up once.

    diffusers goes through all modules of all parts each time, for milliseconds. It
    stays as the memory plan has it.
    """
    placement = _PLACEMENTS.get(pipeline)
    if placement is None:
        device, dtype = pipeline._execution_device, pipeline.transformer.dtype
        placement = _PLACEMENTS[pipeline] = Placement(device, dtype)
    return placement


def drawing_device(plan: MemoryPlan) -> torch.device:
    """Return what draws with a plan: its device, or else a card if there is one."""
    import torch

    return torch.device(plan.device or default_device())


def encoding_device(plan: MemoryPlan) -> torch.device:
    """Return what encodes prompts with a plan."""
    import torch

    return torch.device(plan.encoder_device or plan.device or default_device())


def place_pipeline(
    pipeline: DiffusionPipeline, plan: MemoryPlan, device: torch.device
) -> None:
    """Put a pipeline on a card, or let its parts come there, as the plan says.

    A pipeline may have some parts only. Where there is no card, it stays.
    """
    if device.type != "cpu":
        _PLACE_ON_CARD[plan.offload](pipeline, plan, device)


def offload_again(pipeline: DiffusionPipeline, plan: MemoryPlan) -> None:
    """Do what belongs to a pipeline itself, for a new one of parts that are in place.

    With group offload there is nothing: the layers' own hooks move them. Not tested on
    a GPU.
    """
    if plan.offload in ("model", "sequential"):
        place_pipeline(pipeline, plan, drawing_device(plan))


def _move_whole(
    pipeline: DiffusionPipeline, plan: MemoryPlan, device: torch.device
) -> None:
    pipeline.to(device)


def _offload_by_parts(
    pipeline: DiffusionPipeline, plan: MemoryPlan, device: torch.device
) -> None:
    pipeline.enable_model_cpu_offload(device=device)


def _offload_by_groups(
    pipeline: DiffusionPipeline, plan: MemoryPlan, device: torch.device
) -> None:
    """Let the transformer's blocks come one by one, and the encoders' layers.

    The VAE, which is small, stays on the card.
    """
    from diffusers.hooks import apply_group_offloading

    parts = networks_of(pipeline)
    transformer, vae = parts.pop("transformer", None), parts.pop("vae", None)
    if vae is not None:
        vae.to(device)
    if transformer is not None:
        if plan.pinned:
            pin_weights(transformer)
        transformer.enable_group_offload(
            onload_device=device,
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=plan.pinned,
        )
    for encoder in parts.values():  # each is used once for a prompt: no hurry
        apply_group_offloading(encoder, onload_device=device, offload_type="leaf_level")


def _offload_by_layers(
    pipeline: DiffusionPipeline, plan: MemoryPlan, device: torch.device
) -> None:
    pipeline.enable_sequential_cpu_offload(device=device)


_PLACE_ON_CARD: dict[
    str, Callable[[DiffusionPipeline, MemoryPlan, torch.device], None]
] = {
    "none": _move_whole,
    "model": _offload_by_parts,
    "group": _offload_by_groups,
    "sequential": _offload_by_layers,
}


def networks_of(pipeline: DiffusionPipeline) -> dict[str, Any]:
    """Return the parts of a pipeline that have weights, by name."""
    import torch

    parts = pipeline.components.items()
    return {name: part for name, part in parts if isinstance(part, torch.nn.Module)}


def pin_weights(module: torch.nn.Module) -> None:
    """Pin a module's weights where they are, one by one.

    diffusers would make pinned copies of all before it lets go of the first; what is
    pinned already it takes as it is. Not run on a card.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.pin_memory()
