"""How each kind of pipeline turns pixels into tokens, and calls its transformer.

A row for each kind: FLUX.1 scales its latents by the VAE's configuration, FLUX.2 by the
statistics of a batch norm that the VAE has learnt. Both are as the pipelines of
diffusers do it, whose own functions are called where there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.models import Model
from imagen_nb.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

_GUIDANCE = (
    1.0  # of guidance-distilled models: none, as sd-scripts advise for FLUX.1-dev
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A picture as the transformer sees it: values (T, C), positions (T, 3 or 4)."""

    values: Tensor
    positions: Tensor


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A caption as the transformer sees it.

    `embeddings`: (L, D). `pooled`: (P,), None for FLUX.2. `positions`: (L, 3 or 4).
    """

    embeddings: Tensor
    pooled: Tensor | None
    positions: Tensor


@dataclass(frozen=True, slots=True)
class TrainingLayout:
    """`tokenize`: a VAE and pixels (1, 3, H, W) in -1…1 to tokens.

    `positioned`: whether the transformer takes positions with a batch dimension.
    """

    tokenize: Callable[[Any, Tensor], Tokens]
    positioned: bool


def layout_of(row: Model) -> TrainingLayout:
    """Return the layout of a model. Raise `UsageError` for a kind that has none."""
    if row.pipeline not in _LAYOUTS:
        known = " and ".join(_LAYOUTS)
        raise UsageError(
            f"{row.recorded} is a {row.pipeline}: LoRAs are trained for {known}"
        )
    return _LAYOUTS[row.pipeline]


def encode_caption(pipeline: Any, caption: str, length: int) -> EncodedPrompt:
    """Return a caption as a pipeline with text encoders encodes it.

    `length`: tokens that it is padded or cut to.
    """
    import torch

    with torch.no_grad():
        embeddings, *pooled, positions = pipeline.encode_prompt(
            prompt=[caption], max_sequence_length=length
        )
    return EncodedPrompt(
        embeddings[0],
        pooled[0][0] if pooled else None,
        positions[0] if positions.ndim == 3 else positions,
    )


def predict_velocity(
    transformer: Any,
    layout: TrainingLayout,
    noisy: Tensor,
    sigmas: Tensor,
    positions: Tensor,
    prompts: list[EncodedPrompt],
) -> Tensor:
    """Return the transformer's velocity, noise less picture: (B, T, C).

    `noisy`: (B, T, C). `sigmas`: (B,), the share of noise. `positions`: (T, 3 or 4).
    """
    import torch

    text_positions, arguments = prompts[0].positions, {}
    if layout.positioned:
        size = len(noisy)
        positions = positions.expand(size, *positions.shape)
        text_positions = text_positions.expand(size, *text_positions.shape)
    pooled = [prompt.pooled for prompt in prompts if prompt.pooled is not None]
    if pooled:
        arguments["pooled_projections"] = torch.stack(pooled).to(noisy)
    guidance = None
    if getattr(transformer.config, "guidance_embeds", False):
        guidance = torch.full_like(sigmas, _GUIDANCE)
    velocity: Tensor = transformer(
        hidden_states=noisy,
        timestep=sigmas,
        guidance=guidance,
        encoder_hidden_states=torch.stack([p.embeddings for p in prompts]).to(noisy),
        txt_ids=text_positions.to(noisy.device),
        img_ids=positions.to(noisy.device),
        return_dict=False,
        **arguments,
    )[0]
    return velocity


def _tokenize_flux_1(vae: Any, pixels: Tensor) -> Tokens:
    from diffusers import FluxPipeline

    latents = vae.encode(pixels).latent_dist.mode()
    latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    _, channels, height, width = latents.shape
    packed = FluxPipeline._pack_latents(latents, 1, channels, height, width)
    positions = FluxPipeline._prepare_latent_image_ids(
        1, height // 2, width // 2, latents.device, latents.dtype
    )
    return Tokens(packed[0], positions)


def _tokenize_flux_2(vae: Any, pixels: Tensor) -> Tokens:
    import torch
    from diffusers import Flux2KleinPipeline

    latents = Flux2KleinPipeline._patchify_latents(
        vae.encode(pixels).latent_dist.mode()
    )
    mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
    variance = vae.bn.running_var.view(1, -1, 1, 1).to(latents)
    latents = (latents - mean) / torch.sqrt(variance + vae.config.batch_norm_eps)
    positions = Flux2KleinPipeline._prepare_latent_ids(latents)
    return Tokens(Flux2KleinPipeline._pack_latents(latents)[0], positions[0])


_LAYOUTS = {
    "FluxPipeline": TrainingLayout(_tokenize_flux_1, positioned=False),
    "Flux2KleinPipeline": TrainingLayout(_tokenize_flux_2, positioned=True),
}
