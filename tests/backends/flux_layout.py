"""Random tiny pipelines laid out as schnell, dev, Fill, Kontext and klein, built on the spot, offline.

Every part is of the class that the large models use, a few thousand weights each; sides are
multiples of 4 pixels, 32 × 32 native.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH = 32  # of every text encoder
LATENT_CHANNELS = 4
PACKED_CHANNELS = 4 * LATENT_CHANNELS  # a token is a patch of 2 × 2 latents
MASK_CHANNELS = 4 * 4  # Fill sees the mask whole: 2 × 2 pixels for each latent, packed likewise
KLEIN_LAYERS = (9, 18, 27)  # whose output klein reads as the prompt, side by side

# What Qwen3's own template makes of a single message.
CHAT_TEMPLATE = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def new_pipeline(*, guidance_embeds: bool, seed: int = 0) -> FluxPipeline:
    """A pipeline with random weights; dev's transformer embeds the guidance, schnell's does not."""
    torch.manual_seed(seed)
    return FluxPipeline(**new_parts(guidance_embeds))


def new_fill_pipeline(*, seed: int = 0) -> FluxFillPipeline:
    """One that paints in: its transformer sees the picture and the mask beside the noise."""
    torch.manual_seed(seed)
    sees = 2 * PACKED_CHANNELS + MASK_CHANNELS
    return FluxFillPipeline(**new_parts(in_channels=sees, out_channels=PACKED_CHANNELS))


def new_kontext_pipeline(*, seed: int = 0) -> FluxKontextPipeline:
    """One that edits: the parts are dev's, the picture comes as further tokens."""
    torch.manual_seed(seed)
    parts = new_parts()
    return FluxKontextPipeline(**parts | {"transformer": discerning(parts["transformer"])})


def new_klein_pipeline(*, is_distilled: bool = True, seed: int = 0) -> Flux2KleinPipeline:
    """One of FLUX.2 [klein]; the base model is not distilled and is guided by the empty prompt."""
    torch.manual_seed(seed)
    tokenizer = new_qwen_tokenizer()
    return Flux2KleinPipeline(
        scheduler=new_scheduler(dynamic=True),
        vae=new_klein_vae(),
        text_encoder=Qwen3ForCausalLM(new_qwen_config(len(tokenizer))).eval(),
        tokenizer=tokenizer,
        transformer=discerning(new_klein_transformer()),
        is_distilled=is_distilled,
    )


def saved(folder: Path, pipeline: DiffusionPipeline) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def new_parts(guidance_embeds: bool = True, **channels: int) -> dict[str, Any]:
    """What each pipeline of FLUX.1 is made of, under the names that it takes."""
    clip_tokenizer, t5_tokenizer = new_clip_tokenizer(), new_t5_tokenizer()
    return {
        "scheduler": new_scheduler(dynamic=guidance_embeds),
        "vae": new_vae(),
        "text_encoder": CLIPTextModel(new_clip_config(len(clip_tokenizer))).eval(),
        "tokenizer": clip_tokenizer,
        "text_encoder_2": T5EncoderModel(new_t5_config(len(t5_tokenizer))).eval(),
        "tokenizer_2": t5_tokenizer,
        "transformer": new_transformer(guidance_embeds, **channels),
    }


def new_scheduler(*, dynamic: bool) -> FlowMatchEulerDiscreteScheduler:
    """All but schnell shift the steps the further, the larger the picture."""
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0 if dynamic else 1.0, use_dynamic_shifting=dynamic
    )


def new_transformer(
    guidance_embeds: bool, in_channels: int = PACKED_CHANNELS, out_channels: int | None = None
) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=out_channels,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )


def new_klein_transformer() -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=PACKED_CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=len(KLEIN_LAYERS) * WIDTH,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )


def discerning(transformer: torch.nn.Module) -> torch.nn.Module:
    """New weights attend to all tokens alike, and a reference picture changes no pixel in 8 bits."""
    with torch.no_grad():
        for name, weights in transformer.named_parameters():
            if weights.ndim == 2:
                weights.mul_(3)
            elif "norm_q" in name or "norm_added_q" in name:
                weights.mul_(4)
    return transformer


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


def new_klein_vae() -> AutoencoderKLFlux2:
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=32,
    )
    # As if learnt: whoever forgets to undo the normalization decodes another picture.
    torch.nn.init.normal_(vae.bn.running_mean, std=0.5)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 3.0)
    return vae.eval()


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


def new_qwen_config(words: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=max(KLEIN_LAYERS) + 1,  # the last layer's output has another norm
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )


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


def new_qwen_tokenizer() -> Qwen2TokenizerFast:
    """One token for each byte, and those that a chat is made of."""
    chat = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>", *chat]
    return Qwen2TokenizerFast(
        vocab={word: number for number, word in enumerate(words)},
        merges=[],
        extra_special_tokens=chat,
        eos_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE.strip(),
        model_max_length=1024,
    )
