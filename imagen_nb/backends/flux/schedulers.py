"""Schedulers by name: those of diffusers that draw with FLUX, the same picture for the same seed.

Left out are those that add noise which no seed decides (stochastic Euler, SDE, LCM), FlowMatchHeun,
which takes no sigmas of a pipeline's, and DEIS, whose last step leaves noise in the picture.
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

_FLOW_CONFIG = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@dataclass(frozen=True, slots=True)
class Scheduler:
    """One scheduler: its class, what is set of it, and whether it can begin with an init image.

    `shifts`: it needs the dynamic shifting of timesteps, which is then set to shift by nothing
    where the model has none.
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
SCHEDULER_CONFLICTS = {
    name: () if row.from_image else ("init_image",) for name, row in SCHEDULERS.items()
}


def scheduler_class(name: str | None) -> str:
    """The class of diffusers behind a name; nothing for the model's own."""
    return SCHEDULERS[name].kind if name else ""


@contextmanager
def use_scheduler(pipeline: DiffusionPipeline, name: str | None) -> Iterator[None]:
    """The pipeline with this scheduler while it draws; None is its own."""
    if name is None:
        yield
        return
    own = pipeline.scheduler
    pipeline.scheduler = _make_scheduler(SCHEDULERS[name], own)
    try:
        with warnings.catch_warnings():
            # numpy's, of arrays of one number and of tensors, in code of diffusers
            for said in (
                "Conversion of an array",
                "__array__ implementation doesn't accept",
            ):
                warnings.filterwarnings("ignore", said, DeprecationWarning)
            yield
    finally:
        pipeline.scheduler = own


def _make_scheduler(row: Scheduler, own: Any) -> Any:
    import diffusers

    config = {**own.config, **row.config}
    if row.shifts and not config.get("use_dynamic_shifting"):
        config |= {"use_dynamic_shifting": True, "base_shift": 0.0, "max_shift": 0.0}
    return getattr(diffusers, row.kind).from_config(config)
