"""Latents to a small RGB picture by one matrix: cheap enough to watch the denoising."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import FluxPipeline
    from PIL.Image import Image
    from torch import Tensor

SAMPLES, SIDE = 16, 8  # latents decoded for the fit, each SIDE × SIDE


@dataclass(frozen=True, slots=True)
class Preview:
    """RGB = latents · matrix, the matrix (channels + 1, 3) fitted to the model's own VAE."""

    matrix: Tensor
    factor: int

    @classmethod
    def fitted(cls, pipeline: FluxPipeline) -> Preview:
        """Least squares between smooth random latents and what the VAE decodes them to."""
        import torch
        from torch.nn.functional import adaptive_avg_pool2d, interpolate

        channels, vae = pipeline.transformer.config.in_channels // 4, pipeline.vae
        noise = torch.randn(SAMPLES, channels, 2, 2, generator=torch.Generator().manual_seed(0))
        latents = interpolate(noise, (SIDE, SIDE), mode="bilinear")
        device = pipeline._execution_device
        scaled = latents / vae.config.scaling_factor + vae.config.shift_factor
        with torch.no_grad():
            decoded = vae.decode(scaled.to(device, vae.dtype)).sample.float().cpu()
        pixels = adaptive_avg_pool2d((decoded / 2 + 0.5).clamp(0, 1), SIDE)
        matrix = torch.linalg.lstsq(_with_one(_flat(latents)), _flat(pixels)).solution
        return cls(matrix, pipeline.vae_scale_factor)

    def image(self, packed: Tensor, width: int, height: int) -> Image:
        """Packed latents (tokens, channels · 4) -> RGB, one pixel for each latent position."""
        from PIL import Image

        rows, columns = height // self.factor, width // self.factor
        latents = _unpack(packed.float().cpu(), rows, columns)
        colours = (_with_one(latents) @ self.matrix).clamp(0, 1)
        pixels: Any = (colours.view(rows, columns, 3) * 255).byte().numpy()
        return Image.fromarray(pixels)


def _flat(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B·H·W, C)."""
    return latents.permute(0, 2, 3, 1).flatten(0, 2)


def _with_one(flat: Tensor) -> Tensor:
    import torch

    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)


def _unpack(packed: Tensor, rows: int, columns: int) -> Tensor:
    """FLUX's 2 × 2 patches (tokens, C·4) -> (rows·columns, C)."""
    patches = packed.view(rows // 2, columns // 2, -1, 2, 2)
    return patches.permute(0, 3, 1, 4, 2).reshape(rows * columns, -1)
