"""Trains the embedded FLUX's transformer and text encoders on the VAE's latents.

    python train_flow.py cache --run RUN [--scenes 32000]     # once: draw, encode, tokenize
    python train_flow.py train --run RUN [--steps 7500]

Rectified flow as in FLUX: x_σ = (1-σ)·x_0 + σ·noise, the model predicts noise - x_0. Latents are
packed as FluxPipeline packs them: (B, 16, 16, 16) -> (B, 64, 64), one token for each 16 × 16 pixel
patch. Held-out combinations (scenes.held_out) are never drawn here. Writes RUN/flow.pt every 500
steps and goes on from it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random
from typing import Any

import checkpoints
import drawing
import numpy as np
import scenes
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from optimiser import Muon, rate_factor, split_parameters
from text import END, MAX_TOKENS, PAD, VOCABULARY, new_tokenizer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from train_vae import new_vae, to_tensor
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

CAPTIONS = 3  # ways to say each scene
WIDTH = 128  # of the text encoders
EMA = 0.998


def new_transformer() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=5,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )


def new_clip() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            pad_token_id=VOCABULARY[PAD],
            bos_token_id=VOCABULARY[PAD],
            eos_token_id=VOCABULARY[END],
        )
    )


def new_t5() -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(VOCABULARY),
            d_model=WIDTH,
            d_kv=32,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            pad_token_id=VOCABULARY[PAD],
            eos_token_id=VOCABULARY[END],
        )
    )


class Flow(nn.Module):
    """Text encoders and transformer, trained together: token ids and noisy latents -> velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer, self.clip, self.t5 = new_transformer(), new_clip(), new_t5()
        for name, module in self.transformer.named_modules():
            # Blocks begin as the identity (adaLN-zero, Peebles & Xie 2022).
            if isinstance(module, nn.Linear) and (
                ".norm" in name or name == "proj_out"
            ):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        self.register_buffer(
            "image_ids",
            FluxPipeline._prepare_latent_image_ids(1, 8, 8, "cpu", torch.float32),
        )
        self.register_buffer("text_ids", torch.zeros(MAX_TOKENS, 3))

    def forward(self, noisy: Tensor, sigma: Tensor, ids: Tensor) -> Tensor:
        """noisy: (B, 64, 64); sigma: (B,) in 0…1; ids: (B, MAX_TOKENS) -> (B, 64, 64)."""
        velocity: Tensor = self.transformer(
            hidden_states=noisy,
            timestep=sigma,
            encoder_hidden_states=self.t5(ids).last_hidden_state,
            pooled_projections=self.clip(ids).pooler_output,
            txt_ids=self.text_ids,
            img_ids=self.image_ids,
            return_dict=False,
        )[0]
        return velocity


def pack(latents: Tensor) -> Tensor:
    """(B, 16, 16, 16) -> (B, 64 tokens, 64)."""
    return FluxPipeline._pack_latents(latents, len(latents), 16, 16, 16)


@torch.no_grad()
def cache(run: Path, count: int) -> None:
    """Writes RUN/latents.pt: latents normalised to mean 0 and deviation 1, ids, coverage."""
    vae = new_vae()
    vae.load_state_dict(checkpoints.load(run / "vae.pt")["vae"])  # type: ignore[index]
    tokenizer, rng = new_tokenizer(), Random("flow")
    latents, ids, coverage = [], [], []
    for start in range(0, count, 32):
        chosen = [scenes.training_scene(rng) for _ in range(32)]
        drawn = [drawing.picture_and_coverage(scene, rng) for scene in chosen]
        pictures = to_tensor([np.asarray(picture) for picture, _ in drawn])
        latents.append(vae.encoder(pictures)[:, :16])
        coverage.append(np.stack([covered for _, covered in drawn]))
        said = [scenes.caption(scene, rng) for scene in chosen for _ in range(CAPTIONS)]
        ids.append(
            tokenizer(
                said, padding="max_length", max_length=MAX_TOKENS, truncation=True
            ).input_ids
        )
        if start % 3200 == 0:
            print(f"cached {start}", flush=True)
    stacked = torch.cat(latents)
    shift, scale = stacked.mean().item(), 1 / stacked.std().item()
    checkpoints.save(
        run / "latents.pt",
        {
            "latents": pack((stacked - shift) * scale).half(),
            "ids": torch.tensor(ids).view(-1, CAPTIONS, MAX_TOKENS),
            "coverage": torch.from_numpy(np.concatenate(coverage)).flatten(1),
            "shift": shift,
            "scale": scale,
        },
    )


