"""Where a model's weights are on this machine, whether they are whole, and how to fetch them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.pipelines import PIPELINE_KINDS
from imagen_nb.errors import BackendError

WEIGHT_PATTERNS = ("*.safetensors", "*.bin")


def locate_weights(row: Model) -> Path | None:
    """The folder of a row's weights, its own or in Hugging Face's cache; None when there is none.

    Looks at files only. What it gives may lack parts: see `lacking`.
    """
    if row.folder is not None:
        return row.folder if row.folder.is_dir() else None
    from huggingface_hub import (
        try_to_load_from_cache,
    )  # 0.1 s: only for a Hugging Face id

    index = try_to_load_from_cache(row.source, "model_index.json")
    return Path(index).parent if isinstance(index, str) else None


def explain_incomplete(folder: Path) -> str:
    """What keeps a folder from being a whole pipeline that draws; empty when nothing does."""
    try:
        index = load_json_object(folder / "model_index.json")
    except BackendError as error:
        return str(error)
    kind = PIPELINE_KINDS.get(str(index.get("_class_name")))
    if kind is None:
        known = ", ".join(PIPELINE_KINDS)
        return f"its model_index.json is of {index.get('_class_name')}, not of one of {known}"
    parts = (*kind.networks, *kind.others)
    incomplete = [
        name
        for name in parts
        if not _is_part_complete(folder / name, name in kind.networks)
    ]
    return f"it lacks all or some of {', '.join(incomplete)}" if incomplete else ""


def explain_missing(row: Model) -> str:
    """One line: what is missing, how large it is, under which licence, and how to fetch it."""
    folder = locate_weights(row)
    reason = "there is no such folder" if folder is None else explain_incomplete(folder)
    if row.folder is not None:
        return (
            f"no FLUX pipeline in {row.folder} ({reason}): name a folder that "
            "a FLUX pipeline's save_pretrained wrote"
        )
    state = (
        "are not on this machine"
        if folder is None
        else f"are not all here, as {reason}"
    )
    size = f"{row.download_gb:g} GB, " if row.download_gb else ""
    licence = (
        f"licence {row.licence}" if row.licence else "licence on its Hugging Face page"
    )
    login = "accept the licence on its Hugging Face page, run `hf auth login`, then "
    # The same weights once more in another layout, 24 GB of them, are left where they are.
    return (
        f"the weights of {row.source} {state} ({size}{licence}): "
        f"{login if row.gated else ''}run "
        f'`hf download {row.source} --exclude "{row.fetched_without}"`'
    )


def load_json_object(path: Path) -> dict[str, Any]:
    """An object of a JSON file. Raises `BackendError` when that is not what the file holds."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackendError(f"there is no {path.name} in {path.parent}") from None
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{path} cannot be read ({error}): save or fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise BackendError(f"{path} holds no JSON object: save or fetch it again")
    return content


def _is_part_complete(part: Path, has_weights: bool) -> bool:
    """Whether a part is there; of shards all must be: a fetch that broke off leaves some."""
    if not has_weights:
        return part.is_dir() and any(part.iterdir())
    if not (part / "config.json").is_file():
        return False
    if indices := list(part.glob("*.index.json")):
        return any(_has_all_shards(index) for index in indices)
    return any(file.is_file() for kind in WEIGHT_PATTERNS for file in part.glob(kind))


def _has_all_shards(index: Path) -> bool:
    try:
        shards = set(load_json_object(index)["weight_map"].values())
    except (BackendError, KeyError, AttributeError):
        return False
    return bool(shards) and all((index.parent / shard).is_file() for shard in shards)
