"""Small LoRAs for a FLUX transformer, made on the spot."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from imagen_nb.backends.tiny import FLUX_TINY


def write_lora(
    path: Path, *, seed: int = 0, strength: float = 0.3, config: Path | None = None
) -> Path:
    """Rank 2 on to_q and to_v of every double block: enough to be seen."""
    import diffusers

    folder = config or Path(FLUX_TINY.source)
    settings = diffusers.FluxTransformer2DModel.load_config(folder / "transformer")
    with torch.device("meta"):
        shape = getattr(diffusers, settings["_class_name"]).from_config(settings)
    made = torch.Generator().manual_seed(seed)
    weights = {}
    for number, block in enumerate(shape.transformer_blocks):
        for part in ("to_q", "to_v"):
            layer = getattr(block.attn, part)
            name = f"transformer.transformer_blocks.{number}.attn.{part}"
            down, up = (2, layer.in_features), (layer.out_features, 2)
            weights[f"{name}.lora_A.weight"] = torch.randn(down, generator=made) * strength
            weights[f"{name}.lora_B.weight"] = torch.randn(up, generator=made) * strength
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    return path
