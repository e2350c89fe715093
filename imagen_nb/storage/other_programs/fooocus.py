"""Fooocus: JSON in `parameters` or UserComment; its other scheme is an infotext."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    clean_text,
    json_object_of,
    lora_entry,
    metadata_of,
)

_FOOOCUS_NAMES = FieldNames(
    prompt=("prompt", "Prompt"),
    negative_prompt=("negative_prompt", "Negative Prompt", "Negative"),
    seed=("seed", "Seed"),
    steps=("steps", "Steps"),
    cfg_scale=("guidance_scale", "Guidance Scale", "cfg"),
    sampler=("sampler", "Sampler", "sampler_name"),
    schedule=("scheduler", "Scheduler"),
    model=("base_model", "Base Model", "base_model_name"),
)
_FOOOCUS_KEYS = ("parameters", "exif:UserComment", "Comment", "comment")
_LORA_NAMES = ("lora_combined_{}", "LoRA {}")
_MAX_LORA_ROWS = 20


def read_fooocus(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what a picture of Fooocus says in JSON; None if it says nothing so."""
    for key in _FOOOCUS_KEYS:
        values = json_object_of(texts.get(key))
        if values is not None and _is_of_fooocus(values):
            found = metadata_of("fooocus", values, _FOOOCUS_NAMES)
            return replace(found, loras=tuple(_loras_of_fooocus(values)))
    if texts.get("fooocus_scheme") == "fooocus":
        reason = "parameters is no object in JSON"
        return ForeignMetadata(program="fooocus", not_understood=reason)
    return None


def _is_of_fooocus(values: Mapping[str, Any]) -> bool:
    made_by = (
        clean_text(values.get(name)) for name in ("version", "Version", "software")
    )
    own = {"base_model", "performance"} <= values.keys()
    return own or any("Fooocus" in text for text in made_by)


def _loras_of_fooocus(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the LoRAs of the list, which has hashes too; of old versions, of the rows."""
    rows = values.get("loras")
    if isinstance(rows, list):
        whole = [row for row in rows if isinstance(row, list) and len(row) >= 2]
        return [lora_entry(row[0], row[1]) for row in whole]
    texts = [
        clean_text(values.get(name.format(number)))
        for number in range(1, _MAX_LORA_ROWS)
        for name in _LORA_NAMES
    ]
    parts = [text.split(" : ") for text in texts if " : " in text]
    used = [row for row in parts if row[0] != "False" and row[-2] != "None"]
    return [lora_entry(row[-2], row[-1]) for row in used]
