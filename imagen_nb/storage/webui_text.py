"""The text `parameters` of a PNG: what a picture follows from, as the web UIs write it.

The form is that of AUTOMATIC1111's stable-diffusion-webui and of Forge, which other tools
read: the prompt, a line `Negative prompt: …`, then one line of `Name: value` pairs.
"""

from __future__ import annotations

import json
import unicodedata

from imagen_nb.storage.record import Record

# What the web UIs call the samplers that are these classes of diffusers.
_WEBUI_SAMPLERS = {
    "DDIMScheduler": "DDIM",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "EulerDiscreteScheduler": "Euler",
    "FlowMatchEulerDiscreteScheduler": "Euler",
    "FlowMatchHeunDiscreteScheduler": "Heun",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "KDPM2DiscreteScheduler": "DPM2",
    "LCMScheduler": "LCM",
    "LMSDiscreteScheduler": "LMS",
    "PNDMScheduler": "PLMS",
    "UniPCMultistepScheduler": "UniPC",
}
# What they call the spacing of steps of the schedulers that have a name here; that of FLUX
# itself, and of all others here, is Simple.
_SCHEDULE_TYPES = {"euler-karras": "Karras", "euler-exponential": "Exponential"}


def webui_text(record: Record) -> str:
    """Return the text of a record.

    The guidance of FLUX models was distilled into them: it is `Distilled CFG Scale`, as
    Forge has it, and `CFG scale` is that of classifier-free guidance, 1 where that is
    off. The guidance of any other model is its `CFG scale`.

    Example:
        >>> print(webui_text(picture.record))  # doctest: +SKIP
        a red boat
        Steps: 28, Sampler: Euler, Schedule type: Simple, CFG scale: 1, …
    """
    lines = [_printable(record.prompt)]
    if negative := _printable(record.negative_prompt or ""):
        lines.append(f"Negative prompt: {negative}")
    pairs = {
        "Steps": record.steps,
        **_sampler(record),
        **_guidance(record),
        "Seed": record.seed,
        "Size": f"{record.width}x{record.height}",
        "Model": record.model,
        "Denoising strength": _number(record.strength),
        "Version": f"imagen_nb {record.versions.get('imagen_nb', '')}".strip(),
    }
    told = [f"{name}: {_quoted(one)}" for name, one in pairs.items() if one is not None]
    return "\n".join([*lines, ", ".join(told)])


def _is_flux(record: Record) -> bool:
    """Return whether FLUX drew it: one of its backends, or its pipeline of diffusers."""
    drew = record.options.get("pipeline") or record.backend
    return str(drew).lower().startswith("flux")


def _sampler(record: Record) -> dict[str, str | None]:
    """Return sampler and spacing of steps; hosted FLUX, of which neither is told, as here."""
    kind = record.scheduler
    if kind is None and not _is_flux(record):
        return {}
    name = _WEBUI_SAMPLERS.get(kind, kind) if kind else "Euler"
    if not _is_flux(record):
        return {"Sampler": name}
    spacing = _SCHEDULE_TYPES.get(record.scheduler_name or "", "Simple")
    return {"Sampler": name, "Schedule type": spacing}


def _guidance(record: Record) -> dict[str, str | None]:
    if not _is_flux(record):
        return {"CFG scale": _number(record.guidance)}
    guidance = record.guidance or None  # 0 is what models without any are given
    return {
        "CFG scale": _number(record.true_cfg or 1.0),
        "Distilled CFG Scale": _number(guidance),
    }


def _number(value: float | None) -> str | None:
    """Return its shortest digits: 1 for 1.0."""
    return None if value is None else str(value).removesuffix(".0")


def _quoted(value: object) -> str:
    """Return the value, in quotation marks if it has what ends one, as the web UIs do."""
    text = str(value)
    if any(mark in text for mark in (",", ":", "\n")):
        text = json.dumps(text, ensure_ascii=False)
    return _printable(text)


def _printable(text: str) -> str:
    """Replace control characters but line ends: a PNG text chunk ends at a NUL."""
    return "".join(
        " " if char != "\n" and unicodedata.category(char) == "Cc" else char
        for char in text
    )
