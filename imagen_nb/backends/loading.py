"""Loads pipelines: from files that are here, quietly, onto the GPU if there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.backends.models import Model
from imagen_nb.backends.weights import found, lacking, missing_line
from imagen_nb.errors import BackendError

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, FluxPipeline

_ADVISERS = ("torchao", "torch.utils._pytree")  # loggers of what diffusers loads where it is there
SPARE = 1.1  # of the weights' size: what one picture needs beside them


def whole_folder(row: Model) -> Path:
    """The folder of a row's weights. Raises `BackendError` when it is missing or incomplete."""
    folder = found(row)
    if folder is None or lacking(folder):
        raise BackendError(missing_line(row))
    return folder


def load(row: Model) -> FluxPipeline:
    """The pipeline of a row, on the GPU if there is one. Never downloads.

    Raises `BackendError` when the weights are missing or no FLUX pipeline.
    """
    folder = whole_folder(row)
    with quietly():
        import torch
        from diffusers import FluxPipeline

        on_gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if on_gpu else getattr(torch, row.cpu_dtype)
        try:
            pipeline = FluxPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except Exception as error:  # four libraries read files here, each with errors of its own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BackendError(
                f"cannot load {row.source} ({reason}): save or fetch it again"
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        if on_gpu:
            _to_gpu(pipeline, row)
    return pipeline


def load_vae(row: Model) -> AutoencoderKL:
    """Another copy of a row's VAE, in float32 on the CPU: free of the pipeline's lock."""
    with quietly():
        import torch
        from diffusers import AutoencoderKL

        return AutoencoderKL.from_pretrained(
            whole_folder(row), subfolder="vae", dtype=torch.float32, local_files_only=True
        )


def _to_gpu(pipeline: FluxPipeline, row: Model) -> None:
    import torch

    free, _ = torch.cuda.mem_get_info()
    if free < row.memory_gb * SPARE * 1e9:
        pipeline.enable_model_cpu_offload()
    else:
        pipeline.to("cuda")


@contextmanager
def quietly() -> Iterator[None]:
    """No bars and no advice from diffusers, transformers and what they load; errors still show.

    Their advice is for programmers, and it would print prompts, which are untrusted, as they are.
    """
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    advisers = [(it, it.level) for it in map(logging.getLogger, _ADVISERS)]
    before = [
        (it, it.get_verbosity(), it.is_progress_bar_enabled()) for it in (diffusers, transformers)
    ]
    for library, _, _ in before:
        library.set_verbosity_error()
        library.disable_progress_bar()
    for adviser, _ in advisers:
        adviser.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for library, verbosity, had_bar in before:
            library.set_verbosity(verbosity)
            if had_bar:
                library.enable_progress_bar()
        for adviser, level in advisers:
            adviser.setLevel(level)
