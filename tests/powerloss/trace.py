"""Reads what strace wrote: the file operations of one process below a folder, in order.

A call takes effect when it ends. `begin` and `end` are numbers of lines: what overlaps a
flush is not covered by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

# Whatever can change files, folders or descriptors; "?" for those not on every machine.
TRACED_CALLS = (
    "?open ?creat openat ?openat2 close dup ?dup2 dup3 fcntl lseek"
    " write pwrite64 writev pwritev ?pwritev2 ftruncate truncate fallocate"
    " sendfile splice copy_file_range mmap msync"
    " ?rename renameat ?renameat2 ?link linkat ?unlink unlinkat ?symlink symlinkat"
    " ?mkdir mkdirat ?rmdir ?mknod mknodat fsync fdatasync sync syncfs sync_file_range"
    " clone ?clone3 ?fork ?vfork"
).replace(" ", ",")
_LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))")
_ENDED = re.compile(r"(.*)\)\s+= (-?\d+)(.*)", re.DOTALL)
_DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)(?:<((?:\\x[0-9a-f]{2})*)>)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_UNFINISHED = " <unfinished ...>"
_CHANGES_NOTHING = {"msync", "sync_file_range"}


class TraceError(Exception):
    """The trace has something that is not understood: the model would be wrong."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the system that succeeded, its arguments as strace writes them."""

    pid: int
    name: str
    arguments: tuple[str, ...]
    result: int
    begin: int
    end: int

    def path(self, position: int) -> str:
        """Return the path, absolute if it is relative to an open folder."""
        path = text_of(self.arguments[position])
        before = self.arguments[position - 1] if position else ""
        folder = _DESCRIPTOR.fullmatch(before)
        if path.startswith("/") or not folder or folder[2] is None:
            return path
        return str(PurePosixPath(_decoded(folder[2]).decode()) / path)

    def descriptor(self) -> int:
        """Return the number of the file descriptor that is the first argument."""
        return int(self.arguments[0].partition("<")[0])


@dataclass(frozen=True, slots=True)
class Operation:
    """What happened to a file or folder. Paths are below the folder that was recorded.

    `kind` is open, write, resize, sync, rename, link, unlink, mkdir, rmdir or mark, which
    is a line that the process wrote for us. `handle` tells one opening from another.
    `offset` -1 is the end of the file.
    """

    kind: str
    path: str = ""
    target: str = ""
    handle: int = 0
    offset: int = 0
    data: bytes = b""
    size: int = 0
    creates: bool = False
    truncates: bool = False
    begin: int = 0
    end: int = 0

    def __str__(self) -> str:
        if self.kind == "mark":
            return f"promised: {json.loads(self.data).get('what')}"
        what = {
            "write": f"{self.offset}+{len(self.data)}",
            "resize": str(self.size),
            "rename": f"→ {self.target}",
            "link": f"→ {self.target}",
        }
        return f"{self.kind} {self.path or '.'} {what.get(self.kind, '')}".rstrip()


def text_of(argument: str) -> str:
    """Return a string argument."""
    return bytes_of(argument).decode()


def bytes_of(argument: str) -> bytes:
    """Return the bytes of a string argument. Raise `TraceError` if strace cut it."""
    whole = _TEXT.fullmatch(argument)
    if not whole:
        raise TraceError(f"not a whole string: {argument[:80]}")
    return _decoded(whole[1])


