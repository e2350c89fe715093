"""What is recorded of a picture, as a person reads it, and as a call that draws it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.widgets.recall import guiding_scale


def list_facts(picture: Picture) -> list[tuple[str, str]]:
    """Return (name, value) of all that is worth reading, what is empty left out."""
    record = picture.record
    recorded: dict[str, Any] = {
        **_drawing_facts(record),
        "backend": record.backend,
        "model": record.model,
        "device": record.device,
        "time": _seconds(record.latency_ms),
        "cost": _dollars(record.cost_usd_estimate),
        "drawn": record.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "tags": ", ".join(record.tags),
        "cloud": picture.cloud,
        "file": str(picture.path),
        "id": str(record.id),
    }
    return [(name, str(value)) for name, value in recorded.items() if value]


def describe_settings(record: Record) -> str:
    """Return a line of what was set, without the prompt.

    Example:
        "seed 7 · 128×128 · 6 steps · guidance 0 · flux-tiny-local"
    """
    facts = _drawing_facts(record)
    size, steps = facts.pop("size"), facts.pop("steps")
    del facts["prompt"]
    seed, *others = [f"{name} {value}" for name, value in facts.items() if value]
    counted = {None: [], 1: ["1 step"]}.get(steps, [f"{steps} steps"])
    return " · ".join([seed, size, *counted, *others, record.backend])


def describe_call(record: Record) -> str:
    """Return the call of `im.generate` that draws this, images left out."""
    given: dict[str, Any] = {
        "seed": record.seed,
        "steps": record.steps,
        "width": record.width,
        "height": record.height,
        "guidance": record.guidance,
        "negative_prompt": record.negative_prompt,
        "true_cfg": guiding_scale(record),
        "strength": record.strength,
        "scheduler": record.scheduler_name,
        "loras": [(each.get("path"), each.get("weight")) for each in record.loras],
        "backend": record.backend,
    }
    arguments = [
        f"{name}={value!r}" for name, value in given.items() if value not in (None, [])
    ]
    return f"im.generate({', '.join([repr(record.prompt), *arguments])})"


def _drawing_facts(record: Record) -> dict[str, Any]:
    true_cfg = guiding_scale(record)
    return {
        "prompt": record.prompt,
        "seed": "unknown" if record.seed is None else record.seed,
        "size": f"{record.width}×{record.height}",
        "steps": record.steps,
        "guidance": None if record.guidance is None else f"{record.guidance:g}",
        "negative prompt": record.negative_prompt,
        "true CFG": None if true_cfg is None else f"{true_cfg:g}",
        "strength": None if record.strength is None else f"{record.strength:g}",
        "scheduler": record.scheduler_name,
        "LoRAs": ", ".join(map(_describe_lora, record.loras)),
        "drawn from": ", ".join(str(each.get("name")) for each in record.inputs),
    }


def _describe_lora(lora: dict[str, Any]) -> str:
    return f"{PurePath(str(lora.get('path'))).stem} × {lora.get('weight')}"


def _seconds(latency_ms: int | None) -> str:
    return "" if latency_ms is None else f"{latency_ms / 1000:.1f} s"


def _dollars(cost: float | None) -> str:
    return f"${cost:.4f}" if cost else ""
