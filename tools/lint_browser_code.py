"""Lints the JavaScript and CSS of the package with Biome, which npm brings into .venv once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from npm_tools import npm_command

VERSION = "2.6.8"
ROOT = Path(__file__).parent.parent


if __name__ == "__main__":
    checked = [ROOT / "imagen_nb"]
    biome = npm_command("@biomejs/biome", VERSION, "biome")
    command = [biome, "lint", "--error-on-warnings", *map(str, checked)]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)
