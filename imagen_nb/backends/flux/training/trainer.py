"""Trains a LoRA: from pictures on disk to a file that `loras=` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imagen_nb.backends.flux.drawing.loaded import in_memory
from imagen_nb.backends.flux.drawing.loading import require_weights
from imagen_nb.backends.flux.failures import torch_failures
from imagen_nb.backends.flux.loras import require_peft
from imagen_nb.backends.flux.memory.machine import default_device
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.training.checkpoints import Workplace
from imagen_nb.backends.flux.training.layouts import layout_of
from imagen_nb.backends.flux.training.loop import Training
from imagen_nb.backends.flux.training.pictures import TrainingPicture
from imagen_nb.backends.flux.training.samples import encode_samples
from imagen_nb.backends.flux.training.settings import TrainingSettings
from imagen_nb.backends.flux.training.watch import TrainingProgress, TrainingWatch


def train(
    row: Model,
    pictures: Sequence[TrainingPicture],
    output: Path,
    settings: TrainingSettings,
    watch: TrainingWatch,
) -> TrainingProgress:
    """Train a LoRA for a model and write it to `output`, a new .safetensors file.

    A training that was interrupted goes on where it was, if all arguments are the same:
    then it gives what it would have given.

    Args:
        row: the model.
        pictures: what it learns.
        output: not there yet.
        settings: as `TrainingSettings.validated` returns them.
        watch: what is called meanwhile.

    Returns:
        The last progress.

    Raises:
        BackendError: if the weights or peft are missing, or memory is too small.
        UsageError: for a kind of model that cannot be trained.
        StorageError: if it cannot be kept, or another training is in its place.
        KeyboardInterrupt: for Ctrl-C, once the step is finished and kept.
    """
    require_peft()
    layout_of(row)
    require_weights(row)
    settings = replace(settings, size=settings.size or row.defaults.width)
    workplace = Workplace(output)
    with workplace.held(), torch_failures(f"cannot train a LoRA of {row.recorded}"):
        purpose = _purpose(row, pictures, settings)
        state = workplace.load(purpose)
        for model in in_memory():
            model.give_way()
        plan = MemoryPlan(dtype=_dtype_name(row))
        samples = encode_samples(row, plan, pictures, settings.size, watch.encoding)
        training = Training(row, plan, samples, settings, workplace, purpose, watch)
        training.about["pictures"] = len(pictures)
        training.trigger = _common_caption(pictures)
        if state:
            training.restore(state)
        progress = training.run()
        workplace.clear()
    return progress


def _dtype_name(row: Model) -> str:
    """Return what the transformer calculates with: bfloat16 where the card has it."""
    import torch

    device = default_device()
    if device == "cpu":
        return row.cpu_dtype
    has_bfloat16 = device != "cuda" or torch.cuda.is_bf16_supported()
    return "bfloat16" if has_bfloat16 else "float32"


def _purpose(
    row: Model, pictures: Sequence[TrainingPicture], settings: TrainingSettings
) -> str:
    """Return what tells this training from others: equal texts, equal LoRAs."""
    facts = [row.source, settings.deciding()]
    shown = [(one.sha256(), one.caption, one.repeats) for one in pictures]
    return hashlib.sha256(json.dumps([facts, shown]).encode()).hexdigest()


def _common_caption(pictures: Sequence[TrainingPicture]) -> str:
    captions = {picture.caption for picture in pictures}
    return captions.pop() if len(captions) == 1 else ""
