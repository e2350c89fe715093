"""What is timed on a card: one row for each case, the most telling first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Case:
    """One model held in memory in one way.

    `plan`: a row of MEMORY_PLANS, or `fast`, the first of FAST_PLANS that works here. `more`:
    further keys of `memory`. `changes`: names of CHANGES, which the package itself has no key for.
    `pictures`: of the steady run. `steps`: None for the model's own. `deep`: callbacks, previews
    and cancelling are timed too. `cap_gb`: what torch may take of the card, for a real lack of
    memory; then the package chooses the plan. `limit_s`: seconds after which the case is stopped.
    """

    model: str
    name: str
    plan: str = "whole"
    more: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    pictures: int = 3
    steps: int | None = None
    deep: bool = False
    cap_gb: float = 0.0
    limit_s: float = 75.0

    @property
    def key(self) -> str:
        return f"{self.model}:{self.name}"

    @property
    def compiles(self) -> bool:
        compiled = self.more.get("compile") or self.plan == "fast"
        return bool(compiled) or "vae-compile" in self.changes

    def tiny(self) -> Case:
        """The same for a small model on a CPU that others use too."""
        return replace(
            self, pictures=min(self.pictures, 2), cap_gb=0.0, limit_s=4 * self.limit_s
        )


_COMPILE = {"compile": True}
_BATCH_OF_4 = {"batch": 4, "vae_slicing": True}
_ALWAYS_CACHED = {"first_block_cache": 1e9}
_CUDNN = {"attention": "cudnn"}
_FUSED = {**_CUDNN, "fused_qkv": True}
# What the time is not enough for is left out from the end.
CASES = [
    Case("schnell", "whole", deep=True, pictures=4, limit_s=110),
    Case("klein", "whole", deep=True, pictures=4, limit_s=90),
    Case("schnell", "compile", more=_COMPILE, pictures=4, limit_s=120),
    Case("schnell", "fp8", "fp8"),
    Case("schnell", "offloaded", "offloaded", deep=True, limit_s=90),
    Case("schnell", "freed", "freed", pictures=2, limit_s=90),
    Case("schnell", "nf4", "nf4"),
    Case("schnell", "int8", "int8"),
    Case("dev", "whole", pictures=1, limit_s=70),
    # Goal: 1.8 times as fast as `whole`. How often its cache skips depends on true weights.
    Case("dev", "fast", "fast", pictures=1, limit_s=130),
    Case(
        "dev",
        "fast-uncached",
        "fast",
        more={"first_block_cache": 0.0},
        pictures=1,
        limit_s=130,
    ),
    Case("schnell", "group", "group", pictures=1, limit_s=90),
    Case("schnell", "cudnn+fuse+cl", more=_FUSED, changes=("channels-last",)),
    Case(
        "schnell",
        "fp8dyn+compile+all",
        more={"quantization": "fp8-dynamic", **_FUSED, **_COMPILE},
        changes=("channels-last",),
        limit_s=130,
    ),
    Case("klein", "compile", more=_COMPILE, pictures=4, limit_s=100),
    Case("schnell", "oom-at-36GB", cap_gb=36.0, pictures=1),
    Case("schnell", "cudnn", more=_CUDNN),
    Case("schnell", "batch4", more=_BATCH_OF_4, pictures=4),
    Case("klein", "batch4", more=_BATCH_OF_4, pictures=8),
    # How often a cache skips depends on true weights: these two bound its time.
    Case("dev", "fbc-never", more={"first_block_cache": 1e-9}, pictures=1, steps=10),
    Case("dev", "fbc-always", more=_ALWAYS_CACHED, pictures=1, steps=10),
    Case(
        "schnell",
        "layerwise-offloaded",
        "layerwise-offloaded",
        pictures=1,
        limit_s=120,
    ),
    Case("schnell", "fp8-offloaded", "fp8-offloaded", pictures=2),
    Case("schnell", "nf4-offloaded", "nf4-offloaded", pictures=2),
    Case("schnell", "whole-tiled", "whole-tiled", pictures=2),
    Case("klein", "nf4", "nf4", pictures=2),
    Case("klein", "int8", "int8", pictures=2),
    Case("klein", "fp8", "fp8", pictures=2),
    Case("klein", "offloaded", "offloaded", pictures=2),
    Case("schnell", "int8+compile", "int8", more=_COMPILE, pictures=2, limit_s=120),
    Case(
        "schnell",
        "fbc-always+compile",
        more=_COMPILE | _ALWAYS_CACHED,
        pictures=2,
        limit_s=120,
    ),
    Case("schnell", "vae-compile", changes=("vae-compile",), limit_s=110),
    Case("schnell", "int8-offloaded", "int8-offloaded", pictures=2),
    Case("schnell", "int8-freed", "int8-freed", pictures=2),
    Case("schnell", "nf4-freed", "nf4-freed", pictures=2),
    Case("schnell", "freed-tiled", "freed-tiled", pictures=1),
    Case("schnell", "group-layerwise", "group-layerwise", pictures=1, limit_s=120),
    Case(
        "schnell",
        "layerwise+compile",
        "layerwise-offloaded",
        more=_COMPILE,
        pictures=1,
        limit_s=90,
    ),
    Case("schnell", "sequential", "sequential", pictures=1, limit_s=120),
    # The same by another way, for machines with less RAM; and by a second card, if there is one.
    Case("schnell", "group-slow", "group-slow", pictures=1, limit_s=120),
    Case(
        "schnell",
        "group-layerwise-slow",
        "group-layerwise-slow",
        pictures=1,
        limit_s=120,
    ),
    Case("schnell", "two-cards", "two-cards", pictures=1, limit_s=90),
]


def chosen_cases(names: str) -> list[Case]:
    """The cases that `names` asks for, with commas: MODEL:CASE, MODEL or :CASE; "" is all."""
    wanted = {one for one in names.split(",") if one}
    return [
        case
        for case in CASES
        if not wanted or {case.key, case.model, f":{case.name}"} & wanted
    ]
