"""Prepares a version: checks that the tree says so, builds, checks what was built, and tags.

    python tools/release.py 0.2.0                 # all of it; `make release VERSION=0.2.0`
    python tools/release.py 0.2.0 --only-check    # in CI, for a tag that is there

Nothing is pushed or published: the last lines say how. Publishing is .github/workflows/release.yml.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_HEADING = re.compile(r"^## (?P<version>\S+)(?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.M)


class NotReadyError(Exception):
    """What stands in the way, in one line that says what to do."""


def changes_of(changelog: str, version: str) -> tuple[str, str]:
    """Return the date and the text of a version's section of CHANGELOG.md.

    Raise `NotReadyError` if there is none, or if it has no date or no text.
    """
    headings = [*_HEADING.finditer(changelog)]
    for number, heading in enumerate(headings):
        if heading["version"] != version:
            continue
        rest = headings[number + 1 :]
        text = changelog[heading.end() : rest[0].start() if rest else None].strip()
        if not heading["date"] or not text:
            raise NotReadyError(
                f"CHANGELOG.md: '## {version}' needs a date and entries: "
                f"## {version} - YYYY-MM-DD"
            )
        return heading["date"], text
    raise NotReadyError(f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'")


def disagreements(root: Path, version: str) -> Iterator[str]:
    """Yield what does not say that the tree is this version."""
    date, _ = changes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    wanted = {
        "imagen_nb/_version.py": f'__version__ = "{version}"',
        "CITATION.cff": f'version: {version}\ndate-released: "{date}"',
        "conda/recipe/recipe.yaml": f'version: "{version}"',
    }
    for name, line in wanted.items():
        if f"{line}\n" not in (root / name).read_text(encoding="utf-8"):
            yield f"{name} does not say {line!r}"


def check(root: Path, version: str) -> str:
    """Return the text of a version's changes. Raise `NotReadyError` if files disagree."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise NotReadyError(f"{version!r} is no version like 0.2.0")
    if wrong := [*disagreements(root, version)]:
        raise NotReadyError("; ".join(wrong))
    return changes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)[1]


def git(root: Path, *arguments: str, text: str | None = None) -> str:
    """Return what git prints. Raise `NotReadyError` with what it says if it fails."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise NotReadyError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def build(root: Path) -> None:
    """Build wheel and sdist into dist/, and check them: `make dist`."""
    done = subprocess.run(["make", "dist"], cwd=root)
    if done.returncode:
        raise NotReadyError("make dist failed: see above")


def release(root: Path, version: str, build: Callable[[Path], None] = build) -> str:
    """Check, build and tag this version. Return what is left to do.

    Raise `NotReadyError`, before anything is built, if the tree is not clean, the files do not
    agree on the version, or it is tagged already.
    """
    changes = check(root, version)
    tag = f"v{version}"
    if dirty := git(root, "status", "--porcelain"):
        raise NotReadyError(f"commit or remove first:\n{dirty}")
    if git(root, "tag", "--list", tag):
        raise NotReadyError(f"the tag {tag} is there already: choose a new version")
    build(root)
    # As it is: lines that begin with # are headings, no comments.
    message = f"imagen_nb {version}\n\n{changes}\n"
    git(root, "tag", "--annotate", "--cleanup=verbatim", "--file=-", tag, text=message)
    return (
        f"{tag} is tagged here, and dist/ has its files. To publish:\n"
        f"  git push origin HEAD {tag}\n"
        f"To take it back: git tag --delete {tag}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Prepare a version; nothing is pushed."
    )
    parser.add_argument("version", help="as in 0.2.0")
    parser.add_argument(
        "--only-check", action="store_true", help="neither build nor tag"
    )
    given = parser.parse_args()
    try:
        if given.only_check:
            check(ROOT, given.version)
        else:
            print(release(ROOT, given.version))
    except NotReadyError as error:
        sys.exit(f"not ready: {error}")


if __name__ == "__main__":
    main()
