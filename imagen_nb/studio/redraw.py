"""Whether a picture of somebody's own pipeline can be drawn again here, and as what."""

from __future__ import annotations

from dataclasses import replace

from imagen_nb.errors import BackendError
from imagen_nb.request.request import Limits
from imagen_nb.storage.record import Record

AUTOLOGGED = "diffusers"  # the backend of a picture that autolog recorded
_LONGEST = 512  # tokens: what FluxPipeline takes, of any model
_SHOWN = 60  # characters of what a record says, in a message


def redrawable(record: Record) -> Record:
    """The record as a backend of this program draws it.

    What FluxPipeline drew in a plain call, the backend `flux` draws alike. Raises `BackendError`,
    saying why and what to do, for every other picture that autolog recorded.
    """
    if record.backend != AUTOLOGGED:
        return record
    if reason := _why_not(record):
        raise BackendError(
            f"the picture {str(record.id)[:8]} cannot be drawn again from its record, because "
            f"{reason}: call the pipeline itself again, with what `sidecar` has of it in "
            f'im.history(ids="{record.id}", sidecar=True)'
        )
    return record.model_copy(
        update={"backend": "flux", "options": {"model": str(record.options["model"])}}
    )


def _why_not(record: Record) -> str:
    told, named = record.options, str(record.options.get("pipeline"))[:_SHOWN]
    own = told.get("generator") == OWN or (
        told.get("generator") == SHARED and _alone(record)
    )
    more = sorted(
        {"arguments", "negative_prompt", "prompts"} & {k for k, v in told.items() if v}
    )
    reasons = {
        f"{named} drew it, and imagen_nb draws with FluxPipeline": named != "FluxPipeline",
        f"no seed draws it (the generator: {str(told.get('generator'))[:_SHOWN]})":
            record.seed is None or not own,
        f"it follows from more than a prompt and a seed ({', '.join(more)})": bool(more),
        "its pipeline had LoRAs": bool(record.loras),
        "nothing tells where its weights are": not told.get("model"),
    }  # fmt: skip
    return next((reason for reason, holds in reasons.items() if holds), "")


def _alone(record: Record) -> bool:
    return record.batch_size == 1


def limits_for(record: Record, limits: Limits) -> Limits:
    """The limits, but that what was drawn once can be drawn again."""
    length = min(record.max_sequence_length or 0, _LONGEST)
    return replace(limits, max_sequence_length=max(limits.max_sequence_length, length))


OWN, SHARED = "one for each picture", "one for all pictures of the call"
