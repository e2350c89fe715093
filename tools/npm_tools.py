"""Linters that npm has: each version is brought into the venv once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from imagen_nb.cloud.local.node import find_node


def npm_command(package: str, version: str, command: str) -> str:
    """Return the path of a package's command, which is installed if it is not there."""
    folder = Path(sys.prefix) / f"{command}-{version}"
    found = folder / "node_modules" / ".bin" / command
    if not found.exists():
        options = ["--prefix", str(folder), "--no-fund", "--no-audit", "--silent"]
        options += ["--ignore-scripts"]
        install = ["install", *options, f"{package}@{version}"]
        subprocess.run([*find_node().npm, *install], check=True)
    return str(found)
