"""Whether the usual embedder knows what is in the pictures."""

from __future__ import annotations

from collections.abc import Sequence

from imagen_nb.errors import ImagenError
from imagen_nb.frames.plugins.embedders import (
    NEED_WEIGHTS,
    TINY,
    Embedder,
    make_embedder,
)
from imagen_nb.storage.catalog import Catalog

_ITS_BACKEND = "flux-tiny-local"  # what the embedder `tiny` was trained on


def describe_uncovered(embedder: Embedder, catalogs: Sequence[Catalog]) -> str:
    """Say that `tiny` does not know some pictures, and what to fetch; "" if it does."""
    if not embedder.model.startswith(f"{TINY}-") or not any(map(_has_others, catalogs)):
        return ""
    try:
        make_embedder(NEED_WEIGHTS[0])
    except ImagenError as error:
        return f"the embedder {TINY} knows the embedded FLUX's pictures only; {error}"
    return ""


def _has_others(catalog: Catalog) -> bool:
    """Whether other pictures than those of the embedded FLUX are in a catalog."""
    if not catalog.has_any():
        return False
    with catalog.connection() as connection:
        row = connection.execute(
            "SELECT 1 FROM images WHERE backend <> ? LIMIT 1", (_ITS_BACKEND,)
        ).fetchone()
    return row is not None
