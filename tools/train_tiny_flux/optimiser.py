"""Muon for convolutions and matrices, AdamW for the rest.

Muon (K. Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks")
orthogonalises each momentum matrix by a Newton-Schulz iteration. `torch.optim.Muon` takes
two-dimensional parameters only; this one sees convolution kernels flattened.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: four quintic Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = (x / (x.norm() + 1e-7)).to(dtype)
    for _ in range(4):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; kernels (out, in, h, w) are seen as (out, in·h·w)."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})
        self.dtype = dtype  # of the orthogonalisation

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                buffer = state.setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).flatten(1)
                scale = max(1, update.shape[0] / update.shape[1]) ** 0.5
                update = orthogonal(update, self.dtype) * scale
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(update.view_as(p), alpha=-group["lr"])


def split_parameters(modules: Iterable[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """(hidden matrices and kernels, everything else: biases, norms, embeddings)."""
    matrices, others = [], []
    for module in modules:
        embeddings = {
            id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)
        }
        for p in module.parameters():
            hidden = p.ndim >= 2 and id(p) not in embeddings
            (matrices if hidden else others).append(p)
    return matrices, others


def rate_factor(step: int, steps: int, warmup: int = 100) -> float:
    """Learning-rate factor: linear warm-up, then linear decay to a hundredth."""
    return min(1, (step + 1) / warmup) * max(0.01, 1 - step / steps)
