"""Locates a model's weights on this machine, or explains how to fetch them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.pipelines import PIPELINE_KINDS
from imagen_nb.errors import BackendError

HUGGING_FACE_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHT_PATTERNS = ("*.safetensors", "*.bin")


def locate_weights(row: Model) -> Path | None:
    """Return the folder of a row's weights, its own or Hugging Face's cache, or None.

    Looks at files only. The folder may lack parts: see `explain_incomplete`.
    """
    if row.folder is not None:
        return row.folder if row.folder.is_dir() else None
    # Takes 0.1 s: only for a Hugging Face id.
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(row.source, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def explain_incomplete(folder: Path) -> str:
    """Return what a folder lacks of a whole FLUX pipeline; empty when nothing."""
    try:
        index = load_json_object(folder / "model_index.json")
    except BackendError as error:
        return str(error)
    kind = PIPELINE_KINDS.get(str(index.get("_class_name")))
    if kind is None:
        name, known = index.get("_class_name"), ", ".join(PIPELINE_KINDS)
        return f"its model_index.json is of {name}, not of one of {known}"
    parts = (*kind.networks, *kind.others)
    incomplete = [
        name
        for name in parts
        if not _is_part_complete(folder / name, name in kind.networks)
    ]
    if not incomplete:
        return ""
    return f"it lacks all or some of {', '.join(incomplete)}"


def explain_missing(row: Model) -> str:
    """Return one line: what is missing, its size and licence, and how to fetch it."""
    folder = locate_weights(row)
    reason = "there is no such folder" if folder is None else explain_incomplete(folder)
    if row.folder is not None:
        return (
            f"no FLUX pipeline in {row.folder} ({reason}): name a folder that "
            "a FLUX pipeline's save_pretrained wrote"
        )
    state = f"are not all here, as {reason}" if folder else "are not on this machine"
    return f"the weights of {row.source} {state} ({_terms(row)}): {_how_to_fetch(row)}"


def _terms(row: Model) -> str:
    size = f"{row.download_gb:g} GB, " if row.download_gb else ""
    return f"{size}licence {row.licence or 'on its Hugging Face page'}"


def _how_to_fetch(row: Model) -> str:
    # The same weights once more in another layout, 24 GB of them, are excluded.
    command = f'run `hf download {row.source} --exclude "{row.fetched_without}"`'
    if not row.gated:
        return command
    return (
        "accept the licence on its Hugging Face page, run `hf auth login`, "
        f"then {command}"
    )


def weight_files(part: Path) -> list[Path]:
    """Return the files with weights in the folder of one part."""
    return [file for pattern in _WEIGHT_PATTERNS for file in part.glob(pattern)]


def load_json_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file. Raise `BackendError` when it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackendError(f"there is no {path.name} in {path.parent}") from None
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{path} cannot be read ({error}): save or fetch it again"
        ) from None
    except RecursionError:
        raise BackendError(
            f"{path} is nested too deeply: save or fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise BackendError(f"{path} holds no JSON object: save or fetch it again")
    return content


def _is_part_complete(part: Path, has_weights: bool) -> bool:
    """Return whether a part is there, with all shards: a broken fetch leaves some."""
    if not has_weights:
        return part.is_dir() and any(part.iterdir())
    if not (part / "config.json").is_file():
        return False
    if indices := list(part.glob("*.index.json")):
        return any(_has_all_shards(index) for index in indices)
    return any(file.is_file() for file in weight_files(part))


def _has_all_shards(index: Path) -> bool:
    try:
        shards = set(load_json_object(index)["weight_map"].values())
        return bool(shards) and all((index.parent / one).is_file() for one in shards)
    except (BackendError, KeyError, TypeError, AttributeError, ValueError):
        return False
