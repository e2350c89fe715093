"""The loop of a training: steps, checkpoints and previews."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING, Any

from imagen_nb._version import __version__
from imagen_nb.backends.flux.drawing.card import free_memory
from imagen_nb.backends.flux.drawing.loaded import in_memory
from imagen_nb.backends.flux.drawing.loading import load_pipeline
from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.training.adapter import (
    add_lora,
    lora_file,
    lora_weights,
    set_lora_weights,
)
from imagen_nb.backends.flux.training.checkpoints import Workplace, interrupts_noted
from imagen_nb.backends.flux.training.layouts import layout_of
from imagen_nb.backends.flux.training.objective import flow_matching_loss
from imagen_nb.backends.flux.training.samples import Sample
from imagen_nb.backends.flux.training.settings import TrainingSettings
from imagen_nb.backends.flux.training.watch import TrainingProgress, TrainingWatch
from imagen_nb.system.atomic import (
    explain_folder_errors,
    move_to_new_name,
    temporary_file,
    write_atomically,
)

if TYPE_CHECKING:
    import torch

_CHECKPOINTED_BYTES = 10**9  # of a transformer's weights: activations matter from there
_MAX_NORM = 1.0  # of all gradients together
_SMOOTHED = 50  # steps that the loss told is the mean of


class Training:
    """A LoRA in a model, and its optimiser.

    Invariant: after `step` steps everything follows from the arguments: the noise and
    the order of the pictures depend on the seed and the step only.
    """

    def __init__(
        self,
        row: Model,
        plan: MemoryPlan,
        samples: Sequence[Sample],
        settings: TrainingSettings,
        workplace: Workplace,
        purpose: str,
        watch: TrainingWatch,
    ) -> None:
        """Load the transformer and put a new LoRA into it."""
        self._row, self._samples, self._settings = row, samples, settings
        self._workplace, self._purpose, self._watch = workplace, purpose, watch
        without = (*row.kind.encoders, "vae")
        pipeline = load_pipeline(row, plan, without)
        self._transformer = pipeline.transformer
        self._scheduler = dict(pipeline.scheduler.config)
        self._layout = layout_of(row)
        self._device = self._transformer.device
        add_lora(self._transformer, settings.rank, settings.seed)
        if _weights_bytes(self._transformer) > _CHECKPOINTED_BYTES:
            self._transformer.enable_gradient_checkpointing()
        self._transformer.train()
        self._weights = [
            one for one in self._transformer.parameters() if one.requires_grad
        ]
        self._optimiser = _make_optimiser(self._weights, settings, self._device)
        self._step = 0
        self._losses: list[float] = []
        self._began = time.perf_counter()
        self.trigger = ""
        self.about: dict[str, Any] = {
            "imagen_nb": __version__,
            "versions": dict(library_versions()),
            "model": row.recorded,
            **settings.deciding(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `Workplace.save` kept."""
        set_lora_weights(self._transformer, state["lora"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step, self._losses = state["step"], [*state["losses"]]
        self._began -= state["seconds"]

    def run(self) -> TrainingProgress:
        """Do the steps that are left, and write the LoRA."""
        settings = self._settings
        with interrupts_noted() as interrupted:
            while self._step < settings.steps:
                self._do_step()
                self._watch.progress(self._progress())
                if interrupted.is_set() or self._is_due(settings.checkpoint_every):
                    self._keep()
                if interrupted.is_set():
                    raise KeyboardInterrupt
                if settings.preview_every and self._is_due(settings.preview_every):
                    self._show()
        self._keep()  # or all is lost if the LoRA cannot be written
        self._write()
        return self._progress()

    def _is_due(self, every: int) -> bool:
        return self._step % every == 0 and self._step < self._settings.steps

    def _do_step(self) -> None:
        import torch

        for group in self._optimiser.param_groups:
            group["lr"] = self._settings.rate_at(self._step)
        generator = torch.Generator().manual_seed(
            self._settings.seed * 1_000_003 + self._step
        )
        loss = 0.0
        for samples in self._batch():
            share = len(samples) / self._settings.batch
            with self._computing():
                part = share * flow_matching_loss(
                    self._transformer, self._layout, samples, self._scheduler, generator
                )
                part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(self._weights, _MAX_NORM)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._losses = [*self._losses, loss][-_SMOOTHED:]
        self._step += 1

    def _batch(self) -> list[list[Sample]]:
        """Return the samples of this step, those of one size together."""
        first = self._step * self._settings.batch
        by_size = defaultdict(list)
        for place in range(first, first + self._settings.batch):
            epoch, within = divmod(place, len(self._samples))
            sample = self._samples[self._order(epoch)[within]]
            by_size[sample.tokens.values.shape].append(sample)
        return [*by_size.values()]

    def _order(self, epoch: int) -> list[int]:
        order = [*range(len(self._samples))]
        Random(f"{self._settings.seed} {epoch}").shuffle(order)
        return order

    @contextmanager
    def _computing(self) -> Iterator[None]:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        is_short = self._transformer.dtype != torch.float32
        kind = self._device.type
        # Of few tokens, the fused attention's way back is the slow one on a CPU.
        attention = sdpa_kernel(SDPBackend.MATH) if kind == "cpu" else nullcontext()
        with attention, torch.autocast(kind, torch.bfloat16, enabled=is_short):
            yield

    def _progress(self) -> TrainingProgress:
        loss = sum(self._losses) / max(1, len(self._losses))
        seconds = time.perf_counter() - self._began
        return TrainingProgress(self._step, self._settings.steps, loss, seconds)

    def _keep(self) -> None:
        self._workplace.save(
            {
                "purpose": self._purpose,
                "step": self._step,
                "lora": lora_weights(self._transformer),
                "optimiser": self._optimiser.state_dict(),
                "losses": self._losses,
                "seconds": self._progress().seconds,
            }
        )

    def _show(self) -> None:
        """Have a preview drawn, with all of the card's memory free for it."""
        if self._watch.preview is None:
            return
        path = self._workplace.lora_path(self._step)
        with explain_folder_errors(path.parent):
            write_atomically(path, self._file())
        self._transformer.to("cpu")
        free_memory()
        try:
            self._watch.preview(self._step, path)
        finally:
            for model in in_memory():
                model.give_way()
            self._transformer.to(self._device)

    def _file(self) -> bytes:
        progress = self._progress()
        trained = {"trained_steps": self._step, "loss": round(progress.loss, 5)}
        about = {**self.about, **trained}
        return lora_file(self._transformer, self._row.recorded, self.trigger, about)

    def _write(self) -> None:
        output = self._workplace.output
        with (
            explain_folder_errors(output.parent),
            temporary_file(output.parent, self._file()) as temporary,
        ):
            move_to_new_name(temporary, output)


def _weights_bytes(network: Any) -> int:
    return sum(weights.nbytes for weights in network.parameters())


def _make_optimiser(
    weights: list[torch.nn.Parameter], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """Return AdamW, with its state in 8 bits where bitsandbytes is there for the card."""
    import torch

    if device.type == "cuda" and find_spec("bitsandbytes"):
        from bitsandbytes.optim import AdamW8bit

        made: torch.optim.Optimizer = AdamW8bit(weights, lr=settings.learning_rate)
        return made
    return torch.optim.AdamW(weights, lr=settings.learning_rate)
