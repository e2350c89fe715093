"""Whether a picture that autolog recorded can be drawn again, and by which backend."""

from __future__ import annotations

from dataclasses import replace

from imagen_nb.errors import BackendError
from imagen_nb.request.request import Limits
from imagen_nb.storage.record import Record, short_id

AUTOLOG_BACKEND = "diffusers"  # the backend in the records that autolog makes
OWN_GENERATOR = "one for each picture"  # in records: how their noise was seeded
SHARED_GENERATOR = "one for all pictures of the call"

_MAX_FLUX_TOKENS = 512  # what FluxPipeline takes, with any model
_MAX_RECORD_TEXT_CHARS = 60  # of a record's text, in a message
_BEYOND_PROMPT_AND_SEED = ("arguments", "negative_prompt", "prompts")  # options


def redrawable_record(record: Record) -> Record:
    """Return the record as a backend of this program can draw it.

    The backend `flux` draws the same picture as a plain call of FluxPipeline. Raises
    BackendError, which says why and what to do, for any other picture of autolog.
    """
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


def limits_to_redraw(record: Record, limits: Limits) -> Limits:
    """Return a model's limits, raised so that this picture can be drawn again."""
    length = min(record.max_sequence_length or 0, _MAX_FLUX_TOKENS)
    return replace(limits, max_sequence_length=max(limits.max_sequence_length, length))


def _explain_why_not(record: Record) -> str:
    options = record.options
    pipeline = str(options.get("pipeline"))[:_MAX_RECORD_TEXT_CHARS]
    if pipeline != "FluxPipeline":
        return f"{pipeline} drew it, and imagen_nb draws with FluxPipeline"
    if record.seed is None or not _has_own_generator(record):
        generator = str(options.get("generator"))[:_MAX_RECORD_TEXT_CHARS]
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
