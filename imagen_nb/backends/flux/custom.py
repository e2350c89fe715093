"""What a FLUX model's own configuration says about drawing with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.models import (
    DEV_DEFAULTS,
    FLUX_DEV,
    FLUX_SCHNELL,
    LOCAL_MODELS,
    Model,
)
from imagen_nb.backends.flux.pipelines import FLUX_1
from imagen_nb.backends.flux.weights import (
    WEIGHT_PATTERNS,
    explain_incomplete,
    explain_missing,
    load_json_object,
    locate_weights,
)
from imagen_nb.errors import BackendError

_BATCHED_BELOW_GB, _FLOAT32_BELOW_GB = (
    1.0,
    8.0,
)  # below: drawn in batches; above: float32 would fill a CPU's memory


def custom_model(source: str) -> Model:
    """The row of any folder or Hugging Face id of FLUX layout.

    The configuration decides where it is on this machine; an id that is not gets dev's defaults
    until it is fetched. Raises `BackendError` when there is a folder and it is no FLUX pipeline.
    """
    for known in LOCAL_MODELS:
        if source == known.source:
            return replace(known, name="flux")
    row = Model("flux", source, DEV_DEFAULTS, FLUX_DEV.limits)
    if row.folder is not None:
        row = replace(row, source=str(row.folder.absolute()))
    elif source.count("/") != 1 or source.startswith((".", "~")):
        raise BackendError(
            f"there is no folder {source}: name a folder or a Hugging Face id"
        )
    folder = locate_weights(row)
    if folder is not None and not explain_incomplete(folder):
        return _configured_model(row, folder)
    if row.folder is not None:
        raise BackendError(explain_missing(row))
    return row


def _configured_model(row: Model, folder: Path) -> Model:
    vae = load_json_object(folder / "vae" / "config.json")
    transformer = load_json_object(folder / "transformer" / "config.json")
    try:
        multiple, side = _multiple_and_side(vae)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise BackendError(
            f"{folder}/vae/config.json is of no AutoencoderKL ({error!r})"
        ) from None
    row = replace(
        row, pipeline=str(load_json_object(folder / "model_index.json")["_class_name"])
    )
    base = _most_similar_model(row, bool(transformer.get("guidance_embeds")))
    size_gb = weight_files_gb(row, folder)
    return replace(
        row,
        defaults=replace(base.defaults, width=side, height=side),
        limits=replace(base.limits, min_side=multiple, multiple=multiple),
        memory_gb=size_gb,
        batch=8 if size_gb < _BATCHED_BELOW_GB else 1,
        cpu_dtype="float32" if size_gb < _FLOAT32_BELOW_GB else "bfloat16",
    )


def _multiple_and_side(vae: dict[str, Any]) -> tuple[int, int]:
    """What sides are multiples of, and the native side; pixels.

    As FluxPipeline counts: the VAE halves once less than it has levels, and patches are 2 × 2.
    """
    multiple = 2 ** len(list(vae["block_out_channels"]))
    native = int(vae.get("sample_size", 1024))
    if not 2 <= multiple <= 256:
        raise ValueError(f"sides would be multiples of {multiple} pixels")
    return multiple, min(2048, max(multiple, native - native % multiple))


def _most_similar_model(row: Model, guided: bool) -> Model:
    """The known model that is most like it: of its class, and distilled or not as it is."""
    if row.pipeline == FLUX_1.plain:
        return FLUX_DEV if guided else FLUX_SCHNELL
    return next(known for known in LOCAL_MODELS if known.pipeline == row.pipeline)


def weight_files_gb(row: Model, folder: Path) -> float:
    """Size of all weights of a pipeline's folder."""
    files = (
        file
        for part in row.kind.networks
        for kind in WEIGHT_PATTERNS
        for file in (folder / part).glob(kind)
    )
    return sum(file.stat().st_size for file in files) / 1e9
