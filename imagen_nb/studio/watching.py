"""Watches folders for new pictures of other programs, and adopts them when complete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from imagen_nb.storage.adoption import SourceFile
from imagen_nb.studio.adopting import is_taken_kind, stat_source

INTERVAL_S = 0.5  # between two looks; a file is complete if it is the same in both
_PATIENCE = 120  # looks at a file that could not be adopted: it may still be written
_GRANULARITY_NS = 2_000_000_000  # changes of a folder this close may show one time


@dataclass(slots=True)
class _Unsettled:
    """A file that is new, or was not whole: its last state, and which one was refused."""

    state: SourceFile | None = None
    refused: SourceFile | None = None
    looks: int = 0


class FolderWatch:
    """New files of some folders.

    Invariant: `look` gives each state of a file once, when two looks have seen it. A
    folder is listed when its time of change is new, so that a look costs one question a
    folder, however many files there are.
    """

    def __init__(self, folders: Sequence[Path], target: Path) -> None:
        """Take what is there now as known. `target`: a folder that is left out."""
        self._roots, self._target = [*folders], target
        self._listed: dict[Path, tuple[int, list[Path]]] = {}  # with its subfolders
        self._unsettled: dict[Path, _Unsettled] = {}
        self._known = {path: stat_source(path) for path in self._listed_files()}

    def look(self) -> list[SourceFile]:
        """Return the files that are new or other, and complete."""
        for path in self._listed_files():
            self._unsettled.setdefault(path, _Unsettled())
        complete = []
        for path, waiting in [*self._unsettled.items()]:
            now, before = stat_source(path), waiting.state
            waiting.state, waiting.looks = now, waiting.looks + 1
            if now is None or now == self._known.get(path):
                del self._unsettled[path]
            elif now == waiting.refused:
                if waiting.looks > _PATIENCE:
                    del self._unsettled[path]
                    self._known[path] = now
            elif now == before:
                del self._unsettled[path]
                self._known[path] = now
                complete.append(now)
        return complete

    def wait_for(self, sources: Iterable[SourceFile]) -> None:
        """Look at these again when they change: they were not whole."""
        for source in sources:
            self._known.pop(source.path, None)
            self._unsettled[source.path] = _Unsettled(refused=source)

    def _listed_files(self) -> Iterator[Path]:
        """Give the pictures in folders that changed since they were listed."""
        waiting = [*self._roots]
        while waiting:
            folder = waiting.pop()
            try:
                changed_ns = folder.stat().st_mtime_ns
                listed = self._listed.get(folder)
                if listed and listed[0] == changed_ns:
                    waiting += listed[1]
                    continue
                entries = [*os.scandir(folder)]
            except OSError:
                continue  # removed, or not ours to list
            folders = [Path(one.path) for one in entries if self._is_folder(one)]
            waiting += folders
            if time.time_ns() - changed_ns > _GRANULARITY_NS:
                self._listed[folder] = (changed_ns, folders)
            yield from (Path(one.path) for one in entries if is_taken_kind(one.name))

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        hidden = entry.name.startswith(".")
        return not hidden and entry.is_dir() and Path(entry.path) != self._target


def adopt_as_they_come(
    watched: FolderWatch,
    adopt: Callable[[Sequence[SourceFile]], Iterable[Path]],
    stop: Event,
) -> None:
    """Adopt new pictures until `stop` is set.

    Args:
        watched: the folders.
        adopt: called with files that are complete; returns those that it refused.
        stop: may be set by any thread.
    """
    while not stop.wait(INTERVAL_S):
        complete = watched.look()
        if complete:
            refused = set(adopt(complete))
            watched.wait_for(one for one in complete if one.path in refused)
