"""The embedded FLUX: a FluxPipeline whose own small weights are in this folder.

`FLUX_TINY` is its row, `WEIGHTS` the folder, `tiny` the registered backend.
"""

from __future__ import annotations

from pathlib import Path

from imagen_nb.backends.flux.backend import preset_of
from imagen_nb.backends.flux.models import Model
from imagen_nb.request.request import Defaults, Limits

WEIGHTS = Path(__file__).parent / "weights"

FLUX_TINY = Model(
    name="flux-tiny-local",
    source=str(WEIGHTS),
    title="flux-tiny-local",
    defaults=Defaults(
        steps=6, guidance=0.0, width=128, height=128, max_sequence_length=16
    ),
    limits=Limits(64, 256, 16, max_sequence_length=16),
    licence="Apache-2.0",
    memory_gb=0.03,
    batch=8,
)

tiny = preset_of(FLUX_TINY)  # no download; draws simple scenes of 128 × 128 pixels
