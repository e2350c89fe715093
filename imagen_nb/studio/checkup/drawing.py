"""Checks of what draws: torch, the card, weights, the configured backend, a picture."""

from __future__ import annotations

import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.errors import BackendError
from imagen_nb.studio.checkup.row import CheckRow

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings

_TORCH_PAGE = "https://pytorch.org/get-started/locally"
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def check_torch(settings: Settings) -> Iterator[CheckRow]:
    """Yield whether torch loads, and can use the card that is here."""
    import torch

    build = _describe_build()
    what = f"{torch.__version__} for {build}"
    with warnings.catch_warnings(record=True) as told:  # why a card cannot be used
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable or not has_nvidia_card():
        yield CheckRow("torch", "good", what)
        return
    mend = f"install a torch for your driver, as {_TORCH_PAGE} says"
    if torch.version.cuda is None:
        what += ", while there is an Nvidia card"
        yield CheckRow("torch", "missing", what, mend)
        return
    reasons = [str(one.message).partition("(Triggered")[0].strip() for one in told]
    why = "; ".join(reasons) or "torch does not say why"
    yield CheckRow("torch", "wrong", f"{what}, but cannot use the card: {why}", mend)


def _describe_build() -> str:
    import torch

    if torch.version.hip is not None:
        return f"ROCm {torch.version.hip}"
    if torch.version.cuda is not None:
        return f"CUDA {torch.version.cuda}"
    return "Apple's cards" if torch.backends.mps.is_available() else "processors"


def has_nvidia_card() -> bool:
    """Return whether Nvidia's driver is on this machine."""
    return _NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None


def check_card(settings: Settings) -> Iterator[CheckRow]:
    """Yield what there is to draw with."""
    from imagen_nb.backends.flux.memory.machine import this_machine
    from imagen_nb.backends.flux.memory.words import describe_machine

    try:
        machine = this_machine(str(settings.memory.given().get("device", "")))
    except BackendError as error:
        yield CheckRow("card", "wrong", str(error), "correct or remove memory.device")
        return
    if machine.gpu_gb:
        yield CheckRow("card", "good", describe_machine(machine))
        return
    mend = (
        "`imagen models --plan --gpu 12GB` tells what a card of that size would hold;"
        " flux-schnell-replicate draws without one"
    )
    yield CheckRow("card", "missing", describe_machine(machine), mend)


def check_weights(settings: Settings) -> Iterator[CheckRow]:
    """Yield which models of FLUX are on this machine, and which of them are not whole."""
    from imagen_nb.backends.flux.models import FLUX_SCHNELL, LOCAL_MODELS
    from imagen_nb.backends.flux.weights import (
        explain_incomplete,
        explain_missing,
        locate_weights,
    )

    folders = {row.name: locate_weights(row) for row in LOCAL_MODELS}
    here = {name: folder for name, folder in folders.items() if folder}
    torn = {name: explain_incomplete(folder) for name, folder in here.items()}
    for row in LOCAL_MODELS:
        if torn.get(row.name):
            what = f"{row.name} is not whole: {torn[row.name]}"
            yield CheckRow("weights", "wrong", what, explain_missing(row))
    whole = [name for name in here if not torn[name]]
    if whole:
        yield CheckRow("weights", "good", ", ".join(whole))
    elif not here:
        what = "flux-tiny-local, which is in the package; no others"
        yield CheckRow("weights", "missing", what, explain_missing(FLUX_SCHNELL))


def check_backend(settings: Settings) -> Iterator[CheckRow]:
    """Yield whether the configured backend can draw."""
    from imagen_nb.backends import is_remote, make_backend
    from imagen_nb.backends.session import describe_backend

    name, options = settings.backend_choice()
    options = settings.options_of(name) | options
    if name != "auto" and not is_remote(name):
        state = make_backend(name, **options).availability()
        if not state.available:
            yield CheckRow("backend", "wrong", name, state.reason, needed=True)
            return
    yield CheckRow("backend", "good", describe_backend(name, **options))


def check_picture(settings: Settings) -> Iterator[CheckRow]:
    """Yield that the embedded model draws: a picture in memory, kept nowhere.

    Raise what drawing raises.
    """
    from imagen_nb.backends import make_backend
    from imagen_nb.backends.tiny import FLUX_TINY
    from imagen_nb.request.request import resolve

    backend = make_backend(FLUX_TINY.name)
    request = resolve(
        "a red boat at sunset",
        defaults=backend.defaults,
        limits=backend.limits,
        seed=11,
        steps=1,
    )
    began = time.monotonic()
    (drawn,) = backend.draw([request], None, threading.Event())
    width, height = drawn.image.size
    seconds = time.monotonic() - began
    what = f"{backend.name} drew {width} × {height} pixels"
    what += f", in {seconds:.1f} s with loading"
    yield CheckRow("drawing", "good", what)