def sample_sigma(size: int) -> Tensor:
    """Logit-normal (Esser et al. 2024), leaning to noise, where what is drawn is decided."""
    uniform = (torch.rand(1) + torch.arange(size) / size) % 1
    normal = torch.special.ndtri(uniform.clamp(1e-4, 1 - 1e-4))
    return torch.sigmoid(0.4 + 1.2 * normal)[torch.randperm(size)]


def flow_loss(model: nn.Module, data: dict[str, Any], picked: Tensor) -> Tensor:
    """Squared error of the velocity; patches that objects cover count three times."""
    clean = data["latents"][picked].float()
    ids = data["ids"][picked, torch.randint(CAPTIONS, (len(picked),))]
    noise, sigma = torch.randn_like(clean), sample_sigma(len(picked))
    mixed = torch.lerp(clean, noise, sigma[:, None, None])
    error = (model(mixed, sigma, ids) - (noise - clean)).square().mean(dim=2)
    weight = 1 + 2 * data["coverage"][picked]
    return (error * weight).sum() / weight.sum()


def hidden_matrices(model: Flow) -> list[Tensor]:
    """What Muon trains: the blocks' matrices but for the modulations."""
    blocks = [
        model.transformer.transformer_blocks,
        model.transformer.single_transformer_blocks,
    ]
    matrices, _ = split_parameters([*blocks, model.clip, model.t5])
    named = model.transformer.named_parameters()
    modulations = {id(p) for name, p in named if ".norm" in name}
    return [p for p in matrices if id(p) not in modulations]


def train(run: Path, steps: int, size: int, mixed: bool) -> None:
    torch.manual_seed(0)
    data = checkpoints.load(run / "latents.pt")
    if data is None:
        raise SystemExit("train_flow: no latents yet; run `train_flow.py cache` first")
    model = Flow()
    average = {name: value.clone() for name, value in model.state_dict().items()}
    matrices = hidden_matrices(model)
    hidden = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in hidden]
    optimisers = [
        Muon(
            matrices,
            lr=0.015,
            decay=0.01,
            dtype=torch.bfloat16 if mixed else torch.float32,
        ),
        torch.optim.AdamW(others, 2e-3, (0.9, 0.98)),
    ]
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    first = 0
    if state := checkpoints.load(run / "flow.pt"):
        model.load_state_dict(state["model"])
        average = state["average"]
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=False):
            optimiser.load_state_dict(
                saved
            )  # none after `restore.py`: they begin afresh
        first = state["step"]
    started, total = time.monotonic(), 0.0
    for step in range(first, steps):
        torch.manual_seed(
            1_000_000 + step
        )  # a resumed run sees what it would have seen
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rate_factor(step, steps)
        # The fused attention's backward pass is the slow one for 80 tokens on a CPU.
        with sdpa_kernel(SDPBackend.MATH):
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = flow_loss(
                    model, data, torch.randint(len(data["latents"]), (size,))
                )
            model.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        decay = min(EMA, (step + 1) / (step + 10))
        newest = model.state_dict()
        followed = [name for name, value in newest.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in followed],
            [newest[name] for name in followed],
            1 - decay,
        )
        total += loss.item()
        if (step + 1) % 50 == 0:
            print(
                f"{step + 1} loss {total / 50:.4f} {time.monotonic() - started:.0f} s",
                flush=True,
            )
            total = 0.0
        if (step + 1) % 500 == 0 or step + 1 == steps:
            states = [optimiser.state_dict() for optimiser in optimisers]
            checkpoints.save(
                run / "flow.pt",
                {
                    "model": model.state_dict(),
                    "average": average,
                    "optimisers": states,
                    "step": step + 1,
                },
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("cache", "train"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=32000)
    parser.add_argument("--steps", type=int, default=7500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="faster where the CPU multiplies bfloat16 (avx512_bf16)",
    )
    options = parser.parse_args()
    if options.stage == "cache":
        cache(options.run, options.scenes)
    else:
        train(options.run, options.steps, options.batch, options.bf16)
