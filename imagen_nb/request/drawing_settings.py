"""The settings of a drawing that are kept as text: of a preset, and of a queue's request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class DrawingSettings(BaseModel):
    """Arguments of `Studio.generate` by name; None, or nothing, is not given.

    `loras`: files with their weights.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    backend: str | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    true_cfg: float | None = None
    strength: float | None = None
    scheduler: str | None = None
    loras: tuple[tuple[str, float], ...] = ()
    tags: tuple[str, ...] = ()
