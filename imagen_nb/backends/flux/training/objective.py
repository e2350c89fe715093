"""What is minimised: the squared error of the velocity, at shares of noise drawn at random."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.training.layouts import TrainingLayout, predict_velocity
from imagen_nb.backends.flux.training.samples import Sample

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def flow_matching_loss(
    transformer: Any,
    layout: TrainingLayout,
    samples: Sequence[Sample],
    scheduler: Mapping[str, Any],
    generator: torch.Generator,
) -> Tensor:
    """Return the mean squared error of the predicted velocity for some samples.

    Rectified flow: of a picture x and noise n, the transformer sees (1 - σ)·x + σ·n and
    is to predict n - x (Liu et al. 2022, https://arxiv.org/abs/2209.03003; Esser et al.
    2024, https://arxiv.org/abs/2403.03206, section 2).

    Args:
        transformer: with the LoRA in it, on the device that it computes on.
        layout: of the model.
        samples: all of one size.
        scheduler: the configuration of the model's scheduler.
        generator: of the CPU, so that every machine draws the same noise.
    """
    import torch
    from torch.nn import functional

    device = transformer.device
    clean = torch.stack([sample.tokens.values for sample in samples]).float()
    noise = torch.randn(clean.shape, generator=generator)
    sigmas = sample_sigmas(len(clean), clean.shape[1], scheduler, generator)
    noisy = torch.lerp(clean, noise, sigmas[:, None, None])
    velocity = predict_velocity(
        transformer,
        layout,
        noisy.to(device, transformer.dtype),
        sigmas.to(device),
        samples[0].tokens.positions,
        [sample.prompt for sample in samples],
    )
    return functional.mse_loss(velocity.float(), (noise - clean).to(device))


def sample_sigmas(
    count: int, tokens: int, scheduler: Mapping[str, Any], generator: torch.Generator
) -> Tensor:
    """Return shares of noise, 0 to 1: logit-normal, as SD3 and FLUX were trained.

    Mean 0 and deviation 1 (Esser et al. 2024, https://arxiv.org/abs/2403.03206, section
    3.1), then shifted to more noise the larger the picture (section 5.3.2), as far as
    the model's own scheduler shifts them when it draws.

    Args:
        count: how many.
        tokens: of a picture.
        scheduler: its configuration.
        generator: of the CPU.
    """
    from diffusers.training_utils import compute_density_for_timestep_sampling

    uniform: Tensor = compute_density_for_timestep_sampling(
        "logit_normal", count, logit_mean=0.0, logit_std=1.0, generator=generator
    )
    shift = _shift(tokens, scheduler)
    return shift * uniform / (1 + (shift - 1) * uniform)


def _shift(tokens: int, scheduler: Mapping[str, Any]) -> float:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    if not scheduler.get("use_dynamic_shifting"):
        return float(scheduler.get("shift", 1.0))
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    given = {
        short: scheduler[name]
        for name, short in zip(
            names, ("base_seq_len", "max_seq_len", *names[2:]), strict=True
        )
        if name in scheduler
    }
    return math.exp(calculate_shift(tokens, **given))
