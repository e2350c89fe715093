"""The text that AUTOMATIC1111's webui writes, and many write after it.

The prompt, `Negative prompt:` and more lines, then a line of `Name: value` pairs. Values
that hold a comma or colon are in quotation marks, as JSON; some are JSON themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    clean_text,
    lora_entry,
    metadata_of,
    objects_in,
)

_INFOTEXT_KEYS = ("parameters", "exif:UserComment", "exif:ImageDescription", "comment")
_INFOTEXT_NAMES = FieldNames(
    prompt=("Raw prompt", "Prompt"),  # Fooocus: before its styles; ours: as it stands
    negative_prompt=("Raw negative prompt", "Negative prompt"),
    seed=("Seed",),
    steps=("Steps",),
    distilled_guidance=("Distilled CFG Scale",),
    cfg_scale=("CFG scale", "CFG Scale", "Cfg scale"),
    sampler=("Sampler",),
    schedule=("Schedule type",),
    model=("Model", "Model hash"),
    strength=("Denoising strength",),
)
_NEGATIVE = "Negative prompt:"
_PAIR_NAME = re.compile(r"\s*(\w[\w \-/.()]{0,60}):[ \t]*")
_VALUE_ENDS = re.compile(r"\s*(?:,|$)")
_KNOWN = {"Steps", "Seed", "Size", "Sampler", "CFG scale", "Model", "Model hash"}
_CERTAIN = {"Steps", "Seed"}  # one of them is in every line of settings
_FEWEST_KNOWN = 2  # of the names above, in a line that is taken for the settings
_JSON_BEGINS = re.compile(r'\s*\{\s*"')
_MAX_LINES_FROM_END = 30  # in which the settings are looked for
_MAX_LINE_CHARS = 50_000
_SECOND_PASS = ("Hires upscale", "Hires upscaler", "Hires resize", "Hires steps")
_RESOURCES = "Civitai resources"
_LORA_TYPES = ("lora", "locon", "lycoris", "dora")
_LORA_TAG = re.compile(
    r"<(?:lora|lyco):([^:<>]{1,200})(?::([^:<>]{0,40}))?[^<>]{0,80}>"
)
_WEIGHTED = re.compile(r"([^:,]{1,200}): ?(-?[\d.]{1,20})(?:, |$)")


class _Fork(NamedTuple):
    program: str
    name: str  # of a pair
    pattern: str  # that its value begins with


_FORKS = (
    _Fork("sdnext", "App", r"SD\.Next"),
    _Fork("fooocus", "Version", "Fooocus"),
    _Fork("imagen_nb", "Version", "imagen_nb"),
    _Fork("comfyui", "Version", "ComfyUI"),
    _Fork("forge", "Version", r"f\d|neo|classic"),
    _Fork("forge", "Distilled CFG Scale", ""),
)


class Infotext(NamedTuple):
    """The parts of such a text; `settings` is None if it has no line of pairs."""

    prompt: str
    negative_prompt: str
    settings: dict[str, Any] | None


def read_infotext(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what such a text says; None if the picture has none."""
    for key in _INFOTEXT_KEYS:
        parts = parsed_infotext(texts[key]) if key in texts else None
        if parts is not None and parts.settings is not None:
            return _metadata_of_infotext(parts, parts.settings)
    text = texts.get("parameters", "")
    if text.strip() and not _JSON_BEGINS.match(text):
        parts = parsed_infotext(text)
        return ForeignMetadata(
            program="a1111",
            prompt=clean_text(parts.prompt),
            negative_prompt=clean_text(parts.negative_prompt) or None,
            not_understood="parameters has no line with steps, sampler and seed",
        )
    return None


