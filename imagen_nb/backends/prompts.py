"""Encoded prompts, kept so that each distinct prompt is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.backends.loading import quietly
from imagen_nb.request import Request

if TYPE_CHECKING:
    from diffusers import FluxPipeline
    from torch import Tensor

_Key = tuple[str, int, int]  # prompt, sequence length, threads: what the bits follow from
CAPACITY = 64  # prompts; T5's embeddings of one are 2-4 MB for the large models


class PromptCache:
    """The prompts used last, as (embeddings (L, D), pooled (P,)); at most `CAPACITY` of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, tuple[Tensor, Tensor]] = OrderedDict()

    def encoded(self, pipeline: FluxPipeline, batch: Sequence[Request]) -> tuple[Tensor, Tensor]:
        """Embeddings of a batch's prompts: (B, L, D) and (B, P).

        All requests of a batch have one `max_sequence_length`, L.
        """
        import torch

        keys = _keys(batch)
        self._learn(pipeline, keys)
        pairs = [self._known[key] for key in keys]
        self._forget_oldest(keys)
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def learn(self, pipeline: FluxPipeline, requests: Sequence[Request]) -> None:
        """Encode what is not known; of at most `CAPACITY` prompts, or the first are forgotten."""
        keys = _keys(requests)
        self._learn(pipeline, keys)
        self._forget_oldest(keys)

    def knows(self, requests: Sequence[Request]) -> bool:
        """Whether there is nothing to encode for these."""
        return all(key in self._known for key in _keys(requests))

    def _learn(self, pipeline: FluxPipeline, keys: Sequence[_Key]) -> None:
        for key in keys:
            if key not in self._known:
                self._known[key] = _encode(pipeline, *key[:2])

    def _forget_oldest(self, used: Sequence[_Key]) -> None:
        for key in used:
            self._known.move_to_end(key)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def _keys(requests: Sequence[Request]) -> list[_Key]:
    import torch

    threads = torch.get_num_threads()
    return [(request.prompt, request.max_sequence_length, threads) for request in requests]


def _encode(pipeline: FluxPipeline, prompt: str, length: int) -> tuple[Tensor, Tensor]:
    """One prompt by itself: among others its last bits would depend on how many they are."""
    import torch

    with torch.no_grad(), quietly():
        embeds, pooled, _ = pipeline.encode_prompt(
            prompt=[prompt], prompt_2=None, max_sequence_length=length
        )
    return embeds[0], pooled[0]
