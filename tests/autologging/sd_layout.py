"""A random tiny StableDiffusionPipeline, built on the spot, offline: 16 × 16 pixels native.

With more levels of the VAE more pixels come from as few latents: of `levels`, 2^(levels − 1) a side.
"""

from __future__ import annotations

import flux_layout
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel


def new_pipeline(seed: int = 0, levels: int = 2) -> StableDiffusionPipeline:
    torch.manual_seed(seed)
    tokenizer = flux_layout.new_clip_tokenizer()
    return StableDiffusionPipeline(
        vae=new_vae(levels),
        text_encoder=CLIPTextModel(flux_layout.new_clip_config(len(tokenizer))).eval(),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=8,
            in_channels=flux_layout.LATENT_CHANNELS,
            out_channels=flux_layout.LATENT_CHANNELS,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=flux_layout.WIDTH,
            attention_head_dim=2,
            norm_num_groups=4,
        ),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def new_vae(levels: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=flux_layout.LATENT_CHANNELS,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
