"""The shapes of FLUX models: what each of their parts is made of. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Network:
    """One part with weights: its class, and the configuration that makes it.

    `tied`: names of weights that are others' too, which files leave out.
    """

    library: str
    kind: str
    config: Mapping[str, Any]
    tied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer of `size` words, with the special ones at their true places.

    `template`: what a prompt is put into. `options`: of the tokenizer's class.
    """

    size: int
    specials: Mapping[int, str]
    template: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole model: class of its pipeline, its networks and tokenizers by part.

    `scheduler`: configuration of FlowMatchEulerDiscreteScheduler. `index`: what
    model_index.json says besides the parts.
    """

    pipeline: str
    networks: Mapping[str, Network]
    tokenizers: Mapping[str, Vocabulary]
    scheduler: Mapping[str, Any]
    index: Mapping[str, Any] = field(default_factory=dict)


_START, _END = "<|startoftext|>", "<|endoftext|>"
_CHAT_WORDS = (_END, "<|im_start|>", "<|im_end|>")
_THOUGHTS = ("<think>", "</think>")
# What Qwen3's own template makes of one prompt, with and without thinking.
_CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' +"
    " message.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)


def _flux_1(
    transformer: Mapping[str, Any],
    vae: Mapping[str, Any],
    t5: Mapping[str, Any],
    clip: Mapping[str, Any],
) -> Architecture:
    clip_end = clip["vocab_size"] - 1  # 49407, as in CLIP's own vocabulary
    return Architecture(
        pipeline="FluxPipeline",
        networks={
            "transformer": Network("diffusers", "FluxTransformer2DModel", transformer),
            "vae": Network(
                "diffusers",
                "AutoencoderKL",
                {
                    "down_block_types": ("DownEncoderBlock2D",) * 4,
                    "up_block_types": ("UpDecoderBlock2D",) * 4,
                    "use_quant_conv": False,
                    "use_post_quant_conv": False,
                    "scaling_factor": 0.3611,
                    "shift_factor": 0.1159,
                    **vae,
                },
            ),
            "text_encoder": Network(
                "transformers",
                "CLIPTextModel",
                {"max_position_embeddings": 77, "eos_token_id": 2, **clip},
            ),
            "text_encoder_2": Network(
                "transformers",
                "T5EncoderModel",
                {
                    "feed_forward_proj": "gated-gelu",
                    "tie_word_embeddings": False,
                    **t5,
                },
                tied=("encoder.embed_tokens.weight",),
            ),
        },
        tokenizers={
            "tokenizer": Vocabulary(
                clip["vocab_size"],
                {clip_end - 1: _START, clip_end: _END},
                f"{_START} $A {_END}",
                {
                    "bos_token": _START,
                    "eos_token": _END,
                    "pad_token": _END,
                    "model_max_length": 77,
                },
            ),
            "tokenizer_2": Vocabulary(
                t5["vocab_size"],
                {0: "<pad>", 1: "</s>", 2: "<unk>"},
                "$A </s>",
                {
                    "eos_token": "</s>",
                    "pad_token": "<pad>",
                    "unk_token": "<unk>",
                    "model_max_length": 512,
                },
            ),
        },
        scheduler={"shift": 1.0, "use_dynamic_shifting": False},
    )


def _with_transformer(
    model: Architecture, pipeline: str = "FluxPipeline", **changes: Any
) -> Architecture:
    """Return an undistilled model that has all but the transformer of another one."""
    old = model.networks["transformer"]
    new = replace(old, config={**old.config, "guidance_embeds": True, **changes})
    return replace(
        model,
        pipeline=pipeline,
        networks={**model.networks, "transformer": new},
        scheduler={"shift": 3.0, "use_dynamic_shifting": True},
    )


def _klein(
    transformer: Mapping[str, Any], vae: Mapping[str, Any], qwen: Mapping[str, Any]
) -> Architecture:
    size = qwen["vocab_size"]
    # Qwen3's true places, or the last ones of a vocabulary that is too small for them.
    first, thoughts = (151643, 151667) if size > 151668 else (size - 5, size - 2)
    specials = dict(enumerate(_CHAT_WORDS, first)) | dict(
        enumerate(_THOUGHTS, thoughts)
    )
    return Architecture(
        pipeline="Flux2KleinPipeline",
        networks={
            "transformer": Network(
                "diffusers",
                "Flux2Transformer2DModel",
                {"guidance_embeds": False, **transformer},
            ),
            "vae": Network("diffusers", "AutoencoderKLFlux2", vae),
            "text_encoder": Network(
                "transformers",
                "Qwen3ForCausalLM",
                {"tie_word_embeddings": True, **qwen},
                tied=("lm_head.weight",),
            ),
        },
        tokenizers={
            "tokenizer": Vocabulary(
                size,
                specials,
                options={
                    "eos_token": _CHAT_WORDS[2],
                    "pad_token": _END,
                    "additional_special_tokens": list(_CHAT_WORDS),
                    "chat_template": _CHAT_TEMPLATE,
                    "model_max_length": 1024,
                },
            )
        },
        scheduler={"shift": 3.0, "use_dynamic_shifting": True},
        index={"is_distilled": True},
    )


_SCHNELL = _flux_1(
    transformer={
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "axes_dims_rope": (16, 56, 56),
        "guidance_embeds": False,
    },
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 16,
        "sample_size": 1024,
    },
    t5={
        "d_model": 4096,
        "d_ff": 10240,
        "d_kv": 64,
        "num_heads": 64,
        "num_layers": 24,
        "vocab_size": 32128,
    },
    clip={
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
        "vocab_size": 49408,
    },
)
_KLEIN = _klein(
    transformer={
        "num_layers": 5,
        "num_single_layers": 20,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "in_channels": 128,
    },
    vae={},
    qwen={
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
)
_TINY_VAE = {
    "block_out_channels": (16, 16, 32, 32),
    "layers_per_block": 1,
    "latent_channels": 4,
    "sample_size": 128,
    "norm_num_groups": 8,
}
_TINY_SCHNELL = _flux_1(
    transformer={
        "patch_size": 1,
        "in_channels": 16,
        "num_layers": 2,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": (4, 6, 6),
        "guidance_embeds": False,
    },
    vae=_TINY_VAE,
    t5={
        "d_model": 32,
        "d_ff": 64,
        "d_kv": 16,
        "num_heads": 2,
        "num_layers": 2,
        "vocab_size": 600,
    },
    clip={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 32,
        "vocab_size": 600,
    },
)
_DEV = _with_transformer(_SCHNELL)
# Fill's transformer sees latents, those of the image, and 8 × 8 pixels of mask a latent.
_FILL_CHANNELS = {"in_channels": 64 + 64 + 256, "out_channels": 64}
TINY_MODEL = "tiny"
# By the names of `short_name`; the tiny ones draw anywhere in a second.
ARCHITECTURES: dict[str, Architecture] = {
    "schnell": _SCHNELL,
    "dev": _DEV,
    "krea": _DEV,
    "fill": _with_transformer(_SCHNELL, "FluxFillPipeline", **_FILL_CHANNELS),
    "kontext": _with_transformer(_SCHNELL, "FluxKontextPipeline"),
    "klein": _KLEIN,
    TINY_MODEL: _TINY_SCHNELL,
    "tiny-dev": _with_transformer(_TINY_SCHNELL),
    "tiny-klein": _klein(
        transformer={
            "num_layers": 1,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 96,
            "in_channels": 16,
            "axes_dims_rope": (8, 8, 8, 8),
        },
        vae=_TINY_VAE,
        qwen={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 28,  # of which klein reads the 9th, 18th and 27th
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "vocab_size": 800,
        },
    ),
}
