"""`backend: auto`: the best model that can draw here."""

from __future__ import annotations

from imagen_nb.backends import make_backend
from imagen_nb.backends.models import FLUX_SCHNELL

OFFLOADED_GB = 24.0  # bf16 transformer with the text encoders offloaded: the least for comfort


def choose() -> tuple[str, str]:
    """The name of the backend to draw with, and one line that says why (empty: nothing to say)."""
    if not make_backend(FLUX_SCHNELL.name).availability().available:
        return "flux-tiny-local", _tiny("the weights of FLUX.1-schnell are not on this machine")
    import torch  # 2 s: only when there are weights that a GPU could draw with

    if not torch.cuda.is_available():
        return "flux-tiny-local", _tiny("there is no GPU for FLUX.1-schnell")
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    if memory_gb < OFFLOADED_GB:
        short = f"the GPU has {memory_gb:.0f} GB, and FLUX.1-schnell needs {OFFLOADED_GB:g}"
        return "flux-tiny-local", _tiny(short)
    return FLUX_SCHNELL.name, ""


def _tiny(reason: str) -> str:
    return f"drawing with flux-tiny-local, the small embedded model: {reason} (see `imagen models`)"
