"""InvokeAI: `invokeai_metadata` since 3.0, `sd-metadata` of 2.x, `Dream` of 1.x."""

from __future__ import annotations

import re
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
    objects_in,
)

_INVOKEAI_NAMES = FieldNames(
    prompt=("positive_prompt", "prompt"),
    distilled_guidance=("guidance",),
    sampler=("scheduler", "sampler"),
    model=("model", "model_weights"),
)
_FORMS = ("invokeai_metadata", "invokeai_graph", "sd-metadata", "Dream")
_DREAM = re.compile(r'"(.*?)"((?:\s+-.*)?)', re.DOTALL)
_DREAM_OPTION = re.compile(r"\s-([a-zA-Z])\s*([^\s\"]{1,200})")
_DREAM_NAMES = {
    "s": "steps",
    "S": "seed",
    "C": "cfg_scale",
    "A": "sampler",
    "f": "strength",
}
_NEGATIVE_PART = re.compile(r"\s?\[([^\[\]]*)\]")  # of a prompt, until 2.3


def read_invokeai(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what a picture of InvokeAI says; None if it is none."""
    form = next((form for form in _FORMS if form in texts), None)
    if form is None:
        return None
    if form == "Dream":
        return _of_dream(texts[form])
    values = json_object_of(texts[form])
    if values is None:
        return _not_understood(f"{form} is no object in JSON")
    if form == "sd-metadata":
        return _of_sd_metadata(values)
    if form == "invokeai_graph":
        return _of_graph(values)
    return _of_core_metadata(values)


def _not_understood(reason: str) -> ForeignMetadata:
    return ForeignMetadata(program="invokeai", not_understood=reason)


def _of_core_metadata(values: Mapping[str, Any]) -> ForeignMetadata:
    found = metadata_of("invokeai", values, _INVOKEAI_NAMES)
    loras = [
        lora_entry(row.get("model") or row.get("lora"), row.get("weight"))
        for row in objects_in(values.get("loras"))
    ]
    if not found.prompt and found.seed is None:
        return replace(
            found, not_understood="the metadata names neither prompt nor seed"
        )
    return replace(found, loras=tuple(loras))


def _of_graph(values: Mapping[str, Any]) -> ForeignMetadata:
    """Return what the node says that gathers the metadata of other pictures."""
    nodes = values.get("nodes")
    for node in nodes.values() if isinstance(nodes, dict) else []:
        if isinstance(node, dict) and node.get("type") == "core_metadata":
            return _of_core_metadata(node)
    return _not_understood("invokeai_graph has no node of metadata")


def _of_sd_metadata(values: Mapping[str, Any]) -> ForeignMetadata:
    image = values.get("image")
    if not isinstance(image, dict):
        return _not_understood("sd-metadata has no image")
    parts = image.get("prompt")
    if isinstance(parts, str):
        parts = [{"prompt": parts}]
    prompts = [clean_text(part.get("prompt")) for part in objects_in(parts)]
    model = clean_text(values.get("model_weights")) or values.get("model")
    return _of_bracketed(", ".join(prompts), {**image, "model": model})


def _of_dream(text: str) -> ForeignMetadata:
    parts = _DREAM.fullmatch(text.strip())
    if parts is None:
        return _not_understood("Dream is no prompt in quotation marks with options")
    options = {
        _DREAM_NAMES[key]: value
        for key, value in _DREAM_OPTION.findall(parts[2])
        if key in _DREAM_NAMES
    }
    return _of_bracketed(parts[1], options)


def _of_bracketed(prompt: str, values: Mapping[str, Any]) -> ForeignMetadata:
    """Return the metadata, with what stands in brackets as the negative prompt."""
    negative = ", ".join(part.strip() for part in _NEGATIVE_PART.findall(prompt))
    positive = _NEGATIVE_PART.sub("", prompt).strip()
    both = {**values, "positive_prompt": positive, "negative_prompt": negative}
    return metadata_of("invokeai", both, _INVOKEAI_NAMES)
