"""Exporters write the pictures of a frame as a data set that other programs read."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from imagen_nb.errors import UsageError
from imagen_nb.system.plugins import PluginKind
from imagen_nb.system.spelling import describe_meant

SIDECARS = "sidecars"  # the format of `df.imagen.export` unless another is named
EXPORTERS = PluginKind("format", "imagen_nb.exporters", also=(SIDECARS,))


@dataclass(frozen=True, slots=True)
class ExportedPicture:
    """One picture that is to be exported.

    Attributes:
        name: a safe file name, "2026-05-11-a-boat-11.png", which no other picture of
            the same export has.
        data: the bytes of the file: as it was kept, PNG as a rule, or JPEG or WebP; a
            PNG where the export makes pictures smaller.
        row: what the frame says of it, as JSON values: its columns (the prompt, the
            seed, `tags`, a score …), times in ISO 8601, None where it says nothing.
            Without `local_path` and `cloud`, which are nothing to others.
        caption: what it shows: the prompt unless the user asked for other words.
        kinds: for each column of any picture's `row`, what its values are: "int",
            "float", "bool", "text", "texts" (lists of text), "json" for anything else,
            "none" if no picture has one. All pictures of an export share it.
    """

    name: str
    data: bytes
    row: Mapping[str, Any]
    caption: str = ""
    kinds: Mapping[str, str] = field(default_factory=dict)


class Exporter(Protocol):
    """Writes pictures into a folder, in a form that other programs read.

    The entry point names it: a function, or an object that can be called. The name is
    the `format` of `df.imagen.export`; arguments by name that it takes besides are
    options that users can give there.
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


class ResumableExporter(Exporter, Protocol):
    """An exporter that can go on where an export was broken off.

    It yields the file of a picture when that file is written, and everything that tells
    about the picture: nothing of it may wait for the pictures that follow.
    """

    def resume(
        self,
        pictures: Iterable[ExportedPicture],
        folder: Path,
        done: Sequence[Path],
        /,
    ) -> Iterable[Path]:
        """Write the pictures that are still to be written, as `__call__` does.

        Takes the same options as `__call__`.

        Args:
            pictures: those that are not in the folder yet.
            folder: has the files of `done`. Whatever else is in it was not finished:
                it may be torn, and is replaced or removed.
            done: the files that were yielded before, in their order.
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


def require_options(name: str, exporter: Exporter, given: Iterable[str]) -> None:
    """Raise `UsageError` for an option that the exporter `name` does not take."""
    parameters = [*inspect.signature(exporter).parameters.values()][2:]
    known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    if len(known) < len(parameters):  # it takes any
        return
    for option in given:
        if option not in known:
            hint = describe_meant(option, known)
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise UsageError(
                f"unknown argument {option}: the format {name} {takes}{hint}"
            )
