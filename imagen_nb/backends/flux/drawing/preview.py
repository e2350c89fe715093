"""Latents to a small RGB picture by one matrix: cheap enough to watch the denoising."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from PIL.Image import Image
    from torch import Tensor

_FIT_PICTURES, _FIT_LATENTS_PER_SIDE, _FIT_BLOCKS_PER_SIDE = (
    16,
    8,
    4,
)  # pictures for the fit, SIDE² latents each, BLOCKS² colours each
_MAX_ENLARGED_SIDE = (
    128  # pixels of the longer side, up to which a small picture is enlarged
)


class LatentPreview:
    """RGB = latents · matrix. The matrix is fitted at the first picture, on the thread that asks.

    The fit uses a copy of the VAE and drops it: the drawing thread is not waited for, nor held up.
    """

    def __init__(self, load_vae: Callable[[], AutoencoderKL]) -> None:
        self._load_vae = load_vae
        self._lock = threading.Lock()
        self._fitted: tuple[Tensor, int] | None = None

    def image(self, packed: Tensor, width: int, height: int) -> Image:
        """Packed latents (tokens, channels · 4) of a picture of width × height pixels -> RGB."""
        from PIL import Image

        matrix, factor = self._fit()
        rows, columns = height // factor, width // factor
        colours = (
            _with_ones(unpack_latents(packed.float().cpu(), rows, columns)) @ matrix
        ).clamp(0, 1)
        pixels: Any = (colours.view(rows, columns, 3) * 255).round().byte().numpy()
        small, scale = (
            Image.fromarray(pixels),
            max(1, _MAX_ENLARGED_SIDE // max(rows, columns)),
        )
        return small.resize((columns * scale, rows * scale), Image.Resampling.BILINEAR)

    def _fit(self) -> tuple[Tensor, int]:
        with self._lock:
            if self._fitted is None:
                self._fitted = fit_rgb_matrix(self._load_vae())
            return self._fitted


def fit_rgb_matrix(vae: AutoencoderKL) -> tuple[Tensor, int]:
    """The matrix (channels + 1, 3) nearest to what a VAE decodes, and the VAE's scale factor.

    Least squares over pictures of coloured blocks, encoded and decoded again: such latents are like
    those of pictures (of random ones the VAE makes mud, and colours come out wrong), and blocks
    hold every colour at its full strength.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    colours = torch.rand(
        _FIT_PICTURES,
        3,
        _FIT_BLOCKS_PER_SIDE,
        _FIT_BLOCKS_PER_SIDE,
        generator=torch.Generator().manual_seed(0),
    )
    block = _FIT_LATENTS_PER_SIDE * factor // _FIT_BLOCKS_PER_SIDE
    pictures = colours.repeat_interleave(block, 2).repeat_interleave(block, 3)
    with torch.no_grad():
        latents = vae.encode(pictures * 2 - 1).latent_dist.mode()
        decoded = vae.decode(latents).sample
    scaled = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    pixels = adaptive_avg_pool2d((decoded / 2 + 0.5).clamp(0, 1), _FIT_LATENTS_PER_SIDE)
    return torch.linalg.lstsq(
        _with_ones(_as_rows(scaled)), _as_rows(pixels)
    ).solution, factor


def unpack_latents(packed: Tensor, rows: int, columns: int) -> Tensor:
    """FLUX's 2 × 2 patches (tokens, C·4) -> (rows·columns, C)."""
    patches = packed.view(rows // 2, columns // 2, -1, 2, 2)
    return patches.permute(0, 3, 1, 4, 2).reshape(rows * columns, -1)


def _as_rows(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B·H·W, C)."""
    return latents.permute(0, 2, 3, 1).flatten(0, 2)


def _with_ones(flat: Tensor) -> Tensor:
    import torch

    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
