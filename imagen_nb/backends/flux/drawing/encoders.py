"""Text encoders that are not in memory while pictures are painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.backends.flux.drawing.card import free_memory
from imagen_nb.backends.flux.drawing.loading import PAINTING_PARTS, load_pipeline
from imagen_nb.backends.flux.drawing.prompts import PromptCache
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.request.request import Request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class TextEncoders:
    """A model's text encoders, loaded when used.

    After each use they are freed, or wait in RAM, as the plan says.
    """

    def __init__(self, row: Model, plan: MemoryPlan) -> None:
        self._row, self._plan = row, plan
        self._waiting: DiffusionPipeline | None = None  # in RAM

    def learn(self, prompts: PromptCache, requests: Sequence[Request]) -> None:
        """Encode the prompts of these requests that the cache lacks, each by itself.

        Whatever fails, the encoders are not left on the card.
        """
        pipeline = self._waiting or load_pipeline(self._row, self._plan, PAINTING_PARTS)
        try:
            _move_to_card(pipeline)
            prompts.learn(pipeline, requests)
        finally:
            if self._plan.text_encoders == "offloaded":
                self._waiting = _move_to_ram(pipeline)
            del pipeline
            free_memory()


def _move_to_card(pipeline: DiffusionPipeline) -> None:
    import torch

    if torch.cuda.is_available():
        pipeline.to("cuda")


def _move_to_ram(pipeline: DiffusionPipeline) -> DiffusionPipeline:
    pipeline.to("cpu")
    return pipeline