def _metadata_of_infotext(parts: Infotext, settings: dict[str, Any]) -> ForeignMetadata:
    program = next(
        (
            fork.program
            for fork in _FORKS
            if fork.name in settings
            and re.match(fork.pattern, str(settings[fork.name]))
        ),
        "a1111",
    )
    values = {
        **_of_civitai(settings),
        **settings,
        "Prompt": parts.prompt,
        "Negative prompt": parts.negative_prompt,
    }
    if any(name in settings for name in _SECOND_PASS):
        values.pop("Denoising strength", None)  # it is the second pass's
    names = _INFOTEXT_NAMES
    if str(settings.get("Pipeline", "")).startswith("Flux") and "CFG true" in settings:
        names = replace(
            names, distilled_guidance=names.cfg_scale, cfg_scale=("CFG true",)
        )
    found = metadata_of(program, values, names)
    return replace(found, loras=_loras_of_infotext(parts, settings))


def _loras_of_infotext(
    parts: Infotext, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    weights = settings.get("Lora weights")  # Fooocus
    pattern, text = (
        (_WEIGHTED, weights) if isinstance(weights, str) else (_LORA_TAG, parts.prompt)
    )
    found = dict.fromkeys(pattern.findall(text))  # a tag may stand there twice
    tags = tuple(lora_entry(name, weight) for name, weight in found)
    return tags or tuple(
        lora_entry(_resource_name(row), row.get("weight"))
        for row in objects_in(settings.get(_RESOURCES))
        if row.get("type") in _LORA_TYPES
    )


def _of_civitai(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the model that Civitai's generator names, as one of its resources."""
    rows = objects_in(settings.get(_RESOURCES))
    models = [_resource_name(row) for row in rows if row.get("type") == "checkpoint"]
    return {"Model": models[0]} if models else {}


def _resource_name(row: Mapping[str, Any]) -> str:
    names = (clean_text(row.get(key)) for key in ("modelName", "modelVersionName"))
    return " ".join(filter(None, names))


def parsed_infotext(text: str) -> Infotext:
    """Return the parts of such a text.

    The settings are the last line that looks like them: extensions write lines after
    it, and prompts hold lines that look like a little of it.
    """
    lines = text.strip().split("\n")
    for at in range(len(lines) - 1, max(-1, len(lines) - 1 - _MAX_LINES_FROM_END), -1):
        settings = _pairs(lines[at])
        known = _KNOWN & settings.keys()
        if len(known) >= _FEWEST_KNOWN and known & _CERTAIN:
            return Infotext(*_prompts(lines[:at]), settings)
    return Infotext(*_prompts(lines), None)


def _prompts(lines: list[str]) -> tuple[str, str]:
    positive: list[str] = []
    negative: list[str] = []
    into = positive
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(_NEGATIVE):
            into = negative
            stripped = stripped.removeprefix(_NEGATIVE).strip()
        into.append(stripped)
    return "\n".join(positive), "\n".join(negative)


def _pairs(line: str) -> dict[str, Any]:
    """Return the pairs of a line; the first of a name counts, as the webui writes it."""
    pairs: dict[str, Any] = {}
    if len(line) > _MAX_LINE_CHARS or not any(name in line for name in _CERTAIN):
        return pairs
    at = 0
    while at < len(line):
        named = _PAIR_NAME.match(line, at)
        if named is None:
            at = _after_comma(line, at)
            continue
        value, at = _value_at(line, named.end())
        pairs.setdefault(named[1], value)
    return pairs


def _value_at(line: str, at: int) -> tuple[Any, int]:
    """Return the value that begins here, and where the next pair does."""
    if line[at : at + 1] in ('"', "{", "["):
        try:
            value, end = json.JSONDecoder().raw_decode(line, at)
        except (ValueError, RecursionError):
            value, end = None, at
        if end > at and _VALUE_ENDS.match(line, end):
            return value, _after_comma(line, end)
    end = _after_comma(line, at)
    return line[at:end].rstrip().removesuffix(",").strip(), end


def _after_comma(line: str, at: int) -> int:
    comma = line.find(",", at)
    return len(line) if comma < 0 else comma + 1
