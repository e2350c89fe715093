"""Schedulers by name: those of diffusers that draw the same picture for the same seed.

Left out are those that add noise which no seed decides (stochastic Euler, SDE, LCM),
FlowMatchHeun, which takes no sigmas from a pipeline, and DEIS, whose last step leaves
noise in the picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusers import DiffusionPipeline

# Of arrays of one number and of tensors, in code of diffusers.
_NUMPY_WARNINGS = ("Conversion of an array", "__array__ implementation doesn't accept")
_FLOW_CONFIG = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@dataclass(frozen=True, slots=True)
class Scheduler:
    """One scheduler: its class in diffusers and its configuration.

    `from_image`: whether it can begin with an init image. `shifts`: it needs the
    dynamic shifting of timesteps, which is set to shift by 0 for models that have none.
    """

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    from_image: bool = True
    shifts: bool = False


SCHEDULERS = {
    "euler": Scheduler("FlowMatchEulerDiscreteScheduler"),
    "euler-karras": Scheduler(
        "FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}
    ),
    "euler-exponential": Scheduler(
        "FlowMatchEulerDiscreteScheduler", {"use_exponential_sigmas": True}
    ),
    "unipc": Scheduler("UniPCMultistepScheduler", _FLOW_CONFIG, from_image=False),
    "dpm++": Scheduler(
        "DPMSolverMultistepScheduler", _FLOW_CONFIG, from_image=False, shifts=True
    ),
}
# Names, each with the options of a request that it does not go with.
SCHEDULER_CONFLICTS = {
    name: () if row.from_image else ("init_image",) for name, row in SCHEDULERS.items()
}


def scheduler_class(name: str | None) -> str:
    """Return the class of diffusers behind a name; empty for None, the model's own."""
    return SCHEDULERS[name].kind if name else ""


@contextmanager
def use_scheduler(pipeline: DiffusionPipeline, name: str | None) -> Iterator[None]:
    """Give the pipeline this scheduler while it draws; None is its own."""
    if name is None:
        yield
        return
    own = pipeline.scheduler
    pipeline.scheduler = _make_scheduler(SCHEDULERS[name], own)
    try:
        with warnings.catch_warnings():
            for message in _NUMPY_WARNINGS:
                warnings.filterwarnings("ignore", message, DeprecationWarning)
            yield
    finally:
        pipeline.scheduler = own


def _make_scheduler(scheduler: Scheduler, own: Any) -> Any:
    import diffusers

    config = {**own.config, **scheduler.config}
    if scheduler.shifts and not config.get("use_dynamic_shifting"):
        config |= {"use_dynamic_shifting": True, "base_shift": 0.0, "max_shift": 0.0}
    return getattr(diffusers, scheduler.kind).from_config(config)
