"""Reading strace: calls of threads that overlap, paths, and what is not modelled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.powerloss.recording import require_strace
from tests.powerloss.trace import TRACED_CALLS, Operation, TraceError, escaped, operations


def text(path: str) -> str:
    return f'"{escaped(path)}"'


def trace(*lines: str) -> list[Operation]:
    """What is done below /d, marks in /m; in the lines, paths between ` are escaped."""
    made = []
    for line in lines:
        parts = line.split("`")
        made.append("".join(escaped(one) if n % 2 else one for n, one in enumerate(parts)))
    return operations(made, "/d", "/m")


OPENED = '1 openat(AT_FDCWD<`/`>, "`/d/a`", O_WRONLY|O_CREAT|O_EXCL, 0666) = 3<`/d/a`>'


def test_writes_follow_the_position_of_the_descriptor() -> None:
    done = trace(
        OPENED,
        '1 write(3<`/d/a`>, "`xyz`", 3) = 3',
        '1 write(3<`/d/a`>, "`xyz`", 3) = 2',
        '1 pwrite64(3<`/d/a`>, "`p`", 1, 9) = 1',
        '1 write(3<`/d/a`>, "`z`", 1)           = 1',
        "1 fsync(3<`/d/a`>)                     = 0",
    )
    assert [str(one) for one in done] == [
        "open a",
        "write a 0+3",
        "write a 3+2",
        "write a 9+1",
        "write a 5+1",
        "sync a",
    ]
    assert done[0].creates


def test_a_call_takes_effect_when_it_ends() -> None:
    done = trace(
        OPENED,
        "1 clone3({flags=CLONE_VM|CLONE_THREAD, stack=0x1} => {parent_tid=[2]}, 88) = 2",
        "2 fsync(3<`/d/a`> <unfinished ...>",
        '1 write(3<`/d/a`>, "`x`", 1) = 1',
        "2 <... fsync resumed>)                 = 0",
    )
    assert [(one.kind, one.begin, one.end) for one in done[1:]] == [
        ("write", 3, 3),
        ("sync", 2, 4),
    ]


def test_names_are_relative_to_open_folders() -> None:
    done = trace(
        '1 renameat2(AT_FDCWD<`/d`>, "`a`", 5<`/d/f`>, "`b`", RENAME_NOREPLACE) = 0',
        '1 unlinkat(5<`/d/f`>, "`b`", 0) = 0',
        '1 unlinkat(AT_FDCWD<`/`>, "`/d/f`", AT_REMOVEDIR) = 0',
        '1 link("`/d/a`", "`/d/c`") = 0',
    )
    assert [str(one) for one in done] == [
        "rename a → f/b",
        "unlink f/b",
        "rmdir f",
        "link a → c",
    ]


def test_what_failed_or_is_elsewhere_did_not_happen() -> None:
    assert not trace(
        '1 mkdir("`/d/f`", 0777) = -1 EEXIST (File exists)',
        '1 mkdir("`/elsewhere`", 0777) = 0',
        '1 openat(AT_FDCWD<`/`>, "`/dd/a`", O_WRONLY|O_CREAT, 0666) = 3<`/dd/a`>',
    )


def test_marks_are_what_the_process_wrote_for_us() -> None:
    done = trace(
        '1 openat(AT_FDCWD<`/`>, "`/m`", O_WRONLY|O_CREAT|O_APPEND, 0666) = 3<`/m`>',
        '1 write(3<`/m`>, "`{}`", 2) = 2',
    )
    assert [(one.kind, one.data) for one in done] == [("mark", b"{}")]


@pytest.mark.parametrize(
    "line",
    [
        '1 symlink("`/d/a`", "`/d/b`") = 0',
        '1 rename("`/d/a`", "`/elsewhere`") = 0',
        '2 unlink("`/d/a`") = 0',
        "1 sendfile(3<`/d/a`>, 4<`/d/b`>, NULL, 9) = 9",
        "1 mmap(NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 3<`/d/a`>, 0) = 0x7f",
        '1 write(3<`/d/a`>, "`cut`"..., 9) = 9',
    ],
)
def test_what_is_not_modelled_is_an_error(line: str) -> None:
    with pytest.raises(TraceError):
        trace(OPENED, line)


def test_a_real_process_is_read(tmp_path: Path) -> None:
    require_strace()
    root, marks, log = tmp_path / "d", tmp_path / "m", tmp_path / "log"
    root.mkdir()
    script = (
        "import os, sys, threading\n"
        f"os.chdir({str(root)!r})\n"
        "open('a', 'wb').write(b'12345')\n"
        "threading.Thread(target=os.rename, args=('a', 'b')).start()\n"
    )
    script = script.replace("'a'", repr(str(root / "a"))).replace("'b'", repr(str(root / "b")))
    command = ["strace", "-f", "-y", "-xx", "-e", f"trace={TRACED_CALLS}", "-o", str(log)]
    subprocess.run([*command, sys.executable, "-c", script], check=True, env=dict(os.environ))
    done = operations(log.read_text().splitlines(), str(root), str(marks))
    assert [str(one) for one in done] == ["open a", "write a 0+5", "rename a → b"]
