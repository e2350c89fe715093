"""Prints what each package of an environment weighs, as a table for docs/install.md.

    PYTHON tools/installed_sizes.py              of the environment of this Python
    PYTHON tools/installed_sizes.py --without X  also: what would go with X, and only with it

MB are 10⁶ bytes of the files that a distribution lists, its own tests among them, and of
what Python compiled of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "imagen-nb"
_SHOWN_MB = 10.0  # smaller ones are one row


def megabytes(distribution: Distribution) -> float:
    """Return what the files of a distribution take, in MB."""
    listed = [Path(str(file.locate())) for file in distribution.files or ()]
    compiled = [
        Path(cache_from_source(path)) for path in listed if path.suffix == ".py"
    ]
    paths = {*listed, *compiled}
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def asked_by(installed: dict[str, Distribution], name: str) -> Iterable[str]:
    """Yield what one distribution asks for here, without extras."""
    for requirement in map(Requirement, installed[name].requires or ()):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def reached(installed: dict[str, Distribution], without: str = "") -> set[str]:
    """Return what a plain install brings, by names; `without` one direct dependency."""
    found: set[str] = set()
    waiting = [PACKAGE]
    while waiting:
        name = waiting.pop()
        if name in found or name not in installed:
            continue
        found.add(name)
        asked = asked_by(installed, name)
        waiting += (one for one in asked if (name, one) != (PACKAGE, without))
    return found


def main() -> None:
    """Print the table; with `--without`, what would go."""
    installed = {canonicalize_name(one.name): one for one in distributions()}
    plain = reached(installed)
    sizes = {name: megabytes(installed[name]) for name in plain}
    if "--without" in sys.argv:
        for name in sys.argv[sys.argv.index("--without") + 1 :]:
            gone = plain - reached(installed, canonicalize_name(name))
            print(f"{name}: {sum(sizes[one] for one in gone):.1f} MB", sorted(gone))
        return
    print("| Package | MB |\n|---|---|")
    large = sorted(sizes, key=lambda name: -sizes[name])
    for name in (name for name in large if sizes[name] >= _SHOWN_MB):
        print(f"| {name} | {sizes[name]:.0f} |")
    small = [name for name in large if sizes[name] < _SHOWN_MB]
    print(f"| {len(small)} others | {sum(sizes[name] for name in small):.0f} |")
    print(f"| all {len(sizes)} | {sum(sizes.values()):.0f} |")


if __name__ == "__main__":
    main()
