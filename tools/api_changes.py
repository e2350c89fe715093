"""Says how the public names differ from those of the last version, with griffe (`make audit`).

    python tools/api_changes.py [--against REF]

The last version is the newest tag `v*` before this commit; where there is none (a shallow clone,
or before the first tag), the commit of 0.1.0, and where that is not here either, nothing is
compared. Only what `imagen_nb.__all__` names is promised, wherever it is defined. What breaks a
promise is printed, and fails as long as imagen_nb/_version.py still has the first two numbers of
the last version.
"""

from __future__ import annotations

import argparse
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it is in the extra audit only
    import griffe

ROOT = Path(__file__).parents[1]
PACKAGE = "imagen_nb"
_UNTAGGED = {"0.1.0": "5dda48744c86701ee1ea8315cdb44850567ec89a"}


def last_version(root: Path) -> tuple[str, str] | None:
    """Return the last version and the ref of it, or None if the repository has none."""
    described = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD")
    if described:
        return described.removeprefix("v"), described
    for version, commit in _UNTAGGED.items():
        if _git(root, "cat-file", "-t", commit) == "commit":
            return version, commit
    return None


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing if it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return "" if done.returncode else done.stdout.strip()


def breakages(root: Path, ref: str) -> Iterator[str]:
    """Yield a line for each public name that no longer does what it did at `ref`."""
    import griffe

    old = griffe.load_git(PACKAGE, ref=ref, repo=root, resolve_aliases=True)
    new = griffe.load(PACKAGE, search_paths=[root], resolve_aliases=True)
    for name in sorted(str(getattr(name, "name", name)) for name in old.exports or ()):
        if name not in new.members:
            yield f"{PACKAGE}.{name}: removed"
            continue
        before, after = _defined(old, name), _defined(new, name)
        if before is None or after is None:
            yield f"{PACKAGE}.{name}: griffe does not find where it is defined"
            continue
        for breakage in griffe.find_breaking_changes(before, after):
            yield breakage.explain(griffe.ExplanationStyle.MARKDOWN)


def _defined(package: griffe.Object | griffe.Alias, name: str) -> griffe.Object | None:
    """The class, function or value that a name of the package stands for."""
    import griffe

    member = package.members[name]
    try:
        return member.final_target if isinstance(member, griffe.Alias) else member
    except griffe.AliasResolutionError:
        return None


def same_promises(version: str, last: str) -> bool:
    """Return whether a version must keep what the last one promised.

    >>> same_promises("0.2.1", "0.2.0"), same_promises("0.3.0", "0.2.0")
    (True, False)
    """
    return version.split(".")[:2] == last.split(".")[:2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the public names with others."
    )
    parser.add_argument("--against", metavar="REF", help="instead of the last version")
    given = parser.parse_args()
    last = (given.against, given.against) if given.against else last_version(ROOT)
    if last is None:
        print("no earlier version in this repository: nothing to compare with")
        return
    said = [*breakages(ROOT, last[1])]
    for line in said:
        print(line)
    version = runpy.run_path(str(ROOT / PACKAGE / "_version.py"))["__version__"]
    print(f"{len(said)} changes between {last[0]} and {version} may break a caller")
    if said and same_promises(version, last[0]):
        sys.exit(
            f"{version} must keep what {last[0]} promised: raise its second number"
        )


if __name__ == "__main__":
    main()
