"""Options of a request besides prompt, seed, steps, size and guidance, and who takes them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.errors import UsageError
from imagen_nb.request.images import InputImage, load_input
from imagen_nb.request.validation import short_repr, validated_float, validated_text
from imagen_nb.system.spelling import describe_meant

IMAGE_OPTIONS = frozenset({"init_image", "mask"})
OPTION_NAMES = (
    "init_image",
    "mask",
    "strength",
    "negative_prompt",
    "true_cfg",
    "scheduler",
)
SWEEPABLE_OPTIONS = ("strength", "true_cfg", "scheduler", "negative_prompt")
DEFAULT_TRUE_CFG = 2.0  # where only a negative prompt is given
MAX_TRUE_CFG = 30.0


@dataclass(frozen=True, slots=True)
class AcceptedOptions:
    """The options among `OPTION_NAMES` that a model takes.

    `options`: their names, each with the options that it requires. `needs`: options that
    must be given. `schedulers`: their names, each with the options that exclude it.
    `strength`: the default share of an init image that is redrawn, 0 to 1.
    """

    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    schedulers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strength: float = 0.6


def validated_options(
    given: Mapping[str, Any], takes: AcceptedOptions
) -> dict[str, Any]:
    """Return the fields of a request that these options set; None is not given.

    Raise `UsageError` for an option that the model does not take, or that excludes
    another.
    """
    requested = {name: value for name, value in given.items() if value is not None}
    _require_known(requested, takes)
    found = {name: _VALIDATORS[name](value, takes) for name, value in requested.items()}
    _require_fitting_mask(found)
    if "init_image" in found and _applies("strength", found, takes):
        found.setdefault("strength", takes.strength)
    if name := found.get("scheduler"):
        _require_compatible_scheduler(name, found, takes)
    return found | _guidance_fields(found)


def _require_known(requested: Iterable[str], takes: AcceptedOptions) -> None:
    for name in requested:
        if name not in takes.options:
            known = ", ".join(takes.options) or "nothing of the kind"
            raise UsageError(f"this model takes no {name}: it takes {known}")
        if lacking := [
            other for other in takes.options[name] if other not in requested
        ]:
            raise UsageError(f"{name} needs {lacking[0]}: give both")
    if lacking := [name for name in takes.needs if name not in requested]:
        raise UsageError(
            f"this model draws from {' and '.join(takes.needs)}: give {lacking[0]}="
        )


def _applies(name: str, found: Mapping[str, Any], takes: AcceptedOptions) -> bool:
    return name in takes.options and all(
        other in found for other in takes.options[name]
    )


def _require_fitting_mask(found: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless the mask has the init image's size and marks something."""
    mask: InputImage | None = found.get("mask")
    if mask is None:
        return
    image: InputImage = found["init_image"]
    if (mask.width, mask.height) != (image.width, image.height):
        raise UsageError(
            f"the mask has {mask.width}×{mask.height} pixels and the init image "
            f"{image.width}×{image.height}: they must be of one size"
        )
    if _is_black(mask):
        raise UsageError(
            "the mask is black everywhere: what shall be painted anew is white in it"
        )


@functools.lru_cache(maxsize=4)  # a sweep asks once for each of its pictures
def _is_black(mask: InputImage) -> bool:
    return mask.mask(mask.width, mask.height).getextrema()[1] == 0


def _require_compatible_scheduler(
    name: str, found: Mapping[str, Any], takes: AcceptedOptions
) -> None:
    if clash := [other for other in takes.schedulers[name] if other in found]:
        others = ", ".join(
            one for one, not_with in takes.schedulers.items() if not not_with
        )
        raise UsageError(
            f"the scheduler {name} does not go with {clash[0]}: use one of {others}"
        )


def _guidance_fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of classifier-free guidance, away from the negative prompt."""
    scale, negative = found.get("true_cfg"), found.get("negative_prompt")
    if scale is None:
        scale = DEFAULT_TRUE_CFG if negative else 1.0
    if scale > 1:
        return {"true_cfg": scale, "negative_prompt": negative or ""}
    if negative:
        raise UsageError(
            "a negative prompt works with a true_cfg above 1 only: leave one out"
        )
    return {"true_cfg": 1.0, "negative_prompt": None}


def _validated_scheduler(value: Any, takes: AcceptedOptions) -> str:
    if value not in takes.schedulers:
        known = ", ".join(takes.schedulers)
        meant = describe_meant(value, takes.schedulers)
        raise UsageError(
            f"there is no scheduler {short_repr(value)} here: use one of {known}{meant}"
        )
    return str(value)


_VALIDATORS: dict[str, Any] = {
    "init_image": lambda value, takes: load_input("init_image", value),
    "mask": lambda value, takes: load_input("mask", value),
    "strength": lambda value, takes: validated_float("strength", value, 0.01, 1.0),
    "negative_prompt": lambda value, takes: validated_text(
        "the negative prompt", value
    ),
    "true_cfg": lambda value, takes: validated_float(
        "true_cfg", value, 1.0, MAX_TRUE_CFG
    ),
    "scheduler": _validated_scheduler,
}
