"""The two encoders as they are trained; imagen_nb runs them with NumPy, without torch.

A picture (64, 64, 3) goes through four levels of 3 × 3 kernels to 4 × 4 places, all of which the
last layers see: where a thing is counts. A text is read by two transformer layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 64, 128, 192)
NARROW, HIDDEN, DIMENSIONS = 64, 384, 256
TEXT_WIDTH, HEADS, LAYERS = 128, 4, 2
MAX_TOKENS = 24


def kernel(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class PictureEncoder(nn.Module):
    """(B, 3, 64, 64) in -1…1 -> what is seen (B, HIDDEN), and the vector (B, DIMENSIONS)."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(map(kernel, inputs, WIDTHS, [2] * len(WIDTHS)))
        self.same = nn.ModuleList(
            nn.ModuleList(kernel(width, width) for _ in range(2)) for width in WIDTHS
        )
        self.narrow = kernel(WIDTHS[-1], NARROW, size=1)
        self.seen = nn.Linear(NARROW * 16, HIDDEN)
        self.vector = nn.Linear(HIDDEN, DIMENSIONS)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = pictures
        for down, (first, second) in zip(self.down, self.same, strict=True):
            x = down(x)
            x = x + second(first(x))
        places = self.narrow(x).permute(0, 2, 3, 1).flatten(1)
        seen = self.seen(places).relu()
        return seen, self.vector(seen)


class Layer(nn.Module):
    """Attention and a feed-forward network, each on the normalised input, added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.RMSNorm(TEXT_WIDTH, eps=1e-6)
        self.query_key_value = nn.Linear(TEXT_WIDTH, 3 * TEXT_WIDTH)
        self.joined = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.between = nn.RMSNorm(TEXT_WIDTH, eps=1e-6)
        self.wide = nn.Linear(TEXT_WIDTH, 2 * TEXT_WIDTH)
        self.back = nn.Linear(2 * TEXT_WIDTH, TEXT_WIDTH)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        count, length, _ = x.shape
        parts = self.query_key_value(self.before(x)).view(count, length, 3, HEADS, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=known[:, None, None, :]
        )
        x = x + self.joined(mixed.transpose(1, 2).flatten(2))
        return x + self.back(self.wide(self.between(x)).relu())


class TextEncoder(nn.Module):
    """Ids (B, T), 0 where there is no word -> vectors (B, DIMENSIONS)."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, TEXT_WIDTH)
        self.places = nn.Embedding(MAX_TOKENS, TEXT_WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.last = nn.RMSNorm(TEXT_WIDTH, eps=1e-6)
        self.vector = nn.Linear(TEXT_WIDTH, DIMENSIONS)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, ids: Tensor) -> Tensor:
        known = ids != 0
        x = self.words(ids) + self.places.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, known)
        share = known / known.sum(1, keepdim=True)
        return self.vector((self.last(x) * share[:, :, None]).sum(1))


class Pair(nn.Module):
    """Both encoders, the temperature, and heads that name what is seen: only for training."""

    def __init__(self, words: int, heads: dict[str, int]) -> None:
        super().__init__()
        self.pictures = PictureEncoder()
        self.texts = TextEncoder(words)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(HIDDEN, size) for name, size in heads.items()}
        )
        self.scale = nn.Parameter(torch.tensor(2.6))  # log of what likeness is times

    def likeness(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """(pictures, texts): cosines, times at most 100."""
        pictures, texts = (
            functional.normalize(pictures.float()),
            functional.normalize(texts.float()),
        )
        return self.scale.exp().clamp(max=100) * pictures @ texts.T
