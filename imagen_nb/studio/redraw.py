"""Whether a picture of somebody's own pipeline can be drawn again here, and as what."""

from __future__ import annotations

from dataclasses import replace

from imagen_nb.errors import BackendError
from imagen_nb.request.request import Limits
from imagen_nb.storage.record import Record

AUTOLOG_BACKEND = "diffusers"  # the backend of a picture that autolog recorded
_MAX_FLUX_TOKENS = 512  # tokens: what FluxPipeline takes, of any model
_MAX_QUOTED_CHARS = 60  # characters of what a record says, in a message


def redrawable_record(record: Record) -> Record:
    """The record as a backend of this program draws it.

    What FluxPipeline drew in a plain call, the backend `flux` draws alike. Raises `BackendError`,
    saying why and what to do, for every other picture that autolog recorded.
    """
    if record.backend != AUTOLOG_BACKEND:
        return record
    if reason := _explain_why_not(record):
        raise BackendError(
            f"the picture {str(record.id)[:8]} cannot be drawn again from its record, because "
            f"{reason}: call the pipeline itself again, with what `sidecar` has of it in "
            f'im.history(ids="{record.id}", sidecar=True)'
        )
    return record.model_copy(
        update={"backend": "flux", "options": {"model": str(record.options["model"])}}
    )


def _explain_why_not(record: Record) -> str:
    told, named = (
        record.options,
        str(record.options.get("pipeline"))[:_MAX_QUOTED_CHARS],
    )
    own = told.get("generator") == OWN_GENERATOR or (
        told.get("generator") == SHARED_GENERATOR and _alone(record)
    )
    more = sorted(
        {"arguments", "negative_prompt", "prompts"} & {k for k, v in told.items() if v}
    )
    reasons = {
        f"{named} drew it, and imagen_nb draws with FluxPipeline": named != "FluxPipeline",
        f"no seed draws it (the generator: {str(told.get('generator'))[:_MAX_QUOTED_CHARS]})":
            record.seed is None or not own,
        f"it follows from more than a prompt and a seed ({', '.join(more)})": bool(more),
        "its pipeline had LoRAs": bool(record.loras),
        "nothing tells where its weights are": not told.get("model"),
    }  # fmt: skip
    return next((reason for reason, holds in reasons.items() if holds), "")


def _alone(record: Record) -> bool:
    return record.batch_size == 1


def limits_to_redraw(record: Record, limits: Limits) -> Limits:
    """The limits, but that what was drawn once can be drawn again."""
    length = min(record.max_sequence_length or 0, _MAX_FLUX_TOKENS)
    return replace(limits, max_sequence_length=max(limits.max_sequence_length, length))


OWN_GENERATOR, SHARED_GENERATOR = (
    "one for each picture",
    "one for all pictures of the call",
)
