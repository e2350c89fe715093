"""The phases of drawing: what goes through them together, and how one is stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from imagen_nb.backends.flux.drawing.calls import Batch
from imagen_nb.backends.flux.drawing.prompts import MAX_CACHED_PROMPTS, texts_of
from imagen_nb.backends.flux.drawing.watch import StepCallback
from imagen_nb.backends.flux.failures import is_cuda_broken, torch_error
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.pipelines import PipelineKind
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request.request import Request, describe_request

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

T = TypeVar("T")
MAX_PICTURES_PER_PART = 256  # 0.5 MB of latents each, at 1024 × 1024


def batches_of(requests: Sequence[Request], size: int) -> Iterator[Batch]:
    """Yield consecutive requests that can be denoised together, at most `size` each."""
    for _, group in itertools.groupby(requests, key=_batch_key):
        alike = list(group)
        yield from (alike[i : i + size] for i in range(0, len(alike), size))


def _batch_key(request: Request) -> tuple[object, ...]:
    """All arguments of a pipeline's call that are one for the whole batch."""
    return (
        request.width,
        request.height,
        request.steps,
        request.guidance,
        request.max_sequence_length,
        request.strength,
        request.true_cfg,
        request.scheduler,
        request.init_image,
        request.mask,
    )


def parts_of(
    requests: Sequence[Request], plan: MemoryPlan, kind: PipelineKind
) -> Iterator[list[Batch]]:
    """Yield the batches that go through each phase together, in their order.

    Where no weights move between the phases, that is one batch. Otherwise it is as many
    as have `MAX_CACHED_PROMPTS` different prompts or `MAX_PICTURES_PER_PART` pictures:
    what waits for its turn takes the same memory however many requests there are. One
    pipeline class draws all of a part.
    """
    part: list[Batch] = []
    prompts: set[tuple[str, int]] = set()
    for batch in batches_of(requests, plan.batch):
        added = _prompts_of(batch)
        too_many_prompts = len(prompts | added) > MAX_CACHED_PROMPTS
        pictures = sum(map(len, part)) + len(batch)
        full = too_many_prompts or pictures > MAX_PICTURES_PER_PART
        if part and (full or not plan.phased or not _same_drawer(kind, part[0], batch)):
            yield part
            part, prompts = [], set()
        part.append(batch)
        prompts |= added
    if part:
        yield part


def _prompts_of(batch: Batch) -> set[tuple[str, int]]:
    """The texts that a batch encodes, each with its sequence length."""
    return {(text, one.max_sequence_length) for one in batch for text in texts_of(one)}


def _same_drawer(kind: PipelineKind, one: Batch, other: Batch) -> bool:
    return kind.drawer(one[0]) == kind.drawer(other[0])


@contextmanager
def keep_on_card(pipeline: DiffusionPipeline, plan: MemoryPlan) -> Iterator[None]:
    """Keep the weights of one phase where they are between the pipeline's calls.

    With model offload, the end of each call would send them back to RAM.
    """
    if plan.offload != "model":
        yield
        return
    pipeline.maybe_free_model_hooks = pipeline.transformer._reset_stateful_cache
    try:
        yield
    finally:
        del pipeline.maybe_free_model_hooks  # the class's own is in force again


def run_guarded(
    pipeline: DiffusionPipeline,
    batch: Batch,
    callback: StepCallback,
    call: Callable[[], T],
    finishing: bool = False,
) -> T:
    """Return what `call` gives for a batch; leave nothing on the card if it fails.

    `finishing`: go on though the drawing was cancelled, as the batch is nearly done.
    Raise `Cancelled`, `CardMemoryError` or `BackendError` for what torch raises; what
    the listener of the progress raised passes as it is.
    """
    if not finishing:
        callback.stop_if_cancelled()
    try:
        return call()
    except (Cancelled, KeyboardInterrupt, RuntimeError, MemoryError) as error:
        send_weights_home(pipeline, error)
        if error is callback.listeners_error:
            raise
        # Without the traceback, whose frames hold the batch's tensors: notebooks keep
        # the last error, and with it the memory of a picture that nobody will see.
        error = error.with_traceback(None)
        if isinstance(error, (RuntimeError, MemoryError)):
            raise _error_of_torch(error, batch) from error
        raise error
    except BaseException as error:
        send_weights_home(pipeline, error)
        raise


def send_weights_home(pipeline: DiffusionPipeline, error: BaseException) -> None:
    """Send what model offload has on the card to RAM, after an error.

    Not where CUDA is broken: that would fail too, and hide the error. By the class's
    own method: that of the pipeline may be replaced, see `keep_on_card`.
    """
    if not is_cuda_broken(error):
        type(pipeline).maybe_free_model_hooks(pipeline)


def _error_of_torch(error: Exception, batch: Batch) -> BackendError:
    first = batch[0]
    what = f"cannot draw {describe_request(first)} at {first.width}×{first.height}"
    return torch_error(error, what, len(batch))
