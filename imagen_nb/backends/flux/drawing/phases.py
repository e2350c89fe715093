"""The phases of drawing: which pictures go through them together, and what a stopped one leaves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from imagen_nb.backends.flux.drawing.calls import Batch
from imagen_nb.backends.flux.drawing.loading import CardMemoryError
from imagen_nb.backends.flux.drawing.prompts import MAX_CACHED_PROMPTS, texts_of
from imagen_nb.backends.flux.drawing.watch import StepCallback
from imagen_nb.backends.flux.memory.plan import Plan
from imagen_nb.backends.flux.pipelines import Kind
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request.request import Request, quoted

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

T = TypeVar("T")
MAX_PICTURES_PER_PART = 256  # pictures denoised before the first is decoded: 0.5 MB of latents each at 1024 × 1024


def batches_of(requests: Sequence[Request], size: int) -> Iterator[Batch]:
    """Consecutive requests that can be denoised together, at most `size` at a time."""
    for _, alike in itertools.groupby(requests, key=_batch_key):
        group = list(alike)
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _batch_key(request: Request) -> tuple[object, ...]:
    return (
        request.width, request.height, request.steps, request.guidance, request.max_sequence_length,
        request.strength, request.true_cfg, request.scheduler, request.init_image, request.mask,
    )  # fmt: skip


def parts_of(
    requests: Sequence[Request], plan: Plan, kind: Kind
) -> Iterator[list[Batch]]:
    """Batches that go through each phase together: one by one, where no weights move between.

    One class of pipelines draws all of a part.

    Otherwise as many as have `CAPACITY` different prompts, or `MOST` pictures: what waits for its
    turn takes the same memory however many requests there are.
    """
    part: list[Batch] = []
    prompts: set[tuple[str, int]] = set()
    for batch in batches_of(requests, plan.batch):
        new = {
            (text, one.max_sequence_length) for one in batch for text in texts_of(one)
        }
        pictures = sum(map(len, part)) + len(batch)
        full = (
            len(prompts | new) > MAX_CACHED_PROMPTS or pictures > MAX_PICTURES_PER_PART
        )
        other = bool(part) and kind.drawer(part[0][0]) != kind.drawer(batch[0])
        if part and (full or other or not plan.phased):
            yield part
            part, prompts = [], set()
        part.append(batch)
        prompts |= new
    if part:
        yield part


@contextmanager
def keep_on_card(pipeline: DiffusionPipeline, plan: Plan) -> Iterator[None]:
    """Between the calls of one phase, the weights that it needs stay where they are.

    With model offload, the end of each call would send them home to RAM.
    """
    if plan.offload != "model":
        yield
        return
    pipeline.maybe_free_model_hooks = pipeline.transformer._reset_stateful_cache
    try:
        yield
    finally:
        del pipeline.maybe_free_model_hooks  # the class's own again


def run_guarded(
    pipeline: DiffusionPipeline,
    batch: Batch,
    watch: StepCallback,
    work: Callable[[], T],
    finishing: bool = False,
) -> T:
    """What `work` gives; leaves nothing behind if it is stopped. One line for what torch raises.

    `finishing`: what is nearly done is done though the drawing was cancelled.
    """
    import torch

    if not finishing:
        watch.stop_if_cancelled()
    try:
        return work()
    except (Cancelled, KeyboardInterrupt, RuntimeError) as error:
        pipeline.maybe_free_model_hooks()
        if error is watch.listeners_error:
            raise
        # Without its traceback, whose frames hold the batch's tensors: notebooks keep the last
        # error, and with it the memory of a picture that nobody will see.
        error = error.with_traceback(None)
        if isinstance(error, RuntimeError):
            kind = (
                CardMemoryError
                if isinstance(error, torch.OutOfMemoryError)
                else BackendError
            )
            raise kind(_describe_failure(batch[0], error)) from error
        raise error
    except BaseException:
        pipeline.maybe_free_model_hooks()
        raise


def _describe_failure(request: Request, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"cannot draw {quoted(request)} at {request.width}×{request.height}: {reason}"
    )
