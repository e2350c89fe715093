"""Any folder or Hugging Face id as a model: its own configuration says how to draw."""

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
    explain_incomplete,
    explain_missing,
    load_json_object,
    locate_weights,
    weight_files,
)
from imagen_nb.errors import BackendError

_BATCHED_BELOW_GB = 1.0  # of weights: one picture alone would not keep a machine busy
_FLOAT32_BELOW_GB = 8.0  # of weights: more in float32 would fill a CPU's memory


def custom_model(source: str) -> Model:
    """Return the row of any folder or Hugging Face id of FLUX layout.

    Its configuration decides defaults and limits; an id that is not on this machine has
    dev's until it is fetched. Raise `BackendError` for a folder that is not there or
    holds no FLUX pipeline.
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
    index = load_json_object(folder / "model_index.json")
    try:
        multiple, side = _multiple_and_side(vae)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise BackendError(
            f"{folder}/vae/config.json is of no AutoencoderKL ({error!r})"
        ) from None
    row = replace(row, pipeline=str(index["_class_name"]))
    base = _most_similar_model(row, bool(transformer.get("guidance_embeds")))
    size_gb = weight_files_gb(row, folder)
    return replace(
        row,
        defaults=replace(base.defaults, width=side, height=side),
        limits=replace(base.limits, min_side=multiple, multiple=multiple),
        memory_gb=size_gb,
        sizes=base.sizes,
        batch=8 if size_gb < _BATCHED_BELOW_GB else 1,
        cpu_dtype="float32" if size_gb < _FLOAT32_BELOW_GB else "bfloat16",
    )


def _multiple_and_side(vae: dict[str, Any]) -> tuple[int, int]:
    """Return what sides are multiples of, and the native side, in pixels.

    Counted as by FluxPipeline: the VAE halves once less than it has levels, and patches
    are 2 × 2.
    """
    multiple = 2 ** len(list(vae["block_out_channels"]))
    native = int(vae.get("sample_size", 1024))
    if not 2 <= multiple <= 256:
        raise ValueError(f"sides would be multiples of {multiple} pixels")
    return multiple, min(2048, max(multiple, native - native % multiple))


def _most_similar_model(row: Model, guided: bool) -> Model:
    """Return the known model of its class, distilled if it is, undistilled if not."""
    if row.pipeline == FLUX_1.plain:
        return FLUX_DEV if guided else FLUX_SCHNELL
    return next(known for known in LOCAL_MODELS if known.pipeline == row.pipeline)


def weight_files_gb(row: Model, folder: Path) -> float:
    """Return the size of all files with weights in a pipeline's folder.

    In GB of 10⁹ bytes, as they are stored: see `weights_gb_in_16_bits` for what they
    take when drawn with.
    """
    files = [file for part in row.kind.networks for file in weight_files(folder / part)]
    return sum(file.stat().st_size for file in files) / 1e9
