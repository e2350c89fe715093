"""Encoded prompts, kept so that each distinct prompt is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.request import Request

if TYPE_CHECKING:
    from diffusers import FluxPipeline
    from torch import Tensor

CAPACITY = 64  # prompts; T5's embeddings of one are 2–4 MB for the large models


class PromptCache:
    """The last `CAPACITY` prompts as (embeddings (1, L, D), pooled (1, P))."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], tuple[Tensor, Tensor]] = OrderedDict()

    def encoded(self, pipeline: FluxPipeline, batch: Sequence[Request]) -> tuple[Tensor, Tensor]:
        """Embeddings of a batch's prompts: (B, L, D) and (B, P).

        Each prompt is encoded alone: beside others its last bits could differ.
        """
        import torch

        pairs = [self._one(pipeline, request) for request in batch]
        return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])

    def _one(self, pipeline: FluxPipeline, request: Request) -> tuple[Tensor, Tensor]:
        import torch

        key = request.prompt, request.max_sequence_length
        if key not in self._known:
            with torch.no_grad():
                embeds, pooled, _ = pipeline.encode_prompt(
                    prompt=request.prompt,
                    prompt_2=None,
                    max_sequence_length=request.max_sequence_length,
                )
            self._known[key] = embeds, pooled
            if len(self._known) > CAPACITY:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]
