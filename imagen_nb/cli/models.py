"""`imagen models` and `imagen bench-gpu`: what can draw here, and in what memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.completion import complete_backend
from imagen_nb.cli.options import load_command_settings
from imagen_nb.errors import BackendError, UsageError, printable
from imagen_nb.system.terminal import print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.backends.flux.memory.plan import Machine
    from imagen_nb.backends.flux.models import Model
    from imagen_nb.config.settings import Settings

_ASSUMED_CAPABILITY = 8.9  # of a card named by its memory alone: a GeForce of 2022

ModelOption = Annotated[
    str,
    typer.Option(
        help="schnell, dev, krea, fill, kontext, klein, tiny, a folder or a Hugging"
        " Face id."
    ),
]


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Only this one: what it lacks, and how to get it.",
            autocompletion=complete_backend,
        ),
    ] = None,
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
    model: ModelOption = "schnell",
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
    config: options.ConfigOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the backends: which can draw here, what a picture costs, and what the others lack."""
    if name is not None and (plan or loras is not None):
        raise UsageError(
            "a name goes with neither --plan nor --loras; --model says whose plan it is"
        )
    if loras is not None:
        print_loras(loras, as_json)
        return
    settings = load_command_settings(config)
    if plan:
        print_memory_plan(
            settings, model, machine_of_options(gpu, ram, capability), as_json
        )
        return
    if (gpu, ram, capability) != (None, None, None):
        raise UsageError(
            "--gpu, --ram and --capability describe a machine for --plan: add it"
        )
    if name is None:
        print_backends(settings, as_json)
    else:
        print_backend(settings, name, as_json)


