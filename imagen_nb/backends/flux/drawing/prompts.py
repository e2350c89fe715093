"""Encoded prompts, kept so that each distinct prompt is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    _Encoded = dict[str, Tensor]

_PromptKey = tuple[
    str, int, int
]  # prompt, sequence length, threads: what the bits follow from
_EMBEDDING_NAMES = (
    "prompt_embeds",
    "pooled_prompt_embeds",
)  # arguments, in the order they are given back
MAX_CACHED_PROMPTS = (
    64  # prompts; T5's embeddings of one are 2-4 MB for the large models
)


class PromptCache:
    """The prompts used last, at most `CAPACITY` of them, as a pipeline takes them back.

    By name: `prompt_embeds` (L, D) and, of FLUX.1, `pooled_prompt_embeds` (P,).
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_PromptKey, _Encoded] = OrderedDict()

    def encoded(
        self, pipeline: DiffusionPipeline, batch: Sequence[Request]
    ) -> _Encoded:
        """Arguments of the pipeline's call for a batch's prompts: (B, L, D), (B, P).

        All requests of a batch have one `max_sequence_length`, L; all are guided away from a
        negative prompt, or none is.
        """
        keys = _prompt_keys(batch)
        self._learn(pipeline, keys)
        found = self._stacked([_prompt_key(one.prompt, one) for one in batch])
        leading_away = [one for one in batch if one.negative_prompt is not None]
        if negative := [
            _prompt_key(str(one.negative_prompt), one) for one in leading_away
        ]:
            found |= {
                f"negative_{name}": tensor
                for name, tensor in self._stacked(negative).items()
            }
        self._forget_oldest(keys)
        return found

    def _stacked(self, keys: Sequence[_PromptKey]) -> _Encoded:
        import torch

        all_of_them = [self._known[key] for key in keys]
        return {
            name: torch.stack([one[name] for one in all_of_them])
            for name in all_of_them[0]
        }

    def learn(self, pipeline: DiffusionPipeline, requests: Sequence[Request]) -> None:
        """Encode what is not known; of at most `CAPACITY` prompts, or the first are forgotten."""
        keys = _prompt_keys(requests)
        self._learn(pipeline, keys)
        self._forget_oldest(keys)

    def knows(self, requests: Sequence[Request]) -> bool:
        """Whether there is nothing to encode for these."""
        return all(key in self._known for key in _prompt_keys(requests))

    def _learn(self, pipeline: DiffusionPipeline, keys: Sequence[_PromptKey]) -> None:
        for key in keys:
            if key not in self._known:
                self._known[key] = _encode_prompt(pipeline, *key[:2])

    def _forget_oldest(self, used: Sequence[_PromptKey]) -> None:
        for key in used:
            self._known.move_to_end(key)
        while len(self._known) > MAX_CACHED_PROMPTS:
            self._known.popitem(last=False)


def texts_of(request: Request) -> list[str]:
    """What of a request is encoded: its prompt, and the negative one if it has one."""
    return [
        text for text in (request.prompt, request.negative_prompt) if text is not None
    ]


def _prompt_keys(requests: Sequence[Request]) -> list[_PromptKey]:
    return [
        _prompt_key(text, request) for request in requests for text in texts_of(request)
    ]


def _prompt_key(text: str, request: Request) -> _PromptKey:
    import torch

    return text, request.max_sequence_length, torch.get_num_threads()


def _encode_prompt(pipeline: DiffusionPipeline, prompt: str, length: int) -> _Encoded:
    """One prompt by itself: among others its last bits would depend on how many they are."""
    import torch

    with torch.no_grad(), quietly():
        found = pipeline.encode_prompt(prompt=[prompt], max_sequence_length=length)
    *encoded, _ids = found
    return {name: one[0] for name, one in zip(_EMBEDDING_NAMES, encoded, strict=False)}