def _decoded(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def escaped(text: str) -> str:
    """Return the text as `strace -xx` writes it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def successful_calls(lines: Iterable[str], needles: Iterable[str]) -> Iterator[Call]:
    """Give the calls that name one of the needles, and those that start threads."""
    wanted = [*needles, "clone", "fork("]
    unfinished: dict[int, tuple[str, int]] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line.rstrip("\n"))
        if not match:
            continue  # a signal, or an end
        pid, rest = int(match[1]), match[3] if match[2] else match[5]
        start, begin = f"{match[2]}(", number
        if match[4]:
            start, begin = unfinished.pop(pid, ("", number))
        elif rest.endswith(_UNFINISHED):
            unfinished[pid] = (f"{match[2]}({rest.removesuffix(_UNFINISHED)}", number)
            continue
        text = start + rest
        if not any(needle in text for needle in wanted):
            continue
        name, _, inside = text.partition("(")
        ended = _ENDED.fullmatch(inside)
        if ended and int(ended[2]) >= 0:
            arguments = tuple(_split(ended[1]))
            yield Call(pid, name, arguments, int(ended[2]), begin, number)


def _split(text: str) -> Iterator[str]:
    """Split at commas outside of brackets; within strings strace escapes them."""
    depth, start = 0, 0
    for match in re.finditer(r"[{\[]|[}\]]|, ", text):
        if match[0] in "{[":
            depth += 1
        elif match[0] in "}]":
            depth -= 1
        elif depth == 0:
            yield text[start : match.start()]
            start = match.end()
    yield text[start:]


@dataclass(slots=True)
class _Opened:
    """An open file: its position is shared by copies of the descriptor."""

    handle: int
    path: str
    flags: str
    position: int = 0


class _Process:
    """The open files of the recorded process, all its threads."""

    def __init__(self, root: str, marks: str) -> None:
        self.root, self.marks = root, marks
        self._opened: dict[int, _Opened] = {}
        self._handles = 0

    def operations(self, calls: Iterable[Call]) -> Iterator[Operation]:
        """Give what these calls do below the root, and what they mark."""
        for call in calls:
            operation = self._operation(call)
            if operation:
                yield operation

    def _operation(self, call: Call) -> Operation | None:
        name = call.name
        if name.startswith(("clone", "fork", "vfork")):
            return None
        if name in ("open", "openat", "creat", "openat2"):
            return self._open(call)
        if _kind_of(name) in ("rename", "link", "unlink", "mkdir", "rmdir"):
            return self._of_paths(call)
        if _kind_of(name) in ("symlink", "mknod"):
            raise TraceError(f"not modelled: {name} {call.arguments}")
        if name == "truncate":
            return self._made(call, "resize", call.path(0), size=int(call.arguments[1]))
        if name == "mmap":
            self._require_unmapped(call)
            return None
        return self._of_descriptor(call)

    def _open(self, call: Call) -> Operation | None:
        if call.name not in ("open", "openat"):
            raise TraceError(f"not modelled: {call.name}")
        at = 1 if call.name == "openat" else 0
        path, flags = call.path(at), call.arguments[at + 1]
        if not self._concerns(path):
            return None
        self._handles += 1
        self._opened[call.result] = _Opened(self._handles, path, flags)
        if path == self.marks:
            return None
        return self._made(
            call,
            "open",
            path,
            handle=self._handles,
            creates="O_CREAT" in flags,
            truncates="O_TRUNC" in flags,
        )

    def _of_paths(self, call: Call) -> Operation | None:
        at = 1 if "at" in call.name else 0
        kind = _kind_of(call.name)
        path, target = call.path(at), ""
        if kind == "unlink" and "AT_REMOVEDIR" in call.arguments[-1]:
            kind = "rmdir"
        if kind in ("rename", "link"):
            target = call.path(2 * at + 1)
            if self._inside(path) != self._inside(target):
                raise TraceError(f"a file moved across the border: {path} → {target}")
            if "RENAME_EXCHANGE" in call.arguments[-1]:
                raise TraceError("not modelled: RENAME_EXCHANGE")
        if not self._inside(path):
            return None
        return self._made(call, kind, path, target=self._below(target) if target else "")

    def _of_descriptor(self, call: Call) -> Operation | None:
        opened = self._opened.get(call.descriptor())
        if not opened:
            if call.name in ("close", "lseek", "fcntl"):
                return None  # of a folder, opened with flags that do not matter
            raise TraceError(f"{call.name} to a file that was not seen being opened: {call}")
        if call.name == "close":
            del self._opened[call.descriptor()]
        elif call.name.startswith("dup") or call.name == "fcntl":
            if call.name != "fcntl" or "F_DUPFD" in call.arguments[1]:
                self._opened[call.result] = opened
        elif call.name == "lseek":
            opened.position = call.result
        elif opened.path.endswith("-shm"):
            return None  # SQLite's index, which it makes anew
        elif call.name in ("fsync", "fdatasync"):
            return self._made(call, "sync", opened.path, handle=opened.handle)
        elif call.name == "ftruncate":
            size = int(call.arguments[1])
            return self._made(call, "resize", opened.path, handle=opened.handle, size=size)
        elif call.name in ("write", "pwrite64"):
            return self._write(call, opened)
        elif call.name not in _CHANGES_NOTHING:
            raise TraceError(f"not modelled: {call.name} {opened.path}")
        return None

    def _write(self, call: Call, opened: _Opened) -> Operation | None:
        data = bytes_of(call.arguments[1])[: call.result]
        if opened.path == self.marks:
            return Operation("mark", data=data, begin=call.begin, end=call.end)
        if call.name == "pwrite64":
            offset = int(call.arguments[3])
        elif "O_APPEND" in opened.flags:
            offset = -1
        elif "O_RDWR" in opened.flags:
            raise TraceError(f"where it writes is not known: {opened.path}")
        else:
            offset = opened.position
            opened.position += call.result
        return self._made(
            call, "write", opened.path, handle=opened.handle, offset=offset, data=data
        )

    def _require_unmapped(self, call: Call) -> None:
        """Raise `TraceError` if a file is mapped to be written to, but SQLite's index."""
        flags = call.arguments[2] + call.arguments[3]
        path = _DESCRIPTOR.fullmatch(call.arguments[4])
        is_index = path is not None and _decoded(path[2] or "").endswith(b"-shm")
        if "PROT_WRITE" in flags and "MAP_SHARED" in flags and not is_index:
            raise TraceError(f"not modelled: {call}")

    def _made(self, call: Call, kind: str, path: str, **values: object) -> Operation:
        common = {"begin": call.begin, "end": call.end}
        return Operation(kind, self._below(path), **common, **values)  # type: ignore[arg-type]

    def _concerns(self, path: str) -> bool:
        return path == self.marks or self._inside(path)

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(f"{self.root}/")

    def _below(self, path: str) -> str:
        return path.removeprefix(self.root).removeprefix("/")


def _kind_of(name: str) -> str:
    """Return rename for renameat and renameat2, and so on."""
    return name.removesuffix("2").removesuffix("at")


def operations(lines: Iterable[str], root: str, marks: str) -> list[Operation]:
    """Return what a recorded process did below `root`, and the lines that it marked.

    Args:
        lines: of `strace -f -y -xx -e trace=TRACED_CALLS`.
        root: the absolute path of a folder.
        marks: of the file outside of it to which the process writes its lines.

    Raises:
        TraceError: for what is not modelled, and for changes by its child processes.
    """
    calls = list(successful_calls(lines, [escaped(root), escaped(marks)]))
    if not calls:
        return []
    threads = {calls[0].pid}
    for call in calls:
        if "CLONE_THREAD" in "".join(call.arguments):
            threads.add(call.result)
    own = [call for call in calls if call.pid in threads]
    for call in calls:
        if call.pid not in threads and call.name not in ("close", "fcntl", "open", "openat"):
            raise TraceError(f"a child process changed something: {call}")
    return list(_Process(root, marks).operations(own))
