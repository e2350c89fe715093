"""Encoded prompts, cached so that each distinct prompt is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.backends.flux.drawing.placing import placement_of
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    _Embeddings = dict[str, Tensor]

# Prompt, sequence length and torch's threads: an encoding's bits follow from these.
_PromptKey = tuple[str, int, int]
# Arguments of a pipeline's call, in the order in which `encode_prompt` returns them.
_EMBEDDING_NAMES = ("prompt_embeds", "pooled_prompt_embeds")
MAX_CACHED_PROMPTS = 64  # T5's embeddings of one are 2-4 MB for the large models


class PromptCache:
    """The embeddings of the prompts used last, at most `MAX_CACHED_PROMPTS` of them.

    By argument of the pipeline's call: `prompt_embeds` (L, D) and, for FLUX.1,
    `pooled_prompt_embeds` (P,).
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_PromptKey, _Embeddings] = OrderedDict()

    def encoded(
        self, pipeline: DiffusionPipeline, batch: Sequence[Request]
    ) -> _Embeddings:
        """Return the arguments of a pipeline's call for a batch: (B, L, D) and (B, P).

        Encodes what is not cached. All requests of a batch have one
        `max_sequence_length`, L, and either all of them have a negative prompt or none.
        """
        keys = _prompt_keys(batch)
        self._encode_missing(pipeline, keys)
        arguments = self._stacked([_prompt_key(one.prompt, one) for one in batch])
        negative = [
            _prompt_key(one.negative_prompt, one)
            for one in batch
            if one.negative_prompt is not None
        ]
        if negative:
            for name, tensor in self._stacked(negative).items():
                arguments[f"negative_{name}"] = tensor
        self._forget_oldest(keys)
        device = placement_of(pipeline).device  # another card may have encoded them
        return {name: tensor.to(device) for name, tensor in arguments.items()}

    def _stacked(self, keys: Sequence[_PromptKey]) -> _Embeddings:
        import torch

        embeddings = [self._known[key] for key in keys]
        return {
            name: torch.stack([one[name] for one in embeddings])
            for name in embeddings[0]
        }

    def learn(self, pipeline: DiffusionPipeline, requests: Sequence[Request]) -> None:
        """Encode the prompts of these requests that are not cached.

        Of more than `MAX_CACHED_PROMPTS` prompts the first are forgotten.
        """
        keys = _prompt_keys(requests)
        self._encode_missing(pipeline, keys)
        self._forget_oldest(keys)

    def knows(self, requests: Sequence[Request]) -> bool:
        """Whether all prompts of these requests are cached."""
        return all(key in self._known for key in _prompt_keys(requests))

    def _encode_missing(
        self, pipeline: DiffusionPipeline, keys: Sequence[_PromptKey]
    ) -> None:
        for key in keys:
            if key not in self._known:
                prompt, length, _threads = key
                self._known[key] = _encode_prompt(pipeline, prompt, length)

    def _forget_oldest(self, used: Sequence[_PromptKey]) -> None:
        for key in used:
            self._known.move_to_end(key)
        while len(self._known) > MAX_CACHED_PROMPTS:
            self._known.popitem(last=False)


def texts_of(request: Request) -> list[str]:
    """Return what of a request is encoded: its prompt, and its negative one if any."""
    texts = (request.prompt, request.negative_prompt)
    return [text for text in texts if text is not None]


def _prompt_keys(requests: Sequence[Request]) -> list[_PromptKey]:
    return [
        _prompt_key(text, request) for request in requests for text in texts_of(request)
    ]


def _prompt_key(text: str, request: Request) -> _PromptKey:
    import torch

    return text, request.max_sequence_length, torch.get_num_threads()


def _encode_prompt(
    pipeline: DiffusionPipeline, prompt: str, length: int
) -> _Embeddings:
    """Encode one prompt alone: in a batch, its last bits depend on the batch size."""
    import torch

    with torch.no_grad(), quietly():
        *embeddings, _ids = pipeline.encode_prompt(
            prompt=[prompt], max_sequence_length=length
        )
    # FLUX.2 has no pooled embeddings.
    named = zip(_EMBEDDING_NAMES, embeddings, strict=False)
    return {name: one[0] for name, one in named}
