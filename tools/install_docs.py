"""Writes README's table of the extras from pyproject.toml, which says what each is for.

python tools/install_docs.py            write it
python tools/install_docs.py --check    exit 1 when it is stale
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "README.md"
_PLACE = re.compile(r"(<!-- extras -->\n).*?(<!-- end -->)", re.DOTALL)
_NAME = re.compile(r"[\w.-]+(\[[\w,]+\])?")
_FOR_DEVELOPERS = ("dev", "docs", "test", "audit")  # CONTRIBUTING.md tells of these


def extras_table(pyproject: Mapping[str, Any]) -> str:
    """Return the table: extra, what for, what it brings.

    Raise `ValueError` for an extra without a description, and for a description without
    an extra.
    """
    extras = pyproject["project"]["optional-dependencies"]
    purposes = pyproject["tool"]["imagen_nb"]["extras"]
    place = "[tool.imagen_nb.extras] in pyproject.toml"
    if unsaid := sorted(extras.keys() - purposes.keys()):
        raise ValueError(f"{place} does not say what is for: {', '.join(unsaid)}")
    if gone := sorted(purposes.keys() - extras.keys()):
        raise ValueError(f"{place} describes what is no extra: {', '.join(gone)}")
    rows = [
        f"| `{name}` | {purposes[name]} | {_brings(asked)} |"
        for name, asked in extras.items()
        if name not in _FOR_DEVELOPERS
    ]
    return "\n".join(["| Extra | What for | What it brings |", "|---|---|---|", *rows])


def _brings(requirements: list[str]) -> str:
    names = [_NAME.match(requirement) for requirement in requirements]
    return ", ".join(name[0] for name in names if name)


def page(text: str, pyproject: Mapping[str, Any]) -> str:
    """Return the page with the table as it is now."""
    table = extras_table(pyproject)
    text, count = _PLACE.subn(lambda found: f"{found[1]}{table}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{PAGE.name} has no place for the table of extras")
    return text


def main() -> int:
    """Write the table, or say whether it is stale."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    try:
        fresh = page(text, pyproject)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        if text != fresh:
            print(f"{PAGE.name} is stale: run python {sys.argv[0]}", file=sys.stderr)
        return int(text != fresh)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
