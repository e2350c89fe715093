"""What a FLUX model's own configuration says about drawing with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from imagen_nb.backends.models import DEV, FLUX_DEV, FLUX_SCHNELL, SCHNELL, Model
from imagen_nb.backends.weights import NETWORKS, WEIGHTS, found, lacking, missing_line, read_json
from imagen_nb.errors import BackendError
from imagen_nb.request import Defaults, Limits

SMALL_GB, LARGE_GB = 1.0, 8.0  # below: drawn in batches; above: float32 would fill a CPU's memory


def custom_model(source: str) -> Model:
    """The row of any folder or Hugging Face id of FLUX layout.

    The configuration decides where it is on this machine; an id that is not gets dev's defaults
    until it is fetched. Raises `BackendError` when there is a folder and it is no FLUX pipeline.
    """
    for known in (FLUX_SCHNELL, FLUX_DEV):
        if source == known.source:
            return replace(known, name="flux")
    row = Model("flux", source, DEV, FLUX_DEV.limits)
    if row.folder is not None:
        row = replace(row, source=str(row.folder.absolute()))
    elif source.count("/") != 1 or source.startswith((".", "~")):
        raise BackendError(f"there is no folder {source}: name a folder or a Hugging Face id")
    folder = found(row)
    if folder is not None and not lacking(folder):
        return _configured(row, folder)
    if row.folder is not None:
        raise BackendError(missing_line(row))
    return row


def _configured(row: Model, folder: Path) -> Model:
    vae = read_json(folder / "vae" / "config.json")
    transformer = read_json(folder / "transformer" / "config.json")
    try:
        multiple, side = _sizes(vae)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise BackendError(f"{folder}/vae/config.json is of no AutoencoderKL ({error!r})") from None
    base = DEV if transformer.get("guidance_embeds") else SCHNELL
    size_gb = weights_gb(folder)
    return replace(
        row,
        defaults=Defaults(base.steps, base.guidance, side, side, base.max_sequence_length),
        limits=Limits(multiple, 2048, multiple, max_sequence_length=base.max_sequence_length),
        memory_gb=size_gb,
        batch=8 if size_gb < SMALL_GB else 1,
        cpu_dtype="float32" if size_gb < LARGE_GB else "bfloat16",
    )


def _sizes(vae: dict[str, Any]) -> tuple[int, int]:
    """What sides are multiples of, and the native side; pixels.

    As FluxPipeline counts: the VAE halves once less than it has levels, and patches are 2 × 2.
    """
    multiple = 2 ** len(list(vae["block_out_channels"]))
    native = int(vae.get("sample_size", 1024))
    if not 2 <= multiple <= 256:
        raise ValueError(f"sides would be multiples of {multiple} pixels")
    return multiple, min(2048, max(multiple, native - native % multiple))


def weights_gb(folder: Path) -> float:
    """Size of all weights of a pipeline's folder."""
    files = (file for part in NETWORKS for kind in WEIGHTS for file in (folder / part).glob(kind))
    return sum(file.stat().st_size for file in files) / 1e9
