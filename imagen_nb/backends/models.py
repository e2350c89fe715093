"""The FLUX models known by name: one row each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from imagen_nb.errors import BackendError
from imagen_nb.request import Defaults, Limits

SCHNELL = Defaults(steps=4, guidance=0.0, width=1024, height=1024, max_sequence_length=256)
DEV = Defaults(steps=28, guidance=3.5, width=1024, height=1024, max_sequence_length=512)
LARGE = Limits(min_side=64, max_side=2048, multiple=16)


@dataclass(frozen=True, slots=True)
class Model:
    """One model: where its weights are and how it is drawn with.

    `source`: a folder of diffusers layout or a Hugging Face id. `download_gb`, `memory_gb`: of
    weights, 0 when they are there anyway. `batch`: pictures denoised together. `cpu_dtype`: what
    a CPU draws with; a GPU draws with bfloat16.
    """

    name: str
    source: str
    defaults: Defaults
    limits: Limits
    licence: str = "unknown"
    download_gb: float = 0.0
    memory_gb: float = 0.0
    gated: bool = False
    batch: int = 1
    cpu_dtype: str = "float32"

    @property
    def folder(self) -> Path | None:
        """The weights' folder when `source` is one, None for a Hugging Face id."""
        path = Path(self.source).expanduser()
        return path if path.is_absolute() or path.exists() else None


FLUX_SCHNELL = Model(
    name="flux-schnell-local",
    source="black-forest-labs/FLUX.1-schnell",
    defaults=SCHNELL,
    limits=Limits(64, 2048, 16, max_sequence_length=256),
    licence="Apache-2.0",
    download_gb=33.7,
    memory_gb=33.7,
    cpu_dtype="bfloat16",
)
FLUX_DEV = Model(
    name="flux-dev-local",
    source="black-forest-labs/FLUX.1-dev",
    defaults=DEV,
    limits=LARGE,
    licence="FLUX.1 [dev] Non-Commercial License",
    download_gb=33.7,
    memory_gb=33.7,
    gated=True,
    cpu_dtype="bfloat16",
)


def custom_model(source: str) -> Model:
    """The row of a folder or Hugging Face id of FLUX layout; a folder's own configuration decides.

    Raises `BackendError` when the folder is no FLUX pipeline.
    """
    row = Model(name="flux", source=source, defaults=DEV, limits=LARGE, cpu_dtype="float32")
    if row.folder is None:
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise BackendError(f"there is no folder {source}: name a folder or a Hugging Face id")
        return row
    vae, transformer = (_component(row.folder, part) for part in ("vae", "transformer"))
    # As FluxPipeline counts: the VAE halves once less than it has levels, and patches are 2 × 2.
    multiple = 2 ** (len(vae["block_out_channels"]) - 1) * 2
    base = DEV if transformer.get("guidance_embeds") else SCHNELL
    native = int(vae.get("sample_size", 1024))
    side = max(multiple, native - native % multiple)
    defaults = Defaults(base.steps, base.guidance, side, side, base.max_sequence_length)
    limits = Limits(multiple, 2048, multiple, max_sequence_length=base.max_sequence_length)
    return Model("flux", str(row.folder.absolute()), defaults, limits)


def _component(folder: Path, part: str) -> dict[str, object]:
    try:
        if not (folder / "model_index.json").is_file():
            raise FileNotFoundError("no model_index.json")
        config: dict[str, object] = json.loads((folder / part / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{folder} is no folder of FLUX layout ({part}: {error}): save one with "
            "FluxPipeline.save_pretrained"
        ) from None
    return config
