"""LoRAs: which files at which weight, hashed for records, and put into a pipeline."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.failures import (
    card_failure,
    is_cuda_broken,
    short_reason,
)
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.flux.lora_files import LORA_SUFFIX, locate_lora
from imagen_nb.backends.flux.memory.choice import explain_no_loras
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.request.validation import short_repr
from imagen_nb.system.paths import portable_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    LoraName = str | os.PathLike[str]
    Loras = (
        LoraName | tuple[LoraName, float] | Iterable[LoraName | tuple[LoraName, float]]
    )

_LORA_FORMS = (
    f"loras are {LORA_SUFFIX} files, or (file, weight) pairs, or a list of these"
)


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A file as it is now, and the weight that it has in the model."""

    path: Path
    weight: float
    sha256: str

    def recorded(self) -> dict[str, Any]:
        """Return it as records have it: `path`, `sha256`, `weight`."""
        path = portable_path(self.path)
        return {"path": path, "sha256": self.sha256, "weight": self.weight}


def validated_loras(given: Any) -> tuple[tuple[Path, float], ...]:
    """Return the paths and weights of the LoRAs that a user names; None names none.

    One is named by its path, by a folder that has no other one, or by the id of a model
    in Hugging Face's cache; its weight is 1 by default. Raise `UsageError` for anything
    else and for a file named twice, `BackendError` for an id that is not in the cache.

    Example:
        >>> validated_loras(["ink.safetensors", ("me/boats", 0.5)])
    """
    if given is None:
        return ()
    if isinstance(given, (str, os.PathLike)) or _is_weighted_lora(given):
        given = [given]
    elif isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise UsageError(f"{_LORA_FORMS}, not {given!r}")
    loras = tuple(_path_and_weight(item) for item in given)
    if len({path for path, _ in loras}) < len(loras):
        raise UsageError(
            "a LoRA is named twice: give it once, with the weights added up"
        )
    return loras


def _is_weighted_lora(given: Any) -> bool:
    """Return whether it is a file with its weight: a pair, or a list as YAML has it."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        return False
    return isinstance(given[1], (int, float)) and not isinstance(given[1], bool)


def _path_and_weight(given: Any) -> tuple[Path, float]:
    file, weight = given if _is_weighted_lora(given) else (given, 1.0)
    if not isinstance(file, (str, os.PathLike)):
        raise UsageError(f"{_LORA_FORMS}, not {given!r}")
    path = locate_lora(file)
    if path.suffix != LORA_SUFFIX:
        raise UsageError(f"{_LORA_FORMS}: {path.name} is none")
    if not math.isfinite(weight):
        raise UsageError(f"the weight of {path.name} must be a number, not {weight}")
    return path, float(weight)


def parse_lora(text: str) -> tuple[str, float]:
    """Return file and weight of `FILE` or `FILE:WEIGHT`; the weight is 1 by default."""
    file, colon, weight = text.rpartition(":")
    try:
        return (file, float(weight)) if colon else (text, 1.0)
    except ValueError:  # a colon of the name
        return text, 1.0


def hash_loras(paths: Iterable[tuple[Path, float]]) -> tuple[LoraFile, ...]:
    """Return the files as they are now; one is hashed again only when it changed.

    Raise `BackendError` when one cannot be read.
    """
    loras = []
    for path, weight in paths:
        try:
            stat = path.stat()
            sha256 = _lora_sha256(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BackendError(f"cannot read the LoRA {path}: {reason}") from None
        loras.append(LoraFile(path, weight, sha256))
    return tuple(loras)


@functools.lru_cache(maxsize=64)
def _lora_sha256(path: Path, *version: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def loras_of_record(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """Return the `loras` of a record as a user would name them: (path, weight) pairs.

    Raise `BackendError` when one is not here, or is not the file that it was.
    """
    pairs = [_recorded_lora(record) for record in records]
    for lora, record in zip(hash_loras(validated_loras(pairs)), records, strict=True):
        if record.get("sha256") not in (None, lora.sha256):
            raise BackendError(
                f"the LoRA {lora.path} is not the file that the picture was drawn "
                "with (another sha256): put that one there, or name this one with "
                "loras="
            )
    return pairs


def _recorded_lora(record: Mapping[str, Any]) -> tuple[str, float]:
    try:
        return str(record.get("path")), float(record.get("weight", 1))
    except (TypeError, ValueError, OverflowError):
        raise BackendError(
            f"the picture's record has a LoRA that is none: {short_repr(record)}"
        ) from None


def require_peft() -> None:
    """Raise `BackendError` where peft is not installed."""
    if find_spec("peft") is None:
        raise BackendError('LoRAs need peft: pip install "imagen_nb[lora]"')


def require_plan_takes_loras(plan: MemoryPlan, loras: Sequence[LoraFile]) -> None:
    """Raise `BackendError` when LoRAs cannot be put into a model held by this plan."""
    if loras and explain_no_loras(plan):
        raise BackendError(f"{explain_no_loras(plan)}; the memory plan in force has it")
    if not plan.separate:
        return
    for lora in loras:
        if _has_encoder_weights(lora.path):
            raise BackendError(
                f"the LoRA {lora.path} changes the text encoders, which the memory "
                'plan in force has apart: set memory={"text_encoders": "kept"}'
            )


def _has_encoder_weights(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()  # a list of tensor names: `file` is no dict
            return any(name.startswith(("text_encoder", "lora_te")) for name in names)
    except SafetensorError:  # loading says what is wrong
        return False


def set_loras(pipeline: DiffusionPipeline, loras: Sequence[LoraFile]) -> None:
    """Put these LoRAs into the pipeline, instead of those that it has.

    Its own weights stay as they are. Raise `BackendError` for a file that does not fit,
    `CardMemoryError` where memory is too small; then the pipeline has no LoRA.
    """
    with quietly():
        _unload_loras(pipeline)
        names = [f"lora_{number}" for number in range(len(loras))]
        for name, lora in zip(names, loras, strict=True):
            try:
                _load_adapter(pipeline, lora.path, name)
            except Exception as error:  # peft, diffusers, safetensors: of any class
                if not is_cuda_broken(error):
                    _unload_loras(pipeline)
                what = f"cannot load the LoRA {lora.path}"
                raise card_failure(error, what) or BackendError(
                    f"the LoRA {lora.path} does not fit this model: "
                    f"{short_reason(error)}"
                ) from error
        if names:
            pipeline.set_adapters(names, [lora.weight for lora in loras])


def _unload_loras(pipeline: DiffusionPipeline) -> None:
    """Take out all LoRAs; those that changed FLUX.1's transformer's shape, undone."""
    unload = pipeline.unload_lora_weights
    if "reset_to_overwritten_params" in inspect.signature(unload).parameters:
        unload(reset_to_overwritten_params=True)
    else:
        unload()


def _load_adapter(pipeline: DiffusionPipeline, path: Path, name: str) -> None:
    with warnings.catch_warnings():
        # Several LoRAs at once are intended; peft warns of the second.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        pipeline.load_lora_weights(
            str(path.parent),
            weight_name=path.name,
            adapter_name=name,
            local_files_only=True,
            use_safetensors=True,
        )
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise ValueError("none of its weights is for a layer of it")
