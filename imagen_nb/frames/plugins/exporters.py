"""Exporters write the pictures of a frame as a data set that other programs read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from imagen_nb.system.plugins import PluginKind

SIDECARS = "sidecars"  # the format of `df.imagen.export` unless another is named
EXPORTERS = PluginKind("format", "imagen_nb.exporters", also=(SIDECARS,))


@dataclass(frozen=True, slots=True)
class ExportedPicture:
    """One picture that is to be exported.

    Attributes:
        name: a safe file name, "2026-05-11-a-boat-11.png", which no other picture of
            the same export has.
        data: the bytes of the file, as it was kept: PNG as a rule, or JPEG or WebP.
        row: what the frame says of it, as JSON values: its columns (the prompt, the
            seed, `tags`, a score …), times in ISO 8601, None where it says nothing.
            Without `local_path` and `cloud`, which are nothing to others.
    """

    name: str
    data: bytes
    row: Mapping[str, Any]


class Exporter(Protocol):
    """Writes pictures into a folder, in a form that other programs read.

    The entry point names it: a function, or an object that can be called. The name is
    the `format` of `df.imagen.export`.
    """

    def __call__(
        self, pictures: Iterable[ExportedPicture], folder: Path
    ) -> Iterable[Path]:
        """Write the pictures, and return or yield for each the file that it is in now.

        Several may be in one file. What it raises ends the export: errors of the disk
        are told as they are.

        Args:
            pictures: those that can be had, in the order of the frame. Each is read
                when its turn comes: there may be more than fit into memory, so none is
                kept, and they are gone through once.
            folder: is there, and empty: nothing can be overwritten. It gets its name
                when all is written.
        """
        ...


def load_exporter(name: str) -> Exporter:
    """Return the exporter registered as `name`.

    Raises:
        UsageError: for an unknown name.
        ImagenError: if it cannot be loaded.
    """
    found: Exporter = EXPORTERS.load(name)
    return found
