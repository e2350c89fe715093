"""Where the files of an embedder of Hugging Face are, or how to fetch them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.weights import (
    HUGGING_FACE_ID,
    load_json_object,
    weight_files,
)
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expand_user

_CONFIG = "config.json"
_CLIP, _SIGLIP = "clip", ("siglip", "siglip2")
# What decides vectors, of the files that a folder may have.
_DECIDING = (".json", ".safetensors", ".bin", ".model", ".txt")


@dataclass(frozen=True, slots=True)
class _Download:
    """What is known of an id before its files are here."""

    gigabytes: float
    licence: str
    without: str = ""  # options: the same weights once more, in layouts not read here


_DOWNLOADS = {
    "google/siglip2-base-patch16-224": _Download(1.5, "Apache-2.0"),
    "openai/clip-vit-base-patch32": _Download(
        0.6, "MIT", ' --exclude "*.h5" --exclude "*.msgpack"'
    ),
}


@dataclass(frozen=True, slots=True)
class PretrainedFiles:
    """A CLIP or SigLIP model on this machine, as transformers reads it.

    `source`: the id or folder, as it was named. `text_tokens`: how many it reads.
    """

    source: str
    folder: Path
    dimensions: int
    text_tokens: int
    is_clip: bool

    def space(self) -> str:
        """Return a name of at most 100 characters that changes whenever vectors do."""
        if not expand_user(self.source).is_dir():  # of the cache: named by the commit
            return f"{self.source[-80:]}@{self.folder.name[:12]}"
        digest = hashlib.sha256()
        for file in sorted(self.folder.iterdir()):
            if file.suffix in _DECIDING:
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
        return f"{self.folder.name[-80:]}@{digest.hexdigest()[:12]}"


def is_source(name: str) -> bool:
    """Return whether an embedder's name is a folder or Hugging Face id, not registered."""
    return "/" in name or "\\" in name or name.startswith("~")


def find_folder(source: str) -> Path | None:
    """Return the folder of a source, its own or in Hugging Face's cache, or None."""
    folder = expand_user(source)
    if folder.is_dir():
        return folder.absolute()
    if not HUGGING_FACE_ID.fullmatch(source):
        return None
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(source, _CONFIG)
    return Path(config).parent if isinstance(config, str) else None


def require_files(source: str) -> PretrainedFiles:
    """Return the files of a folder or Hugging Face id. Opens no weights.

    Raises:
        BackendError: if they are not on this machine, with size, licence and the
            command that fetches them; or if they are of another kind of model.
    """
    folder = find_folder(source)
    if folder is None:
        raise BackendError(_explain_absent(source))
    if lacking := _explain_lacking(folder):
        raise BackendError(
            f"no CLIP or SigLIP model in {folder} ({lacking}): {_how_to_mend(source)}"
        )
    config = load_json_object(folder / _CONFIG)
    kind = config.get("model_type")
    if kind != _CLIP and kind not in _SIGLIP:
        raise BackendError(
            f"{folder} holds a model of the kind {kind!r}: an embedder is one of"
            f" {', '.join((_CLIP, *_SIGLIP))}"
        )
    dimensions, tokens = _sizes(config)
    return PretrainedFiles(source, folder, dimensions, tokens, kind == _CLIP)


def _sizes(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the dimensions and how many tokens are read, as transformers' defaults have it."""
    text = config.get("text_config") or {}
    if config["model_type"] == _CLIP:
        dimensions, tokens = config.get("projection_dim", 512), 77
    else:
        vision = config.get("vision_config") or {}
        dimensions, tokens = vision.get("hidden_size", 768), 64
    return int(dimensions), int(text.get("max_position_embeddings", tokens))


def _explain_lacking(folder: Path) -> str:
    """Return what a folder lacks; empty when nothing. Looks at names only."""
    if not (folder / _CONFIG).is_file():
        return f"there is no {_CONFIG}"
    if not weight_files(folder):
        return "there are no weights"
    processed = {"preprocessor_config.json", "processor_config.json"}
    if not any((folder / name).is_file() for name in processed):
        return "there is no preprocessor_config.json"
    read = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
    if not any((folder / name).is_file() for name in read):
        return "there is no tokenizer"
    return ""


def _explain_absent(source: str) -> str:
    if not HUGGING_FACE_ID.fullmatch(source):
        return (
            f"there is no folder {source}: name a folder with a CLIP or SigLIP model,"
            " or a Hugging Face id"
        )
    known = _DOWNLOADS.get(source)
    size = f"{known.gigabytes:g} GB, " if known else ""
    licence = known.licence if known else "on its Hugging Face page"
    return (
        f"the weights of {source} are not on this machine ({size}licence {licence}):"
        f" {_fetching_command(source)}"
    )


def _how_to_mend(source: str) -> str:
    if expand_user(source).is_dir():
        return "name one that save_pretrained of model and processor wrote"
    return _fetching_command(source)


def _fetching_command(source: str) -> str:
    known = _DOWNLOADS.get(source)
    return f"run `hf download {source}{known.without if known else ''}`"
