"""Lays out a model with random weights as its pipeline's `save_pretrained` would."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from imagen_nb.backends.flux.custom import custom_model
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.flux.memory.machine import plan_for
from imagen_nb.backends.flux.memory.plan import Machine
from imagen_nb.backends.flux.memory.words import describe_expectation, describe_machine
from imagen_nb.backends.flux.models import DEV_DEFAULTS, FLUX_DEV, Model, ModelSizes
from imagen_nb.backends.flux.random_weights.architectures import (
    ARCHITECTURES,
    Architecture,
)
from imagen_nb.backends.flux.random_weights.tokenizers import write_tokenizer
from imagen_nb.backends.flux.random_weights.weights import (
    Shard,
    network_on_no_device,
    place_weights,
    random_numbers,
    save_network_config,
    write_shard,
)
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.system.terminal import print_notice

_SPARE_GB = 1.0  # of a disk, that stay free
_FILES_AT_ONCE = 8


@contextmanager
def temporary_model(name: str, machine: Machine) -> Iterator[Model]:
    """Lay out a model in a temporary folder, and remove it after the block.

    `name`: one of `ARCHITECTURES`. Raise `UsageError` for another one, `BackendError`
    where the disk has no room for it or `machine` no memory plan; nothing is written
    then.

    Example:
        >>> with temporary_model("klein", this_machine()) as row:
        ...     timings = list(time_plans(row, this_machine()))
    """
    if name not in ARCHITECTURES:
        known = ", ".join(each for each in ARCHITECTURES if "-" not in each)
        raise UsageError(f"there are random weights of {known}, not of {name!r}")
    sizes = _sizes_of_architecture(ARCHITECTURES[name])
    with tempfile.TemporaryDirectory(prefix="imagen-random-weights-") as home:
        require_room(name, sizes, Path(home), machine)
        gb = _total_gb(sizes)
        print_notice(f"writing {gb:.1f} GB of random weights to {home} for a while")
        folder = Path(home) / name
        write_random_model(name, folder)
        yield replace(custom_model(str(folder)), title=f"{name} with random weights")


def require_room(
    name: str, sizes: Mapping[str, float], folder: Path, machine: Machine
) -> None:
    """Raise `BackendError` if a model is too large for a folder's disk, or a machine.

    `sizes`: GB of its networks.
    """
    gb = _total_gb(sizes)
    free_gb = shutil.disk_usage(folder).free / 1e9
    if gb + _SPARE_GB > free_gb:
        raise BackendError(
            f"{name} with random weights takes {gb:.1f} GB of disk, and"
            f" {folder.parent} has {free_gb:.1f} GB free: set TMPDIR to a folder with"
            " more"
        )
    if _is_ramdisk(folder):
        machine = replace(machine, ram_gb=max(0.1, machine.ram_gb - gb))
    choice = plan_for(_planned_row(ARCHITECTURES[name], sizes), {}, machine)
    if not choice.fits:
        raise BackendError(
            f"{name} is too large for {describe_machine(machine)}: it takes at least"
            f" {describe_expectation(choice.plan)} beside its files"
        )


def _is_ramdisk(folder: Path) -> bool:
    """Whether what is written to a folder takes RAM, as /tmp does on many systems."""
    import psutil

    place = folder.resolve()
    around = [
        disk
        for disk in psutil.disk_partitions(all=True)
        if place.is_relative_to(disk.mountpoint)
    ]
    nearest = max(around, key=lambda disk: len(disk.mountpoint), default=None)
    return nearest is not None and nearest.fstype in ("tmpfs", "ramfs")


def _planned_row(architecture: Architecture, sizes: Mapping[str, float]) -> Model:
    """Return the row of a model that is not written yet, with the sizes it will have."""
    row = Model(
        "flux",
        "imagen/random-weights",  # an id that no cache has
        DEV_DEFAULTS,
        FLUX_DEV.limits,
        pipeline=architecture.pipeline,
        cpu_dtype="bfloat16",
    )
    others = dict(sizes)
    return replace(
        row,
        sizes=ModelSizes(
            transformer=others.pop("transformer"),
            t5=others.pop(row.kind.large),
            vae=others.pop("vae"),
            clip=sum(others.values()),
        ),
    )


def _sizes_of_architecture(architecture: Architecture) -> dict[str, float]:
    """Return the GB of each network's files, by part."""
    with quietly():
        return {
            part: Shard(Path(), network_on_no_device(network)[1]).size / 1e9
            for part, network in architecture.networks.items()
        }


def _total_gb(sizes: Mapping[str, float]) -> float:
    return sum(sizes.values())


def write_random_model(name: str, folder: Path, shared: Path | None = None) -> None:
    """Write a model of `ARCHITECTURES` into a folder, which must not be there.

    `shared`: the folder of a model that was written so; weights of the same names and
    shapes are links to its files, as schnell's and dev's can be.
    """
    architecture = ARCHITECTURES[name]
    shards: list[Shard] = []
    with quietly():
        import diffusers

        for part, network in architecture.networks.items():
            place = folder / part
            place.mkdir(parents=True)
            made, tensors = network_on_no_device(network)
            save_network_config(made, place)
            stem = (
                "diffusion_pytorch_model" if network.library == "diffusers" else "model"
            )
            shards += place_weights(place, stem, tensors, shared and shared / part)
        for part, vocabulary in architecture.tokenizers.items():
            write_tokenizer(vocabulary, folder / part)
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**architecture.scheduler)
        scheduler.save_pretrained(folder / "scheduler")
    index = json.dumps(_model_index(architecture))
    (folder / "model_index.json").write_text(index, encoding="utf-8")
    _write_shards(shards)


def _model_index(architecture: Architecture) -> dict[str, object]:
    networks = architecture.networks.items()
    return {
        "_class_name": architecture.pipeline,
        **architecture.index,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        **{part: [network.library, network.kind] for part, network in networks},
        **{
            part: ["transformers", "PreTrainedTokenizerFast"]
            for part in architecture.tokenizers
        },
    }


def _write_shards(shards: list[Shard]) -> None:
    """Write the files, several at a time: one thread does not fill a fast disk."""
    numbers = random_numbers()
    with ThreadPoolExecutor(min(_FILES_AT_ONCE, os.cpu_count() or 1)) as pool:
        for done in [pool.submit(write_shard, shard, numbers) for shard in shards]:
            done.result()
