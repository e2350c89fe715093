"""Writes the tables of docs/models.md that follow from code: memory plans and what can be set.

python tools/plan_docs.py            write them
python tools/plan_docs.py --check    exit 1 when they are stale
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from imagen_nb.backends.flux.memory.choice import PlanChoice, choose_plan
from imagen_nb.backends.flux.memory.estimate import estimate_memory
from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS
from imagen_nb.backends.flux.memory.machine import gb_as_sold
from imagen_nb.backends.flux.memory.plan import (
    FAST_PLANS,
    MEMORY_PLANS,
    Machine,
    MemoryPlan,
)
from imagen_nb.backends.flux.memory.storages import PACKAGES
from imagen_nb.backends.flux.memory.words import (
    STORAGE_TEXTS,
    TEXT_ENCODER_TEXTS,
    describe_places,
)
from imagen_nb.backends.flux.models import FLUX_12B, LOCAL_MODELS, Model
from imagen_nb.backends.tiny import FLUX_TINY

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
CARDS = (0, 6, 8, 12, 16, 24, 32, 40, 80)
RAMS = (16, 32, 64)
CAPABILITY = 8.9


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---" for _ in head], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plan(card: float, ram: float, packages: Iterable[str]) -> PlanChoice | None:
    """The plan for FLUX.1 on a machine as sold; None where nothing fits."""
    gpu_gb, ram_gb = gb_as_sold(card, ram)
    capability = CAPABILITY if card else 0.0
    machine = Machine(gpu_gb, ram_gb, capability, frozenset(packages))
    found = choose_plan(machine, FLUX_12B, MemoryPlan(dtype="bfloat16"))
    return found if isinstance(found, PlanChoice) and found.fits else None


def machines() -> str:
    """Which plan for which machine, and what it is expected to take."""
    head = [
        "Card",
        *(f"{ram} GB of RAM" for ram in RAMS),
        "64 GB, no package installed",
    ]
    rows = []
    for card in CARDS:
        wanted = [(ram, PACKAGES) for ram in RAMS] + [(RAMS[-1], ())]
        cells = [said(plan(card, ram, packages)) for ram, packages in wanted]
        rows.append([f"{card} GB" if card else "none", *cells])
    return table(head, rows)


def said(found: PlanChoice | None) -> str:
    if found is None:
        return "nothing fits"
    card = f"{found.plan.gpu_gb:.1f} + " if found.plan.gpu_gb else ""
    return f"`{found.plan.name}` {card}{found.plan.ram_gb:.1f}"


def rows() -> str:
    """What each plan does."""
    lines = []
    for name, row in MEMORY_PLANS.items():
        one = MemoryPlan(name=name, **row)
        places = (
            "stay where they draw" if one.offload == "none" else describe_places(one)
        )
        encoders = (
            "as the others"
            if one.text_encoders == "offloaded"
            else TEXT_ENCODER_TEXTS[one.text_encoders]
        )
        tiles = "in tiles" if one.vae_tiling else "whole"
        lines.append(
            (f"`{name}`", STORAGE_TEXTS[one.quantization], places, encoders, tiles)
        )
    return table(
        ("Plan", "Weights", "Transformer, VAE", "Text encoders", "Decoding"), lines
    )


def fast_rows() -> str:
    """What each fast plan does, and what it is expected to take of a card."""
    gpu_gb, ram_gb = gb_as_sold(80, 64)
    machine = Machine(gpu_gb, ram_gb, CAPABILITY, frozenset(PACKAGES))
    lines = []
    for name, row in FAST_PLANS.items():
        one = MemoryPlan(name=name, **row)
        cost = estimate_memory(one, FLUX_12B, machine)
        places = (
            "stay where they draw" if one.offload == "none" else describe_places(one)
        )
        fused = "fused" if one.fused_qkv else "as it is"
        weights = STORAGE_TEXTS[one.quantization]
        takes = f"{cost.gpu_gb:.1f} + {cost.ram_gb:.1f}"
        lines.append((f"`{name}`", weights, places, fused, takes))
    head = ("Plan", "Weights", "Transformer, VAE", "Q, K and V", "GB of card + RAM")
    return table(head, lines)


def keys() -> str:
    """What a user may set."""
    return table(
        ("Key", "Takes", "What it does"),
        [(f"`{name}`", key.takes, key.does) for name, key in MEMORY_KEYS.items()],
    )


def models() -> str:
    """What there is to draw with here, and how to come by it."""
    head = (
        "Backend",
        "Weights",
        "Licence",
        "Download",
        "Steps, guidance",
        "Takes besides",
    )
    lines = [
        ("`flux-tiny-local`", "in the package", "Apache-2.0", "none", *drawn(FLUX_TINY))
    ]
    for row in LOCAL_MODELS:
        asked = ", after you accepted it on its page" if row.gated else ""
        download = f"{row.download_gb} GB{asked}"
        lines.append((f"`{row.name}`", row.source, row.licence, download, *drawn(row)))
    return table(head, lines)


def drawn(row: Model) -> tuple[str, str]:
    takes = row.kind.takes
    options = [
        f"{name} (needed)" if name in takes.needs else name for name in takes.options
    ]
    return f"{row.defaults.steps}, {row.defaults.guidance:g}", ", ".join(options)


TABLES: dict[str, Callable[[], str]] = {
    "models": models,
    "machines": machines,
    "rows": rows,
    "fast": fast_rows,
    "keys": keys,
}


def page(text: str) -> str:
    """The page with its tables as they are now."""
    for name, made in TABLES.items():
        found = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        content = made()
        text, count = found.subn(lambda m, c=content: f"{m[1]}{c}\n{m[2]}", text)
        if count != 1:
            raise SystemExit(f"{PAGE.name} has no place for the table {name}")
    return text


def main() -> int:
    """Write the tables, or say whether they are stale."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        stale = text != page(text)
        if stale:
            print(
                f"{PAGE.name} is stale: run python tools/plan_docs.py", file=sys.stderr
            )
        return int(stale)
    PAGE.write_text(page(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
