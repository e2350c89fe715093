"""Writes the trained parts as a FluxPipeline folder: what `FluxPipeline.from_pretrained` reads.

    python export.py --run RUN --output FOLDER

Transformer and VAE are stored in half precision, the small text encoders in single.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkpoints
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from text import new_tokenizer
from train_flow import Flow
from train_vae import LATENT_NOISE, new_vae


def trained_vae(run: Path, shift: float, scale: float) -> AutoencoderKL:
    """The VAE, its posterior's deviation set to the noise that its decoder was trained with."""
    vae = new_vae()
    vae.load_state_dict(checkpoints.load(run / "vae.pt")["vae"])  # type: ignore[index]
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    with torch.no_grad():
        vae.encoder.conv_out.weight[16:] = 0
        vae.encoder.conv_out.bias[16:] = 2 * torch.tensor(LATENT_NOISE).log()
    return vae


def pipeline(run: Path) -> FluxPipeline:
    data, flow = checkpoints.load(run / "latents.pt"), Flow()
    assert data is not None
    if state := checkpoints.load(run / "flow.pt"):
        flow.load_state_dict(state["average"])
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0),
        vae=trained_vae(run, data["shift"], data["scale"]).half(),
        text_encoder=flow.clip,
        tokenizer=new_tokenizer(),
        text_encoder_2=flow.t5,
        tokenizer_2=new_tokenizer(),
        transformer=flow.transformer.half(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    pipeline(options.run).save_pretrained(options.output, safe_serialization=True)
