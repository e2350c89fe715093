"""A transformer's weights as a GGUF file, as others publish those of FLUX."""

from __future__ import annotations

from pathlib import Path

import gguf
import torch
from diffusers import FluxTransformer2DModel


def write_gguf(path: Path, folder: Path) -> Path:
    """Q8_0 where a row holds whole blocks of it, 32 numbers; the rest in float32."""
    transformer = FluxTransformer2DModel.from_pretrained(
        folder, subfolder="transformer", dtype=torch.float32
    )
    eight_bits, writer = gguf.GGMLQuantizationType.Q8_0, gguf.GGUFWriter(path, "flux")
    for name, weights in transformer.state_dict().items():
        numbers = weights.numpy()
        if numbers.ndim == 2 and numbers.shape[1] % 32 == 0:
            blocks = gguf.quants.quantize(numbers, eight_bits)
            writer.add_tensor(name, blocks, raw_dtype=eight_bits)
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
