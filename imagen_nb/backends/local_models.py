"""The models that draw on this machine, by the names that people call them."""

from __future__ import annotations

from imagen_nb.backends.flux.custom import custom_model
from imagen_nb.backends.flux.models import LOCAL_MODELS, Model, short_name
from imagen_nb.backends.tiny import FLUX_TINY


def local_model(name: str) -> Model:
    """Return the row of a model: `schnell`, `flux-schnell-local`, a folder or an id.

    Raises:
        BackendError: for a folder that is not there or holds no FLUX pipeline.

    Example:
        >>> local_model("klein").pipeline
        'Flux2KleinPipeline'
    """
    local = (*LOCAL_MODELS, FLUX_TINY)
    rows = {short_name(row): row for row in local} | {row.name: row for row in local}
    return rows[name] if name in rows else custom_model(name)


def backend_arguments(row: Model) -> dict[str, str]:
    """Return the arguments of `Studio.generate` that draw with a model."""
    known = {each.name for each in (*LOCAL_MODELS, FLUX_TINY)}
    if row.name in known:
        return {"backend": row.name}
    return {"backend": row.name, "model": row.source}
