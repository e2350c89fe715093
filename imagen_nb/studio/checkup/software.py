"""Checks of what is installed: Python, libraries, extras, the notebook's kernel."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator

from imagen_nb._version import __version__
from imagen_nb.studio.checkup.row import CheckRow
from imagen_nb.system.installed import (
    DISTRIBUTION,
    AskedLibrary,
    load_libraries,
    pip_install,
    python_bounds,
)
from imagen_nb.system.kernels import explain_missing_kernel, find_kernel, is_program

_KERNEL = "python3"  # of the notebook that `imagen batch` runs, and of most others
_INSTALL_KERNEL = "-m ipykernel install --sys-prefix --name python3"
_DRAWING = ("torch", "diffusers", "transformers")  # whose versions are always named


def check_python() -> Iterator[CheckRow]:
    """Yield whether the package is made for this Python."""
    from packaging.specifiers import SpecifierSet

    bounds, mine = python_bounds(), platform.python_version()
    what = f"{mine}, {sys.executable}"
    if SpecifierSet(bounds).contains(mine, prereleases=True):
        yield CheckRow("python", "good", what)
        return
    mend = (
        f"make an environment with Python {bounds}, and {pip_install([DISTRIBUTION])}"
    )
    yield CheckRow("python", "wrong", what, mend, needed=True)


def check_versions() -> Iterator[CheckRow]:
    """Yield whether each library is there, in a version within the bounds.

    Of extras only those that are installed are looked at.
    """
    libraries = load_libraries()
    needed = [one for one in libraries if not one.extra]
    unfit = [
        one
        for one in libraries
        if not one.fits and (not one.extra or one.version is not None)
    ]
    if unfit:
        what = ", ".join(dict.fromkeys(map(_describe_unfit, unfit)))
        mend = pip_install(dict.fromkeys(f"{one.name}{one.bounds}" for one in unfit))
        breaks = any(not one.extra for one in unfit)
        yield CheckRow("versions", "wrong", what, mend, needed=breaks)
        return
    named = [f"{one.name} {one.version}" for one in needed if one.name in _DRAWING]
    own = f"{DISTRIBUTION} {__version__}"
    what = f"{', '.join([own, *named])}; all {len(needed)} libraries within bounds"
    yield CheckRow("versions", "good", what)


def _describe_unfit(library: AskedLibrary) -> str:
    if library.version is None:
        return f"{library.name} is not installed"
    return f"{library.name} is {library.version}, not {library.bounds}"


def check_extras() -> Iterator[CheckRow]:
    """Yield which extras are installed."""
    lacking: dict[str, bool] = {}
    for library in load_libraries():
        if library.extra:
            lacks = library.version is None
            lacking[library.extra] = lacking.get(library.extra, False) or lacks
    here = [extra for extra, lacks in lacking.items() if not lacks]
    absent = [extra for extra, lacks in lacking.items() if lacks]
    what = f"installed: {', '.join(here) or 'none'}"
    if not absent:
        yield CheckRow("extras", "good", what)
        return
    mend = pip_install([f"{DISTRIBUTION}[{','.join(absent)}]"])
    what += f"; not installed: {', '.join(absent)}"
    yield CheckRow("extras", "missing", what, mend)


def check_kernel() -> Iterator[CheckRow]:
    """Yield whether the kernel of notebooks and batches is there, and is this Python."""
    program = find_kernel(_KERNEL)
    if program is None:
        what = f"{_KERNEL} is not installed: no batches"
        yield CheckRow("kernel", "missing", what, explain_missing_kernel(_KERNEL))
        return
    mend = f"{sys.executable} {_INSTALL_KERNEL}"
    if not is_program(program):
        what = f"{_KERNEL} starts {program}, which is not there"
        yield CheckRow("kernel", "wrong", what, mend)
    elif not _is_this_python(program):
        what = f"{_KERNEL} starts {program}, another Python than this one"
        yield CheckRow("kernel", "wrong", what, mend)
    else:
        yield CheckRow("kernel", "good", f"{_KERNEL} starts {program}")


def _is_this_python(program: str) -> bool:
    """Return whether it is this Python of this environment, by any of its names.

    Pythons of several environments are links to one file, so folders are compared.
    """
    mine, other = os.path.dirname(sys.executable), os.path.dirname(program)
    return os.path.realpath(mine) == os.path.realpath(other)
