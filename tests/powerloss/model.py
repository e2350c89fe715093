"""A file system that knows what a power loss leaves: what was flushed, and what may be.

Contents of files become durable by a flush of the file, names by a flush of their folder:
no more is taken for granted than POSIX promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tests.powerloss.trace import Operation

ROOT = 0  # the number of the folder that was recorded; it was there before
_NEVER_DURABLE = "-shm"  # SQLite makes it anew


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a file: `data` written at `offset`, or, if given, a new `size`."""

    number: int
    end: int = 0
    offset: int = 0
    data: bytes = b""
    size: int | None = None

    def apply_to(self, buffer: bytearray) -> None:
        """Change the contents of a file; what was never written is zeros."""
        stop = self.offset + len(self.data) if self.size is None else self.size
        if len(buffer) < stop:
            buffer.extend(bytes(stop - len(buffer)))
        if self.size is None:
            buffer[self.offset : stop] = self.data
        else:
            del buffer[stop:]


@dataclass(frozen=True, slots=True)
class Content:
    """The contents of a file: some bytes and changes of them. `key` tells it from others."""

    key: int
    base: bytes = b""
    changes: tuple[Change, ...] = ()

    def changed(self, changes: Iterable[Change]) -> Content:
        """Return the contents after more changes."""
        more, key = tuple(changes), self.key
        for change in more:
            key = hash((key, change.number, len(change.data), change.size))
        return Content(key, self.base, self.changes + more)

    def bytes(self) -> bytes:
        """Return the contents."""
        if not self.changes:
            return self.base
        buffer = bytearray(self.base)
        for change in self.changes:
            change.apply_to(buffer)
        return bytes(buffer)


@dataclass(slots=True)
class File:
    """A file: what is on the disk for sure, and changes that may be."""

    durable: Content
    pending: list[Change] = field(default_factory=list)
    size: int = 0

    def change(self, change: Change) -> None:
        """Change it; it is not on the disk yet."""
        self.pending.append(change)
        stop = change.offset + len(change.data)
        self.size = max(self.size, stop) if change.size is None else change.size

    def sync(self, begin: int) -> None:
        """Flush what was changed before the flush began."""
        done = [change for change in self.pending if change.end < begin]
        content = self.durable.changed(done)
        self.durable = Content(content.key, content.bytes())
        self.pending = [change for change in self.pending if change.end >= begin]

    def current(self) -> Content:
        """Return what a program reads now."""
        return self.durable.changed(self.pending)

    def grown(self) -> Content:
        """Return what is durable in the present size: zeros where nothing was flushed."""
        if not self.pending:
            return self.durable
        return self.durable.changed([Change(-1, size=self.size)])


@dataclass(frozen=True, slots=True)
class Naming:
    """A change of names that happens whole or not at all: (folder, name, number or None)."""

    number: int
    end: int
    changes: tuple[tuple[int, str, int | None], ...]
    moves: bool = False  # a file that is there gets another name

    def folders(self) -> set[int]:
        """Return the folders whose names change."""
        return {folder for folder, _, _ in self.changes}


@dataclass(frozen=True, slots=True)
class Tree:
    """What a power loss leaves: contents by path, None for folders; some folders' times."""

    files: dict[str, Content | None]
    times_ns: dict[str, int]

    def key(self) -> int:
        """Return what tells this tree from others."""
        contents = {path: one.key if one else None for path, one in self.files.items()}
        return hash((frozenset(contents.items()), frozenset(self.times_ns.items())))


