"""Where executed notebooks are kept: the batch's folder, or any place that fsspec knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    write_atomically,
)


class NotebookStore(Protocol):
    """Invariant: a notebook that has its name is whole."""

    def read(self, name: str) -> bytes | None:
        """An executed notebook; None when there is none of this name."""

    def write(self, name: str, text: str) -> None:
        """Keep one, replacing what had its name. Raises `StorageError` when it cannot be kept."""

    def link(self, name: str) -> str:
        """Where it is, seen from the batch's folder."""


class LocalNotebooks:
    """In a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """See `Notebooks`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """See `Notebooks`."""
        with explain_folder_errors(self._folder):
            write_atomically(self._folder / name, text.encode())
            flush_folder(self._folder)

    def link(self, name: str) -> str:
        """See `Notebooks`."""
        return name


class RemoteNotebooks:
    """At a URL of fsspec's, such as s3://bucket/folder; its own errors are its package's."""

    def __init__(self, url: str) -> None:
        """Raises `UsageError` when the URL is none, or its package is missing."""
        from fsspec.core import url_to_fs

        try:
            self._there, self._path = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"notebooks cannot be kept at {url!r}: {error}") from None
        self._url = url.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """See `Notebooks`."""
        try:
            found: bytes = self._there.cat_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return None
        return found

    def write(self, name: str, text: str) -> None:
        """See `Notebooks`. It is given its name when it is whole, where the place can do that."""
        there: Any = self._there
        try:
            there.makedirs(self._path, exist_ok=True)
            with there.transaction, there.open(f"{self._path}/{name}", "wb") as file:
                file.write(text.encode())
        except OSError as error:
            raise StorageError(f"cannot keep {name} at {self._url}: {error}") from error

    def link(self, name: str) -> str:
        """See `Notebooks`."""
        return f"{self._url}/{name}"
