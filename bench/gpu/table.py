"""The figures as a Markdown table, with what they were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import time
from collections.abc import Iterable
from typing import Any

from imagen_nb.backends.flux.memory.estimate import CONTEXT_GB

LIBRARIES = (
    *("torch", "diffusers", "transformers", "accelerate"),
    *("torchao", "bitsandbytes", "gguf", "peft"),
)
COLUMNS = {
    "model": "model",
    "case": "case",
    "expected_gb": "expected GB",
    "peak_gb": "peak GB",
    "expected_share": "expected/peak",
    "peak_reserved_gb": "reserved GB",
    "first_s": "first s",
    "new_prompt_s": "new prompt s",
    "picture_s": "picture s",
    "bare_s": "bare s",
    "ratio": "ours/bare",
    "gap_ms": "gap ms",
    "kept_on_thread_s": "kept s",
    "overlap": "overlap",
    "callbacks_ms_a_step": "callback ms",
    "callback_ahead_ms": "ahead ms",
    "previews_ms_a_step": "preview ms",
    "cancel_s": "cancel s",
    "after_cancel_gb": "after cancel GB",
    "plan_after": "plan after",
    "bad": "bad",
    "wall_s": "wall s",
    "error": "error",
}


def with_ratios(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what follows from its figures."""
    more = {}
    if row.get("bare_s") and row.get("picture_s"):
        more["ratio"] = row["picture_s"] / row["bare_s"]
    if row.get("peak_gb"):  # torch's, without what CUDA itself takes
        more["expected_share"] = (row["expected_gb"] - CONTEXT_GB) / row["peak_gb"]
    if row.get("png_ms") and row.get("picture_s"):
        # 1: making a PNG on a thread cost the drawing nothing. 0: as if done in between.
        more_s = row["kept_on_thread_s"] - row["picture_s"]
        more["overlap"] = 1 - more_s / (row["png_ms"] / 1e3)
    return row | more


def as_markdown(rows: Iterable[dict[str, Any]], about: str) -> str:
    lines = [about, "", _line(COLUMNS.values()), "|" + "---|" * len(COLUMNS)]
    for row in map(with_ratios, rows):
        lines.append(_line(_cell(row.get(name)) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return str("" if value is None else value).replace("|", "/")[:160]


def describe_setup() -> str:
    """The card, the cores, the versions and the day, in a line."""
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        card = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        card = "no nvidia-smi"
    versions = ", ".join(map(_version, LIBRARIES))
    day = time.strftime("%Y-%m-%d")
    return f"{card}; {os.cpu_count()} cores; {versions}; {day}"


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {name}"
