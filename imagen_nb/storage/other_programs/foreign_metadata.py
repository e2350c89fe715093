"""What is read of a picture that another program made, and the values it is made of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from imagen_nb.request.request import MAX_SEED

MAX_JSON_CHARS = 5_000_000  # Python holds JSON in some thirty times as many bytes
_MAX_STEPS = 2**31 - 1
_MAX_DIGITS = 40  # of a number that is written as text
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what neither PostgreSQL nor UTF-8 holds
_NO_JSON = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignMetadata:
    """What a picture of another program says of how it was made.

    Attributes:
        program: a1111, forge, sdnext, comfyui, invokeai, fooocus, swarmui, novelai,
            diffusers (a script that wrote its call's arguments), wandb, imagen_nb or
            unknown.
        prompt: empty where the picture says none.
        negative_prompt: None where there is none.
        seed: None as well for one that is beyond `MAX_SEED`; `raw` has it.
        guidance: the distilled guidance where there is one, else the CFG scale.
        true_cfg: the CFG scale beside a distilled guidance, if it is above 1.
        sampler: as the program wrote it, with the schedule.
        loras: each with `name` and `weight`.
        strength: how much of an input image was drawn anew, 0 to 1.
        raw: every text of the picture as it was, by the name of its chunk or
            `exif:` and the name of its tag; NUL and halves of characters as U+FFFD.
        not_understood: in one line, what of the texts was not read, and why.
    """

    program: str
    prompt: str = ""
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    true_cfg: float | None = None
    sampler: str | None = None
    model: str | None = None
    loras: tuple[dict[str, Any], ...] = ()
    strength: float | None = None
    raw: dict[str, str] = field(default_factory=dict)
    not_understood: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """What a program calls the facts of a picture: for each its names, the best first."""

    prompt: tuple[str, ...] = ("prompt",)
    negative_prompt: tuple[str, ...] = ("negative_prompt",)
    seed: tuple[str, ...] = ("seed",)
    steps: tuple[str, ...] = ("steps",)
    distilled_guidance: tuple[str, ...] = ()
    cfg_scale: tuple[str, ...] = ("cfg_scale",)
    sampler: tuple[str, ...] = ("sampler",)
    schedule: tuple[str, ...] = ()
    model: tuple[str, ...] = ("model",)
    strength: tuple[str, ...] = ("strength",)


def metadata_of(
    program: str, values: Mapping[str, Any], names: FieldNames
) -> ForeignMetadata:
    """Return what these values say, whatever types they have; no LoRAs, no raw texts.

    Example:
        >>> metadata_of("swarmui", {"prompt": "a boat", "seed": "7"}, FieldNames()).seed
        7
    """

    def first(keys: tuple[str, ...], convert: Callable[[object], Any]) -> Any:
        found = (convert(values.get(key)) for key in keys)
        return next((value for value in found if value not in (None, "")), None)

    guidance, true_cfg = guidance_and_true_cfg(
        first(names.distilled_guidance, finite_number),
        first(names.cfg_scale, finite_number),
    )
    return ForeignMetadata(
        program=program,
        prompt=first(names.prompt, clean_text) or "",
        negative_prompt=first(names.negative_prompt, clean_text),
        seed=first(names.seed, seed_of),
        steps=first(names.steps, steps_of),
        guidance=guidance,
        true_cfg=true_cfg,
        sampler=sampler_with_schedule(
            first(names.sampler, clean_text), first(names.schedule, clean_text)
        ),
        model=first(names.model, model_name_of),
        strength=first(names.strength, finite_number),
    )


def guidance_and_true_cfg(
    distilled: float | None, cfg_scale: float | None
) -> tuple[float | None, float | None]:
    """Return `guidance` and `true_cfg` of a record, given what programs call both."""
    if distilled is None:
        return cfg_scale, None
    return distilled, cfg_scale if cfg_scale is not None and cfg_scale > 1 else None


def sampler_with_schedule(sampler: str | None, schedule: str | None) -> str | None:
    """Return both as one text, or the one that there is."""
    return " ".join(part for part in (sampler, schedule) if part) or None


def lora_entry(name: object, weight: object) -> dict[str, Any]:
    """Return one of `ForeignMetadata.loras`; a weight that is no number counts as 1."""
    number = finite_number(weight)
    return {
        "name": model_name_of(name) or "",
        "weight": 1.0 if number is None else number,
    }


def clean_text(value: object) -> str:
    """Return a text without white space around it, and "" for what is no text.

    What no database holds, NUL and halves of characters, becomes U+FFFD.
    """
    return storable(value).strip() if isinstance(value, str) else ""


def storable(text: str) -> str:
    """Return the text with NUL and halves of characters replaced by U+FFFD."""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def model_name_of(value: object) -> str:
    """Return the name of a model: a text, or an object that has one."""
    if isinstance(value, Mapping):
        return clean_text(value.get("name")) or clean_text(value.get("model_name"))
    return clean_text(value)


def finite_number(value: object) -> float | None:
    """Return a number, also one that is written as text; None for all else."""
    if not _may_be_number(value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def seed_of(value: object) -> int | None:
    """Return the seed, or None for what no record holds."""
    return _whole_number(value, MAX_SEED)


def steps_of(value: object) -> int | None:
    """Return the number of steps, or None for what is none."""
    return _whole_number(value, _MAX_STEPS)


def _whole_number(value: object, most: int) -> int | None:
    """Return a whole number from 0 to `most`, exactly as it is written."""
    if not _may_be_number(value):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):  # text such as 20.0, NaN, infinity
        inexact = finite_number(value)
        if inexact is None:
            return None
        number, value = int(inexact), inexact
    is_whole = not isinstance(value, float) or value == number
    return number if is_whole and 0 <= number <= most else None


def _may_be_number(value: object) -> TypeGuard[int | float | str]:
    if isinstance(value, str):
        return len(value) <= _MAX_DIGITS
    return isinstance(value, int | float) and not isinstance(value, bool)


def json_object_of(text: str | None) -> dict[str, Any] | None:
    """Return the object that a text is in JSON; None for all else."""
    if text is None or len(text) > MAX_JSON_CHARS or not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except _NO_JSON:
        return None
    return value if isinstance(value, dict) else None


def objects_in(value: object) -> list[dict[str, Any]]:
    """Return those parts of a list that are objects; none for what is no list."""
    return (
        [part for part in value if isinstance(part, dict)]
        if isinstance(value, list)
        else []
    )
