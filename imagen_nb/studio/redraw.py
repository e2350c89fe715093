"""Whether a picture that autolog recorded can be drawn again, and by which backend."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from imagen_nb.errors import BackendError
from imagen_nb.request.request import Limits
from imagen_nb.storage.adoption import is_adopted
from imagen_nb.storage.record import Record, short_id
from imagen_nb.system.terminal import print_notice

AUTOLOG_BACKEND = "diffusers"  # the backend in the records that autolog makes
OWN_GENERATOR = "one for each picture"  # in records: how their noise was seeded
SHARED_GENERATOR = "one for all pictures of the call"

_MAX_FLUX_TOKENS = 512  # what FluxPipeline takes, with any model
_MAX_RECORD_TEXT_CHARS = 60  # of a record's text, in a message
_BACKENDS_BY_WORD = (  # the first that is in the name of a FLUX model
    ("schnell", "flux-schnell-local"),
    ("krea", "flux-krea-dev-local"),
    ("kontext", "flux-kontext-dev-local"),
    ("fill", "flux-fill-dev-local"),
    ("klein", "flux2-klein-local"),
    ("dev", "flux-dev-local"),
    ("tiny", "flux-tiny-local"),
)
_BEYOND_PROMPT_AND_SEED = ("arguments", "negative_prompt", "prompts")  # options


def redrawable_record(record: Record) -> Record:
    """Return the record as a backend of this program can draw it.

    The backend `flux` draws the same picture as a plain call of FluxPipeline. Raises
    BackendError, which says why and what to do, for any other picture of autolog. Of
    an adopted picture the settings are taken over, where the model is one of ours: the
    pixels are others, as programs make their noise differently.
    """
    if is_adopted(record):
        return _as_drawn_here(record)
    if record.backend != AUTOLOG_BACKEND:
        return record
    reason = _explain_why_not(record)
    if reason:
        raise BackendError(
            f"the picture {short_id(record.id)} cannot be drawn again from its record,"
            f" because {reason}: call the pipeline itself again, with what `sidecar`"
            f' has of it in im.history(ids="{record.id}", sidecar=True)'
        )
    options = {"model": str(record.options["model"])}
    return record.model_copy(update={"backend": "flux", "options": options})


def _as_drawn_here(record: Record) -> Record:
    program, model = _excerpt(record.backend), _excerpt(record.model or "unknown")
    backend = _backend_of_model(record.model or "")
    if backend is None or record.seed is None:
        reason = (
            f"its model is {model}" if record.seed is not None else "no seed is known"
        )
        raise BackendError(
            f"the picture {short_id(record.id)} was made by {program} and cannot be drawn"
            f" again here: {reason}; generate(like=…, backend=…) draws its prompt"
        )
    left_out = [f"LoRA {_excerpt(str(lora.get('name')))}" for lora in record.loras]
    sampler = record.scheduler_name or ""
    if sampler and not sampler.lower().startswith("euler"):
        left_out.append(f"sampler {_excerpt(sampler)}")
    guided = record.true_cfg is not None and record.true_cfg > 1
    if record.negative_prompt and not guided:
        left_out.append("negative prompt")
    if left_out:
        print_notice(f"drawn with {backend}, without its {', '.join(left_out)}")
    changes: dict[str, Any] = {
        "backend": backend,
        "options": {},
        "loras": (),
        "scheduler_name": None,
        "negative_prompt": record.negative_prompt if guided else None,
    }
    return record.model_copy(update=changes)


def _backend_of_model(model: str) -> str | None:
    """Return which of our backends has this model, by the words of its name."""
    words = set(re.split(r"[^a-z0-9]+", model.lower()))
    if not any(word.startswith("flux") for word in words):
        return None
    return next((name for word, name in _BACKENDS_BY_WORD if word in words), None)


def _excerpt(text: str) -> str:
    return text[:_MAX_RECORD_TEXT_CHARS]


def limits_to_redraw(record: Record, limits: Limits) -> Limits:
    """Return a model's limits, raised so that this picture can be drawn again."""
    length = min(record.max_sequence_length or 0, _MAX_FLUX_TOKENS)
    return replace(limits, max_sequence_length=max(limits.max_sequence_length, length))


def _explain_why_not(record: Record) -> str:
    options = record.options
    pipeline = _excerpt(str(options.get("pipeline")))
    if pipeline != "FluxPipeline":
        return f"{pipeline} drew it, and imagen_nb draws with FluxPipeline"
    if record.seed is None or not _has_own_generator(record):
        generator = _excerpt(str(options.get("generator")))
        return f"no seed draws it (the generator: {generator})"
    more = ", ".join(name for name in _BEYOND_PROMPT_AND_SEED if options.get(name))
    if more:
        return f"it follows from more than a prompt and a seed ({more})"
    if record.loras:
        return "its pipeline had LoRAs"
    if not options.get("model"):
        return "nothing tells where its weights are"
    return ""


def _has_own_generator(record: Record) -> bool:
    generator = record.options.get("generator")
    alone = record.batch_size == 1
    return generator == OWN_GENERATOR or (generator == SHARED_GENERATOR and alone)
