"""Random tiny FluxPipelines with the layout of schnell and of dev, built on the spot, offline.

Every part is of the class that the large models use, a few thousand weights each; sides are
multiples of 4 pixels, 32 × 32 native.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH = 32  # of both text encoders
LATENT_CHANNELS = 4


def new_pipeline(*, guidance_embeds: bool, seed: int = 0) -> FluxPipeline:
    """A pipeline with random weights; dev's transformer embeds the guidance, schnell's does not."""
    torch.manual_seed(seed)
    clip_tokenizer, t5_tokenizer = new_clip_tokenizer(), new_t5_tokenizer()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guidance_embeds else 1.0, use_dynamic_shifting=guidance_embeds
        ),
        vae=new_vae(),
        text_encoder=CLIPTextModel(new_clip_config(len(clip_tokenizer))).eval(),
        tokenizer=clip_tokenizer,
        text_encoder_2=T5EncoderModel(new_t5_config(len(t5_tokenizer))).eval(),
        tokenizer_2=t5_tokenizer,
        transformer=new_transformer(guidance_embeds),
    )


def saved(folder: Path, pipeline: FluxPipeline) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def new_transformer(guidance_embeds: bool) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )


def new_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.4,
        shift_factor=0.1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def new_clip_config(words: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def new_t5_config(words: int) -> T5Config:
    return T5Config(vocab_size=words, d_model=WIDTH, d_kv=16, d_ff=WIDTH, num_layers=1, num_heads=2)


def new_clip_tokenizer() -> CLIPTokenizer:
    """One token for each letter: merges are what a tokenizer learns, and this one learnt nothing."""
    letters = [letter + end for letter in string.ascii_lowercase for end in ("", "</w>")]
    words = ["<|startoftext|>", "<|endoftext|>", *letters]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def new_t5_tokenizer() -> T5TokenizerFast:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0)]
    letters = [(letter, -2.0) for letter in "▁" + string.ascii_lowercase]
    return T5TokenizerFast(vocab=special + letters, extra_ids=0, model_max_length=512)
