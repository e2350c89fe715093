"""Lints the JavaScript and CSS of the package with Biome, which npm brings into .venv once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from imagen_nb.cloud.local.node import find_node

VERSION = "2.6.8"
ROOT = Path(__file__).parent.parent
FOLDER = Path(sys.prefix) / f"biome-{VERSION}"


def biome() -> Path:
    command = FOLDER / "node_modules" / ".bin" / "biome"
    if not command.exists():
        options = ["--prefix", str(FOLDER), "--no-fund", "--no-audit", "--silent"]
        install = ["install", *options, f"@biomejs/biome@{VERSION}"]
        subprocess.run([*find_node().npm, *install], check=True)
    return command


if __name__ == "__main__":
    checked = [ROOT / "imagen_nb"]
    command = [str(biome()), "lint", "--error-on-warnings", *map(str, checked)]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)
