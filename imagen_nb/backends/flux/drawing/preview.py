"""Latents as a small RGB picture by one matrix: cheap enough for every step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imagen_nb.system.forks import start_anew_in_forks

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from PIL.Image import Image
    from torch import Tensor

_FIT_PICTURES = 16
_FIT_LATENTS_PER_SIDE = 8
_FIT_BLOCKS_PER_SIDE = 4  # of one colour each
_MAX_ENLARGED_SIDE = 128  # pixels of the longer side, up to which previews are enlarged


class LatentPreview:
    """RGB = latents · matrix, fitted at the first picture, on the thread that asks.

    The fit uses a copy of the VAE and drops it: it neither waits for the drawing thread
    nor holds it up.
    """

    def __init__(self, load_vae: Callable[[], AutoencoderKL]) -> None:
        self._load_vae = load_vae
        self._fitted: tuple[Tensor, int] | None = None
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Make a new lock: in a forked child, the old one may be locked for ever."""
        self._lock = threading.Lock()

    def image(self, packed: Tensor, width: int, height: int) -> Image:
        """Return the RGB preview of a picture of width × height pixels.

        `packed`: its latents, (tokens, channels · 4).
        """
        from PIL import Image

        matrix, factor = self._fit()
        rows, columns = height // factor, width // factor
        latents = unpack_latents(packed.float().cpu(), rows, columns)
        colours = (_with_ones(latents) @ matrix).clamp(0, 1)
        pixels: Any = (colours.view(rows, columns, 3) * 255).round().byte().numpy()
        scale = max(1, _MAX_ENLARGED_SIDE // max(rows, columns))
        size = (columns * scale, rows * scale)
        return Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)

    def _fit(self) -> tuple[Tensor, int]:
        with self._lock:
            if self._fitted is None:
                self._fitted = fit_rgb_matrix(self._load_vae())
            return self._fitted


def fit_rgb_matrix(vae: AutoencoderKL) -> tuple[Tensor, int]:
    """Return the matrix that comes nearest to the VAE's decoder, and its scale factor.

    The matrix, (channels + 1, 3), takes latents with a one appended to RGB in 0…1. The
    scale factor is pixels per latent along one side. Least squares over pictures of
    coloured blocks, encoded and decoded again: such latents are like those of pictures
    (random ones decode to mud, and give wrong colours), and blocks have every colour at
    its full strength.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    side, generator = _FIT_BLOCKS_PER_SIDE, torch.Generator().manual_seed(0)
    colours = torch.rand(_FIT_PICTURES, 3, side, side, generator=generator)
    block = _FIT_LATENTS_PER_SIDE * factor // side
    pictures = colours.repeat_interleave(block, 2).repeat_interleave(block, 3)
    with torch.no_grad():
        latents = vae.encode(pictures * 2 - 1).latent_dist.mode()
        decoded = vae.decode(latents).sample
    scaled = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    pixels = adaptive_avg_pool2d((decoded / 2 + 0.5).clamp(0, 1), _FIT_LATENTS_PER_SIDE)
    inputs, targets = _with_ones(_as_rows(scaled)), _as_rows(pixels)
    return torch.linalg.lstsq(inputs, targets).solution, factor


def unpack_latents(packed: Tensor, rows: int, columns: int) -> Tensor:
    """Return FLUX's 2 × 2 patches (tokens, C · 4) as latents (rows · columns, C)."""
    patches = packed.view(rows // 2, columns // 2, -1, 2, 2)
    return patches.permute(0, 3, 1, 4, 2).reshape(rows * columns, -1)


def _as_rows(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B · H · W, C)."""
    return latents.permute(0, 2, 3, 1).flatten(0, 2)


def _with_ones(rows: Tensor) -> Tensor:
    """(N, C) -> (N, C + 1)."""
    import torch

    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
