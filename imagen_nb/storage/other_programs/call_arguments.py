"""Scripts that wrote the arguments of a diffusers call into the picture, each its own way.

diffusers itself writes nothing. What scripts have in common are the names of its
arguments, as chunks of their own or in one object of JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    clean_text,
    json_object_of,
    lora_entry,
    metadata_of,
    objects_in,
)

_CALL_NAMES = FieldNames(
    seed=("seed", "generator_seed"),
    steps=("num_inference_steps", "steps"),
    cfg_scale=("guidance_scale", "guidance"),
    sampler=("scheduler", "sampler", "sampler_name"),
    model=(
        *("model", "model_id", "pretrained_model_name_or_path", "model_name"),
        *("base_model", "use_stable_diffusion_model"),
    ),
)
_CALL_LORA_NAMES = ("loras", "lora", "lora_path", "lora_scale")
_OF_DIFFUSERS = ("num_inference_steps", "guidance_scale", "true_cfg_scale")
_CALL_KEYS = (
    *("parameters", "metadata", "Comment", "comment", "Description", "generation"),
    *("exif:UserComment", "exif:ImageDescription"),
)


def read_call_arguments(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what such chunks or such an object says; None if there is none."""
    objects = (json_object_of(texts.get(key)) or {} for key in _CALL_KEYS)
    for values in chain((texts,), objects):
        if "prompt" in values and any(name in values for name in _OF_DIFFUSERS):
            return metadata_of_call(values)
    return None


def named_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that are read: others may be nobody's business."""
    fields = (
        getattr(_CALL_NAMES, each.name) for each in dataclasses.fields(FieldNames)
    )
    names = {"true_cfg_scale", *_CALL_LORA_NAMES, *chain(*fields)}
    return {name: value for name, value in values.items() if name in names}


def metadata_of_call(
    values: Mapping[str, Any], program: str = "diffusers"
) -> ForeignMetadata:
    """Return what the arguments of a call say, and the LoRAs that are named beside them.

    A FLUX pipeline calls its distilled guidance `guidance_scale`, and the CFG scale
    beside it `true_cfg_scale`.
    """
    names = _CALL_NAMES
    if "true_cfg_scale" in values:
        names = replace(
            names, distilled_guidance=names.cfg_scale, cfg_scale=("true_cfg_scale",)
        )
    found = metadata_of(program, values, names)
    return replace(found, loras=tuple(_loras_of_call(values)))


def _loras_of_call(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = values.get("loras")
    if isinstance(rows, list):
        return [
            lora_entry(row.get("name") or row.get("path"), row.get("weight"))
            for row in objects_in(rows)
        ]
    name = clean_text(values.get("lora")) or clean_text(values.get("lora_path"))
    return [lora_entry(name, values.get("lora_scale"))] if name else []
