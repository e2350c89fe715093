"""Files of random weights, in the format and layout of a pipeline's `save_pretrained`."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.headers import load_safetensors_header
from imagen_nb.backends.flux.random_weights.architectures import Network

if TYPE_CHECKING:
    from torch import Tensor

_MAX_SHARD_BYTES = 5 * 10**9  # as the files of the true models are
_DEVIATION = 0.02  # of the weights: what FLUX's layers begin training with
_NOISE_NUMBERS = 1 << 24
_ONE_IN_BFLOAT16 = b"\x80\x3f"
_PIECE_BYTES = 1 << 24  # written at a time

Tensors = dict[str, "Tensor"]  # of a network on no device: shapes without numbers


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of weights to be written: `tensors` by name, on no device."""

    path: Path
    tensors: Tensors

    @property
    def size(self) -> int:
        """Return the bytes of its weights."""
        return sum(map(_stored_bytes, self.tensors.values()))


def network_on_no_device(network: Network) -> tuple[Any, Tensors]:
    """Return a network without numbers in it, and its weights that files hold.

    Imports diffusers or transformers.
    """
    import importlib

    import torch

    kind = getattr(importlib.import_module(network.library), network.kind)
    with torch.device("meta"):
        if network.library == "diffusers":
            made = kind.from_config(dict(network.config))
        else:
            made = kind(kind.config_class(**network.config))
    state: Tensors = made.state_dict()
    return made, {name: state[name] for name in state if name not in network.tied}


def save_network_config(made: Any, folder: Path) -> None:
    """Write the config.json of a network that `network_on_no_device` made."""
    if hasattr(made, "save_config"):
        made.save_config(folder)
    else:
        made.config.architectures = [type(made).__name__]
        made.config.save_pretrained(folder)


def place_weights(
    folder: Path, stem: str, tensors: Tensors, shared: Path | None
) -> list[Shard]:
    """Return the files that the weights of a part are still to be written to.

    `stem`: of their names. `shared`: the same part of another model; its files that
    hold nothing but these weights are linked. Where there are several files, an index
    that names them is written.
    """
    linked = _files_that_fit(shared, tensors) if shared else {}
    known = {name for names in linked.values() for name in names}
    rest = {name: tensors[name] for name in tensors if name not in known}
    groups = [*_split_by_size(rest)]
    if not linked and len(groups) == 1:
        return [Shard(folder / f"{stem}.safetensors", rest)]
    count = len(linked) + len(groups)
    names = [f"{stem}-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    own_names = names[len(linked) :]
    placed = dict(zip(linked, names, strict=False))
    for source, name in placed.items():
        (folder / name).symlink_to(source)
    shards = [
        Shard(folder / name, group)
        for name, group in zip(own_names, groups, strict=True)
    ]
    index = {each: placed[source] for source in linked for each in linked[source]}
    for shard in shards:
        index |= dict.fromkeys(shard.tensors, shard.path.name)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")
    return shards


def _files_that_fit(part: Path, tensors: Tensors) -> dict[Path, list[str]]:
    """Return the files of a part that hold only these weights, with their names."""
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    fitting = {}
    for file in sorted(part.glob("*.safetensors")):
        header = load_safetensors_header(file)
        if all(shapes.get(name) == header[name]["shape"] for name in header):
            fitting[file.resolve()] = list(header)
    return fitting


def _split_by_size(tensors: Tensors) -> Iterator[Tensors]:
    group: Tensors = {}
    size = 0
    for name, tensor in tensors.items():
        if group and size + _stored_bytes(tensor) > _MAX_SHARD_BYTES:
            yield group
            group, size = {}, 0
        group[name] = tensor
        size += _stored_bytes(tensor)
    if group:
        yield group


def _stored_bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * (2 if tensor.is_floating_point() else 8)


def random_numbers() -> bytes:
    """Return random bfloat16 numbers, 0.02 on average, that weights are cut from.

    The same ones each time. Zeros would take less time to calculate with.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    numbers = generator.standard_normal(_NOISE_NUMBERS, dtype=np.float32) * _DEVIATION
    return (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()


def write_shard(shard: Shard, numbers: bytes) -> None:
    """Write a safetensors file: norms are ones, biases zeros, all else is random.

    `numbers`: of `random_numbers`.
    """
    header: dict[str, Mapping[str, Any]] = {}
    end = 0
    for name, tensor in shard.tensors.items():
        start, end = end, end + _stored_bytes(tensor)
        header[name] = {
            "dtype": "BF16" if tensor.is_floating_point() else "I64",
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with shard.path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name, tensor in shard.tensors.items():
            _write_tensor(file.write, name, tensor, numbers)


def _write_tensor(
    write: Callable[[bytes | memoryview], object],
    name: str,
    tensor: Tensor,
    numbers: bytes,
) -> None:
    size = _stored_bytes(tensor)
    if tensor.ndim < 2 or not tensor.is_floating_point():
        is_scale = name.endswith(("weight", "running_var"))
        ones = tensor.is_floating_point() and is_scale
        write(_ONE_IN_BFLOAT16 * (size // 2) if ones else bytes(size))
        return
    # Other numbers for each name, and the same ones in every process.
    view, start = memoryview(numbers), zlib.crc32(name.encode()) % len(numbers) & ~1
    while size:
        piece = view[start : start + min(size, _PIECE_BYTES)]
        write(piece)
        size -= len(piece)
        start = (start + len(piece)) % len(numbers)