def print_backends(settings: Settings, as_json: bool) -> None:
    """Print a table of every backend; of one that cannot draw here, what it lacks."""
    from imagen_nb.backends import backend_rows

    rows = [_with_own_price(row, settings) for row in backend_rows(settings.options_of)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    _print_backend_table(rows, settings)
    if not all(row["available"] for row in rows):
        print_notice("`imagen models NAME` says how to get what one lacks")


def print_backend(settings: Settings, name: str, as_json: bool) -> None:
    """Print one backend, why it cannot draw here, and what to do then.

    `name`: that of a backend, or auto. Raises `UsageError` for any other.
    """
    from imagen_nb.backends import BACKENDS, backend_row
    from imagen_nb.backends.session import choose_backend

    chosen, why = choose_backend() if name == "auto" else (name, "")
    BACKENDS.require(chosen)
    row = _with_own_price(backend_row(chosen, settings.options_of(chosen)), settings)
    if as_json:
        print(json.dumps(row, indent=2))
        return
    _print_backend_table([row], settings)
    advice = row["reason"] or why or f"{chosen} can draw here"
    print(f"\n{printable(advice)}")


def _with_own_price(row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return a backend's row with the price that is configured, if one is."""
    price = settings.cost.prices.get(row["name"], row["cost_usd"])
    return row | {"cost_usd": price}


def _print_backend_table(rows: Iterable[Mapping[str, Any]], settings: Settings) -> None:
    from imagen_nb.storage.cost import describe_price

    cells = [
        (
            row["name"],
            "yes" if row["available"] else "no",
            "" if row["available"] else row["lacks"] or "other",
            f"{row['width']}×{row['height']}" if row["width"] else "",
            str(row["steps"] or ""),
            describe_price(settings.cost, row["cost_usd"]),
        )
        for row in rows
    ]
    print_table(("backend", "here", "lacks", "size", "steps", "price"), cells)


def print_loras(folder: Path, as_json: bool) -> None:
    """Print the LoRAs of a folder, with what their files say of themselves."""
    from imagen_nb.backends.flux.lora_files import lora_rows

    rows = lora_rows(folder)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    cells = [
        (
            row["file"],
            str(row["megabytes"] or ""),
            row["base"],
            row["error"] or row["words"],
        )
        for row in rows
    ]
    print_table(("file", "MB", "base model", "trigger words"), cells)
    if not rows:
        print_notice(f"no LoRAs (.safetensors files) in {folder}")


def print_memory_plan(
    settings: Settings, model: str, machine: Machine | None, as_json: bool
) -> None:
    """Print how a model is held in memory by this machine (None), or by another one."""
    from imagen_nb.backends.flux.memory.keys import validated_memory
    from imagen_nb.backends.flux.memory.machine import plan_for
    from imagen_nb.backends.flux.memory.words import explain_plan, plan_as_data
    from imagen_nb.backends.local_models import local_model

    row = local_model(model)
    plan = plan_for(row, validated_memory(settings.memory.given()), machine)
    if as_json:
        print(json.dumps(plan_as_data(row.recorded, plan), indent=2))
        return
    for line in explain_plan(row.recorded, plan):
        print(printable(line))


def bench_gpu(
    model: ModelOption = "schnell",
    random_weights: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Time a model of full size that need not be here, with random weights"
            " written to a temporary folder for it (klein 16 GB, the others 34): schnell,"
            " dev, krea, fill, kontext, klein; tiny, to try it without a card.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps; the model's own.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Time every memory plan that this machine's graphics card can hold, as a table to paste."""
    from imagen_nb.backends.flux.memory.machine import this_machine
    from imagen_nb.backends.flux.random_weights.architectures import TINY_MODEL
    from imagen_nb.backends.flux.random_weights.layout import temporary_model
    from imagen_nb.backends.local_models import local_model

    machine = this_machine()
    if not machine.gpu_gb and random_weights != TINY_MODEL:
        raise BackendError(
            "no CUDA graphics card here to time: `imagen models --plan --gpu 12GB` tells"
            " what would be done with one"
        )
    if random_weights is None:
        print_timings(model, local_model(model), machine, steps, as_json)
        return
    with temporary_model(random_weights, machine) as row:
        print_timings(row.recorded, row, machine, steps, as_json)


def print_timings(
    name: str, row: Model, machine: Machine, steps: int | None, as_json: bool
) -> None:
    """Time the memory plans of a model, and print the figures under a name."""
    from imagen_nb.backends.flux.bench import time_plans, timings_as_markdown

    timings = []
    for timing in time_plans(row, machine, steps):
        print_notice(f"{timing.plan}: {timing.outcome}")
        timings.append(timing)
    if as_json:
        print(json.dumps([timing.as_data() for timing in timings], indent=2))
    else:
        print(timings_as_markdown(name, machine, timings))


def machine_of_options(
    gpu: str | None, ram: str | None, capability: float | None
) -> Machine | None:
    """Return the machine that the options describe; None, which is this one, for none.

    `gpu` and `ram` are sizes as shops give them, like 12GB. What is not described, and
    the packages, are this machine's. Raises `UsageError` for what is not a size.
    """
    if gpu is None and ram is None and capability is None:
        return None
    from imagen_nb.backends.flux.memory.machine import (
        gb_as_sold,
        installed_packages,
        this_machine,
    )
    from imagen_nb.backends.flux.memory.plan import Machine
    from imagen_nb.backends.flux.memory.ram import total_ram_gb

    if gpu is None:
        machine = this_machine()
    else:
        card, _ = gb_as_sold(card=_parse_gigabytes("--gpu", gpu))
        assumed = _ASSUMED_CAPABILITY if card else 0.0
        machine = Machine(card, total_ram_gb(), assumed, installed_packages())
    if ram is not None:
        _, size = gb_as_sold(ram=_parse_gigabytes("--ram", ram))
        machine = replace(machine, ram_gb=size)
    return machine if capability is None else replace(machine, capability=capability)


def _parse_gigabytes(option: str, text: str) -> float:
    size = r"\s*(\d{1,4}(?:\.\d+)?)\s*(?:GB?|GiB)?\s*"
    match = re.fullmatch(size, text, re.IGNORECASE)
    if not match or (option == "--ram" and float(match[1]) == 0):
        raise UsageError(f"{option} is a memory's size like 12GB, not {text!r}")
    return float(match[1])
