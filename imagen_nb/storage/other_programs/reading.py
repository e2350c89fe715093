"""Reading what a picture of another program says of how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.errors import printable
from imagen_nb.storage.other_programs.call_arguments import read_call_arguments
from imagen_nb.storage.other_programs.comfyui import read_comfyui
from imagen_nb.storage.other_programs.fooocus import read_fooocus
from imagen_nb.storage.other_programs.foreign_metadata import (
    ForeignMetadata,
    json_object_of,
    storable,
)
from imagen_nb.storage.other_programs.hidden_text import load_hidden_text
from imagen_nb.storage.other_programs.image_texts import load_late_texts, load_texts
from imagen_nb.storage.other_programs.infotext import read_infotext
from imagen_nb.storage.other_programs.invokeai import read_invokeai
from imagen_nb.storage.other_programs.novelai import read_novelai
from imagen_nb.storage.other_programs.swarmui import read_swarmui
from imagen_nb.storage.other_programs.wandb_runs import read_wandb

if TYPE_CHECKING:
    from PIL.Image import Image

HIDDEN = "stealth"  # the name of the text that pixels hide, in `raw`


def read_own(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return the name alone for a picture that has a record of ours."""
    return ForeignMetadata(program="imagen_nb") if "imagen_nb" in texts else None


# Those that are certain before those that others imitate.
READERS: tuple[Callable[[Mapping[str, str]], ForeignMetadata | None], ...] = (
    read_own,
    read_invokeai,
    read_swarmui,
    read_novelai,
    read_fooocus,
    read_comfyui,
    read_infotext,
    read_call_arguments,
)


def read_metadata(image: Image, path: Path) -> ForeignMetadata:
    """Return what a picture says of how it was made, whatever program made it.

    No content of a picture raises an error: what cannot be read is in `raw`, and
    `not_understood` says why. Texts that come after the pixels, or are hidden in them,
    are looked for only if there are no others; then the pixels are loaded.

    Args:
        image: as Pillow opened it; PNG, JPEG or WebP.
        path: its file: runs of wandb have their metadata in files beside it.

    Example:
        >>> with Image.open("boat.png") as image:
        ...     read_metadata(image, Path("boat.png")).prompt
        'a tiny lighthouse on a stormy cliff'
    """
    texts = load_texts(image)
    found = _read_texts(texts)
    if found is None:
        found = read_wandb(path)
    if found is None:
        texts |= load_late_texts(image)
        found = _read_texts(texts)
    if found is None:
        hidden = load_hidden_text(image)
        if hidden is not None:
            texts[HIDDEN] = hidden
            found = _read_texts(_texts_in(hidden))
    if found is None:
        found = ForeignMetadata(program="unknown", not_understood=_nothing_known(texts))
    return replace(found, raw=texts | found.raw)


def _read_texts(texts: Mapping[str, str]) -> ForeignMetadata | None:
    found = (read(texts) for read in READERS)
    return next((metadata for metadata in found if metadata is not None), None)


def _texts_in(hidden: str) -> dict[str, str]:
    """Return the chunks that a hidden text stands for: an object of them, or one."""
    chunks = json_object_of(hidden)
    if chunks is None or "sui_image_params" in chunks:
        return {"parameters": hidden}
    return {
        name: storable(text) for name, text in chunks.items() if isinstance(text, str)
    }


def _nothing_known(texts: Mapping[str, str]) -> str:
    if not texts:
        return "the picture has no text"
    names = printable(f"{', '.join(sorted(texts)):.200}")
    return f"no program that is known wrote its texts ({names})"
