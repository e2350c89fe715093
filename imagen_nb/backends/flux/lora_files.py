"""Locates LoRAs by path, folder or Hugging Face id, and reads their headers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.headers import header_texts, load_safetensors_header
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.system.paths import absolute_path, expand_user

LORA_SUFFIX = ".safetensors"
_TRIGGER_FIELDS = (  # of a header, the best first
    "modelspec.trigger_phrase",
    "trigger_phrase",
    "trigger_words",
    "trigger_word",
    "instance_prompt",
    "ss_trigger_words",
)
_BASE_MODEL_FIELDS = ("modelspec.architecture", "ss_base_model_version", "base_model")
_MAX_TAGS = 3  # the most frequent ones of the training
_NO_TAGS = (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)


def locate_lora(given: str | os.PathLike[str]) -> Path:
    """Return the file that a user names: by its path, its folder, or a Hugging Face id.

    A folder must have one LoRA. An id, `owner/name` or `owner/name/file.safetensors`,
    must be in Hugging Face's cache. The path of a file need not exist. Raise
    `UsageError` for a folder with none or several, `BackendError` for an id that is not
    in the cache.
    """
    path = absolute_path(Path(given))
    if os.path.isdir(path):  # unlike pathlib, it takes names that are too long
        return _only_lora_in(path)
    parts = str(given).replace(os.sep, "/").split("/")
    is_id = (
        len(parts) in (2, 3)
        and parts[0] not in ("", ".", "..", "~")
        and not os.path.exists(path)
    )
    if not is_id or (len(parts) == 2 and path.suffix == LORA_SUFFIX):
        return path
    folder = _cached_snapshot("/".join(parts[:2]))
    if folder is None:
        if path.suffix == LORA_SUFFIX:
            return path  # rather a file in a missing folder: whoever reads it says so
        raise BackendError(
            f"the LoRA {given} is neither a file here nor in Hugging Face's cache: run "
            f"`hf download {'/'.join(parts[:2])}`"
        )
    return folder / parts[2] if len(parts) == 3 else _only_lora_in(folder)


def _cached_snapshot(id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Nothing is downloaded; which file it was is recorded by its hash.
        found: str = snapshot_download(id, local_files_only=True)  # nosec B615
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(found)


def _only_lora_in(folder: Path) -> Path:
    files = sorted(folder.glob(f"*{LORA_SUFFIX}"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise UsageError(f"there is no LoRA ({LORA_SUFFIX} file) in {folder}")
    names = ", ".join(file.name for file in files[:5])
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    raise UsageError(
        f"{folder} has {len(files)} LoRAs ({names}{more}): name one of them"
    )


def lora_rows(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each LoRA in a folder and below it, sorted by path.

    Columns: `file` (relative), `megabytes`, `base` (model), `words` (that trigger it)
    and `error`, why a file cannot be read. Raise `UsageError` when there is no such
    folder.
    """
    root = expand_user(folder)
    if not root.is_dir():
        raise UsageError(
            f"there is no folder {root}: name one with {LORA_SUFFIX} files in it"
        )
    return [_lora_row(root, path) for path in sorted(root.rglob(f"*{LORA_SUFFIX}"))]


def _lora_row(root: Path, path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": str(path.relative_to(root)),
        "megabytes": None,
        "base": "",
        "words": "",
    }
    try:
        row["megabytes"] = round(path.stat().st_size / 1e6, 1)
        header = header_texts(load_safetensors_header(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no safetensors file"
        return {**row, "error": reason}
    base = next((header[name] for name in _BASE_MODEL_FIELDS if header.get(name)), "")
    return {
        **row,
        "base": base,
        "words": ", ".join(_trigger_words(header)),
        "error": "",
    }


def _trigger_words(header: dict[str, str]) -> Iterator[str]:
    """Yield what a prompt must say for the LoRA to work, as far as its header knows."""
    phrase = next((header[name] for name in _TRIGGER_FIELDS if header.get(name)), "")
    if phrase:
        yield phrase
        return
    counts: Counter[str] = Counter()
    try:
        for tags in json.loads(header.get("ss_tag_frequency", "{}")).values():
            counts.update({str(tag).strip(): int(count) for tag, count in tags.items()})
    except _NO_TAGS:
        return
    yield from (tag for tag, _ in counts.most_common(_MAX_TAGS) if tag)