class Disk:
    """The recorded folder after some operations. `number` counts the changes.

    Invariant: `pending` are the changes of names that no flush of their folder covers, in
    the order in which they ended.
    """

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.folders: set[int] = {ROOT}
        self.names: dict[tuple[int, str], int] = {}
        self.durable_names: dict[tuple[int, str], int] = {}
        self.pending: list[Naming] = []
        self.number = 0
        self._handles: dict[int, int] = {}
        self._durable_keys: dict[int, int] = {}  # by folder: which changes it has
        self._times_ns: dict[tuple[int, int], int] = {}  # by folder and that

    def apply(self, operation: Operation) -> bool:
        """Do what the operation did; return whether that may change what survives."""
        before = self.number
        self._APPLIED[operation.kind](self, operation)
        return self.number != before

    def tree(self, namings: Sequence[Naming], content: Callable[[File], Content]) -> Tree:
        """Return what is left if, of what is not flushed, these names and contents are."""
        names = dict(self.durable_names)
        _rename(names, namings)
        inside: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), number in names.items():
            inside.setdefault(folder, []).append((name, number))
        files: dict[str, Content | None] = {}
        times_ns: dict[str, int] = {}
        waiting = [("", ROOT)]
        while waiting:
            path, folder = waiting.pop()
            time_ns = self._times_ns.get((folder, self._key_of_folder(folder, namings)))
            if time_ns is not None:
                times_ns[path] = time_ns
            for name, number in inside.get(folder, ()):
                below = f"{path}/{name}" if path else name
                if number in self.folders:
                    files[below] = None
                    waiting.append((below, number))
                elif not name.endswith(_NEVER_DURABLE):
                    files[below] = content(self.files[number])
        return Tree(files, times_ns)

    def note_time(self, path: str, time_ns: int) -> None:
        """Note when a folder was changed last, as the system told the process."""
        folder = self._resolve(path)
        if folder is not None:
            self._times_ns[folder, self._key_of_folder(folder, self.pending)] = time_ns

    def _key_of_folder(self, folder: int, namings: Iterable[Naming]) -> int:
        key = self._durable_keys.get(folder, 0)
        for naming in namings:
            if folder in naming.folders():
                key = hash((key, naming.number))
        return key

    def _resolve(self, path: str) -> int | None:
        number: int | None = ROOT
        for name in PurePosixPath(path).parts:
            number = self.names.get((number, name)) if number is not None else None
        return number

    def _split(self, path: str) -> tuple[int, str]:
        """Return the folder and the name of a path, whose folder must be there."""
        parts = PurePosixPath(path)
        folder = self._resolve(str(parts.parent)) if len(parts.parts) > 1 else ROOT
        if folder is None:
            raise KeyError(f"no folder for {path}: the trace is not complete")
        return folder, parts.name

    def _name(self, operation: Operation, *changes: tuple[str, int | None]) -> None:
        """Give paths to files, or take them away, in one step."""
        self.number += 1
        placed = tuple((*self._split(path), number) for path, number in changes)
        moves = operation.kind in ("rename", "link")
        naming = Naming(self.number, operation.end, placed, moves)
        _rename(self.names, [naming])
        self.pending.append(naming)

    def _open(self, operation: Operation) -> None:
        number = self._resolve(operation.path)
        if number is None and operation.creates:
            number = self.number + 1
            self.files[number] = File(Content(number))
            self._name(operation, (operation.path, number))
        elif number is None:
            raise KeyError(f"{operation.path} is not there: the trace is not complete")
        elif operation.truncates and self.files[number].size:
            self._change(operation, number, size=0)
        self._handles[operation.handle] = number

    def _change(self, operation: Operation, number: int, **values: int) -> None:
        self.number += 1
        data = operation.data
        change = Change(self.number, operation.end, data=data, **values)
        self.files[number].change(change)

    def _write(self, operation: Operation) -> None:
        number = self._handles[operation.handle]
        offset = operation.offset
        if offset < 0:
            offset = self.files[number].size
        self._change(operation, number, offset=offset)

    def _resize(self, operation: Operation) -> None:
        number = self._handles.get(operation.handle) or self._resolve(operation.path)
        if number is not None:
            self._change(operation, number, size=operation.size)

    def _sync(self, operation: Operation) -> None:
        number = self._handles[operation.handle]
        self.number += 1
        if number not in self.folders:
            self.files[number].sync(operation.begin)
            return
        left = []
        for naming in self.pending:
            if number in naming.folders() and naming.end < operation.begin:
                _rename(self.durable_names, [naming])
                for folder in naming.folders():
                    key = self._durable_keys.get(folder, 0)
                    self._durable_keys[folder] = hash((key, naming.number))
            else:
                left.append(naming)
        self.pending = left

    def _mkdir(self, operation: Operation) -> None:
        folder = self.number + 1
        self.folders.add(folder)
        self._name(operation, (operation.path, folder))

    def _link(self, operation: Operation) -> None:
        self._name(operation, (operation.target, self._resolve(operation.path)))

    def _move(self, operation: Operation) -> None:
        moved = (operation.target, self._resolve(operation.path))
        self._name(operation, (operation.path, None), moved)

    def _unlink(self, operation: Operation) -> None:
        self._name(operation, (operation.path, None))

    def _mark(self, operation: Operation) -> None:
        """Nothing happens on the disk."""

    _APPLIED = {  # noqa: RUF012
        "open": _open,
        "write": _write,
        "resize": _resize,
        "sync": _sync,
        "mkdir": _mkdir,
        "link": _link,
        "rename": _move,
        "unlink": _unlink,
        "rmdir": _unlink,
        "mark": _mark,
    }


def _rename(names: dict[tuple[int, str], int], namings: Iterable[Naming]) -> None:
    for naming in namings:
        for folder, name, number in naming.changes:
            if number is None:
                names.pop((folder, name), None)
            else:
                names[folder, name] = number
