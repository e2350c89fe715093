"""SwarmUI, and StableSwarmUI before it: `sui_image_params` in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    json_object_of,
    lora_entry,
    metadata_of,
)

_SWARMUI_NAMES = FieldNames(
    negative_prompt=("negativeprompt",),
    distilled_guidance=("fluxguidancescale",),
    cfg_scale=("cfgscale",),
    sampler=("sampler", "comfyuisampler"),
    schedule=("scheduler", "comfyuischeduler"),
    strength=("initimagecreativity",),
)
_SWARMUI_KEYS = ("parameters", "exif:UserComment", "comment")
_PARAMETERS = "sui_image_params"


def read_swarmui(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what a picture of SwarmUI says; None if it is none."""
    for key in _SWARMUI_KEYS:
        text = texts.get(key, "")
        if _PARAMETERS not in text:
            continue
        values = (json_object_of(text) or {}).get(_PARAMETERS)
        if not isinstance(values, dict):
            reason = f"{key} is no object in JSON with {_PARAMETERS}"
            return ForeignMetadata(program="swarmui", not_understood=reason)
        return replace(
            metadata_of("swarmui", values, _SWARMUI_NAMES),
            loras=_loras_of_swarmui(values),
        )
    return None


def _loras_of_swarmui(values: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    names, weights = _parts(values.get("loras")), _parts(values.get("loraweights"))
    pairs = zip_longest(names, weights[: len(names)])
    return tuple(lora_entry(name, weight) for name, weight in pairs)


def _parts(value: object) -> list[Any]:
    """Return a list, which older versions write as a text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else []
