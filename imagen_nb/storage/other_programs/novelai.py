"""NovelAI: chunks named Software, Source, Description and Comment (JSON)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    clean_text,
    json_object_of,
    metadata_of,
    objects_in,
)

_NOVELAI_NAMES = FieldNames(
    negative_prompt=("uc",),
    cfg_scale=("scale",),
    schedule=("noise_schedule",),
    model=("Source",),
)
_BETWEEN_CHARACTERS = " | "  # as in NovelAI's own prompts


def read_novelai(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what a picture of NovelAI says; None if it is none."""
    values = json_object_of(texts.get("Comment"))
    is_known = values is not None and ("uc" in values or "v4_prompt" in values)
    if clean_text(texts.get("Software")) != "NovelAI" and not is_known:
        return None
    described = {"prompt": texts.get("Description"), "Source": texts.get("Source")}
    if values is None:
        found = metadata_of("novelai", described, _NOVELAI_NAMES)
        return replace(found, not_understood="Comment is no object in JSON")
    for name, fourth in (("prompt", "v4_prompt"), ("uc", "v4_negative_prompt")):
        parts = _captions_of_prompt(values.get(fourth))
        if parts:
            values[name] = _BETWEEN_CHARACTERS.join(parts)
    known = {name: text for name, text in values.items() if text not in (None, "")}
    return metadata_of("novelai", described | known, _NOVELAI_NAMES)


def _captions_of_prompt(prompt: Any) -> list[str]:
    """Return the texts of a prompt of version 4: of the picture, and of each character."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    if not isinstance(caption, dict):
        return []
    people = objects_in(caption.get("char_captions"))
    texts = [
        caption.get("base_caption"),
        *(each.get("char_caption") for each in people),
    ]
    return [text for text in map(clean_text, texts) if text]
