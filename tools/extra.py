"""Prints the packages of an extra, for pip without the package itself.

As in `python tools/extra.py audit > requirements.txt && pip install -r requirements.txt`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    print("\n".join(project["optional-dependencies"][sys.argv[1]]))


if __name__ == "__main__":
    main()
