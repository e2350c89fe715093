"""`backend: auto`: the best model that can draw here."""

from __future__ import annotations

from typing import Any

from imagen_nb.backends import make_backend
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.words import describe_machine
from imagen_nb.backends.flux.models import FLUX_SCHNELL

_SLOW_OFFLOADS = ("group", "sequential")  # offloads that nobody would call comfortable


def choose_backend() -> tuple[str, str]:
    """The name of the backend to draw with, and one line that says why (empty: nothing to say)."""
    if not make_backend(FLUX_SCHNELL.name).availability().available:
        return "flux-tiny-local", _explain_tiny(
            "the weights of FLUX.1-schnell are not on this machine"
        )
    import torch  # 2 s: only when there are weights that a GPU could draw with

    if not torch.cuda.is_available():
        return "flux-tiny-local", _explain_tiny("there is no GPU for FLUX.1-schnell")
    found = plan_for(FLUX_SCHNELL, {})
    if not found.fits or found.plan.offload in _SLOW_OFFLOADS:
        short = f"{describe_machine(found.machine)} is too little for FLUX.1-schnell"
        return "flux-tiny-local", _explain_tiny(short)
    return FLUX_SCHNELL.name, ""


def _explain_tiny(reason: str) -> str:
    return f"drawing with flux-tiny-local, the small embedded model: {reason} (see `imagen models`)"


def describe_backend(name: str, **options: Any) -> str:
    """What draws when `name` (auto, too) is configured, in one line, with the reason if nothing."""
    if name == "auto":
        from imagen_nb.backends.auto import choose_backend

        name, why = choose_backend()
        return f"auto: {why or name}"
    state = make_backend(name, **options).availability()
    return name if state.available else f"{name}: {state.reason}"
