"""Checkpoints of a training run: written whole or not at all, so that sessions can end anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None when the run is new."""
    if not path.exists():
        return None
    # With optimizers and random states, which our own run saved.
    state: dict[str, Any] = torch.load(path, "cpu", weights_only=False)  # nosec B614
    return state
