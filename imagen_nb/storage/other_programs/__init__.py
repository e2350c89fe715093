"""stub until corpus is merged"""

from __future__ import annotations
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class ForeignMetadata:
    program: str
    prompt: str = ""
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    true_cfg: float | None = None
    sampler: str | None = None
    model: str | None = None
    loras: tuple[dict[str, Any], ...] = ()
    strength: float | None = None
    raw: dict[str, str] = field(default_factory=dict)
    not_understood: str | None = None


def read_metadata(image: Image, path: Path) -> ForeignMetadata:
    text = {k: v for k, v in image.info.items() if isinstance(v, str)}
    if "imagen_nb" in text:
        return ForeignMetadata("imagen_nb", raw=text)
    if "parameters" in text:
        import re

        p = text["parameters"]
        one = lambda n: (re.search(n + ": ([^,]+)", p) or [None, None])[1]
        return ForeignMetadata(
            "a1111",
            prompt=p.split("\n")[0],
            seed=int(one("Seed")),
            steps=int(one("Steps")),
            model=one("Model"),
            sampler=one("Sampler"),
            negative_prompt=None,
            raw=text,
        )
    return ForeignMetadata("unknown", raw=text)
