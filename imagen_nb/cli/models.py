"""`imagen models --plan` and `imagen bench-gpu`: how a model is held in memory."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import settings_of
from imagen_nb.errors import BackendError, UsageError, safe
from imagen_nb.system.terminal import complain, print_table

if TYPE_CHECKING:
    from imagen_nb.backends.flux.memory.plan import Machine
    from imagen_nb.backends.flux.models import Model
    from imagen_nb.config.settings import Settings

LIKELY = (
    8.9  # the capability of a card that is only named by its memory: a GeForce of 2022
)
Named = Annotated[
    str,
    typer.Option(
        help="schnell, dev, krea, fill, kontext, klein, tiny, a folder or a Hugging Face id."
    ),
]


def explain(
    settings: Settings, model: str, gpu: str | None, ram: str | None, capability: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the memory plan of a model, for this machine or the one that is described."""
    from imagen_nb.backends.flux.memory.keys import checked
    from imagen_nb.backends.flux.memory.machine import plan_for
    from imagen_nb.backends.flux.memory.words import as_data, explained

    row = row_of(model)
    found = plan_for(
        row, checked(settings.memory.given()), described(gpu, ram, capability)
    )
    title = row.recorded
    if as_json:
        print(json.dumps(as_data(title, found), indent=2))
        return
    for line in explained(title, found):
        print(safe(line))


def row_of(model: str) -> Model:
    """The row of a model as `--model` names it."""
    from imagen_nb.backends.flux.custom import custom_model
    from imagen_nb.backends.flux.models import LOCAL, short
    from imagen_nb.backends.tiny import FLUX_TINY

    known = (*LOCAL, FLUX_TINY)
    rows = {short(row): row for row in known} | {row.name: row for row in known}
    return rows[model] if model in rows else custom_model(model)


def described(
    gpu: str | None, ram: str | None, capability: float | None
) -> Machine | None:
    """The machine that the options describe, with the packages of this one; None is this one."""
    if gpu is None and ram is None and capability is None:
        return None
    from imagen_nb.backends.flux.memory.machine import (
        installed,
        ram_gb,
        sold_as,
        this_machine,
    )
    from imagen_nb.backends.flux.memory.plan import Machine

    if gpu is None:
        here = this_machine()
    else:
        card, _ = sold_as(card=_gigabytes("--gpu", gpu))
        here = Machine(card, ram_gb(), LIKELY if card else 0.0, installed())
    if ram is not None:
        here = replace(here, ram_gb=sold_as(ram=_gigabytes("--ram", ram))[1])
    return here if capability is None else replace(here, capability=capability)


def _gigabytes(option: str, text: str) -> float:
    found = re.fullmatch(
        r"\s*(\d{1,4}(?:\.\d+)?)\s*(?:GB?|GiB)?\s*", text, re.IGNORECASE
    )
    if not found or (option == "--ram" and float(found[1]) == 0):
        raise UsageError(f"{option} is a memory's size like 12GB, not {text!r}")
    return float(found[1])


def bench_gpu(
    model: Named = "schnell",
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps; the model's own.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Time every memory plan that this machine's graphics card can hold, as a table to paste."""
    from imagen_nb.backends.flux.bench import markdown, timed
    from imagen_nb.backends.flux.memory.machine import this_machine

    machine = this_machine()
    if not machine.gpu_gb:
        raise BackendError(
            "no CUDA graphics card here to time: `imagen models --plan --gpu 12GB` tells what would"
            " be done with one"
        )
    rows = []
    for row in timed(row_of(model), machine, steps):
        complain(f"{row.plan}: {row.outcome}")
        rows.append(row)
    if as_json:
        print(json.dumps([row.as_data() for row in rows], indent=2))
    else:
        print(markdown(model, machine, rows))


def models(
    loras: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="List the LoRAs in a folder instead, with their trigger words.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Explain instead how a model is held in memory here."
        ),
    ] = False,
    model: Named = "schnell",
    gpu: Annotated[
        str | None,
        typer.Option(
            help="With --plan: for a card of this size, like 12GB; 0 is none."
        ),
    ] = None,
    ram: Annotated[
        str | None, typer.Option(help="With --plan: for this RAM, like 32GB.")
    ] = None,
    capability: Annotated[
        float | None,
        typer.Option(help="With --plan: for this CUDA compute capability, like 8.6."),
    ] = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the backends: which can draw here, what a picture costs, and what the others lack."""
    from imagen_nb.backends import listed_backends
    from imagen_nb.storage.cost import describe_price

    if loras is not None:
        list_loras(loras, as_json)
        return
    settings = settings_of(config)
    if plan:
        explain(settings, model, gpu, ram, capability, as_json)
        return
    if (gpu, ram, capability) != (None, None, None):
        raise UsageError(
            "--gpu, --ram and --capability describe a machine for --plan: add it"
        )
    rows = listed_backends(settings.options_of)
    for row in rows:
        row["cost_usd"] = settings.cost.prices.get(row["name"], row["cost_usd"])
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ("backend", "here", "size", "steps", "price"),
        [
            (
                row["name"],
                "yes" if row["available"] else "no",
                f"{row['width']}×{row['height']}" if row["width"] else "",
                str(row["steps"] or ""),
                describe_price(settings.cost, row["cost_usd"]),
            )
            for row in rows
        ],
    )
    for row in rows:  # below the table, where a narrow terminal has room for them
        if row["reason"]:
            print(f"\n{row['name']}: {safe(row['reason'])}")


def list_loras(folder: Path, as_json: bool) -> None:
    """The LoRAs of a folder, with what their files say of themselves."""
    from imagen_nb.backends.flux.lora_files import listed

    rows = listed(folder)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ("file", "MB", "base model", "trigger words"),
        [
            (
                row["file"],
                str(row["megabytes"] or ""),
                row["base"],
                row["error"] or row["words"],
            )
            for row in rows
        ],
    )
    if not rows:
        complain(f"no LoRAs (.safetensors files) in {folder}")
