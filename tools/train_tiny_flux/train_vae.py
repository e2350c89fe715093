"""Trains the embedded FLUX's VAE on drawn scenes.

    python train_vae.py --run RUN [--steps 8000]

Pictures (B, 3, 128, 128) in -1…1, latents (B, 16, 16, 16). The loss is L1 on pixels and on their
gradients; a little noise on the latents (instead of a strong KL term) makes near latents decode
to near pictures. Writes RUN/vae.pt every 500 steps and goes on from it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import checkpoints
import drawing
import numpy as np
import scenes
import torch
from diffusers import AutoencoderKL
from optimiser import Muon, rate_factor, split_parameters
from torch import Tensor

LATENT_NOISE = 0.1
CHANNELS = (12, 24, 48, 64)


def new_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=["DownEncoderBlock2D"] * len(CHANNELS),
        up_block_types=["UpDecoderBlock2D"] * len(CHANNELS),
        latent_channels=16,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=drawing.SIDE,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """RGB bytes -> (B, 3, H, W) in -1…1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def batch(step: int, size: int) -> Tensor:
    """The pictures of one step; the step is the seed, so a resumed run sees what it would have."""
    rng = Random(f"vae {step}")
    scene = scenes.random_scene
    return to_tensor(
        [np.asarray(drawing.picture(scene(rng), rng)) for _ in range(size)]
    )


def gradient_l1(a: Tensor, b: Tensor) -> Tensor:
    return sum(
        ((a.diff(dim=d) - b.diff(dim=d)).abs().mean() for d in (2, 3)), torch.zeros(())
    )


def loss_of(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    latents = vae.encoder(pictures)[:, :16]
    drawn = vae.decoder(latents + LATENT_NOISE * torch.randn_like(latents))
    pixels = (drawn - pictures).abs().mean() + 0.5 * gradient_l1(drawn, pictures)
    return pixels + 1e-4 * latents.square().mean()


def train(run: Path, steps: int, size: int) -> None:
    torch.manual_seed(0)
    vae = new_vae().to(memory_format=torch.channels_last)
    matrices, others = split_parameters([vae])
    optimisers = [
        Muon(matrices, lr=0.012),
        torch.optim.AdamW(others, lr=2e-3, betas=(0.9, 0.99)),
    ]
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    first = 0
    if state := checkpoints.load(run / "vae.pt"):
        vae.load_state_dict(state["vae"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=False):
            optimiser.load_state_dict(
                saved
            )  # none after `restore.py`: they begin afresh
        first = state["step"]
    started, total = time.monotonic(), 0.0
    for step in range(first, steps):
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rate_factor(step, steps)
        loss = loss_of(
            vae, batch(step, size).contiguous(memory_format=torch.channels_last)
        )
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(
                f"{step + 1} loss {total / 100:.4f} {time.monotonic() - started:.0f} s",
                flush=True,
            )
            total = 0.0
        if (step + 1) % 500 == 0 or step + 1 == steps:
            states = [optimiser.state_dict() for optimiser in optimisers]
            checkpoints.save(
                run / "vae.pt",
                {"vae": vae.state_dict(), "optimisers": states, "step": step + 1},
            )
            print(f"{step + 1} mse {test_mse(vae):.5f}", flush=True)


@torch.no_grad()
def test_mse(vae: AutoencoderKL) -> float:
    """Mean squared error in -1…1 on pictures that no step has seen."""
    pictures = batch(-1, 32)
    return float(
        (vae.decoder(vae.encoder(pictures)[:, :16]) - pictures).square().mean()
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    train(options.run, options.steps, options.batch)
