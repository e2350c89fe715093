"""A random tiny StableDiffusionPipeline, built on the spot, offline: 16 × 16 pixels native."""

from __future__ import annotations

import flux_layout
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel


def new_pipeline(seed: int = 0, width: int = 8) -> StableDiffusionPipeline:
    """`width`: channels of the denoiser, for a larger one."""
    torch.manual_seed(seed)
    tokenizer = flux_layout.new_clip_tokenizer()
    return StableDiffusionPipeline(
        vae=flux_layout.new_vae(),
        text_encoder=CLIPTextModel(flux_layout.new_clip_config(len(tokenizer))).eval(),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=8,
            in_channels=flux_layout.LATENT_CHANNELS,
            out_channels=flux_layout.LATENT_CHANNELS,
            block_out_channels=(width, 2 * width),
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
