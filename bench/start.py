"""Starting: `import imagen_nb` and `imagen --help` / `import diffusers`.

python bench/start.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from timing import compare


def running(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    python, imagen = sys.executable, str(Path(sys.executable).with_name("imagen"))

    def diffusers() -> None:
        running(python, "-c", "import diffusers")

    def nothing() -> None:
        running(python, "-c", "pass")

    def package() -> None:
        running(python, "-c", "import imagen_nb")

    compare("import imagen_nb / python alone", package, nothing, "≤ 150 ms more")
    compare(
        "import imagen_nb / import diffusers",
        package,
        diffusers,
        "a small part",
        rounds=5,
    )
    compare(
        "imagen --help / import diffusers",
        lambda: running(imagen, "--help"),
        diffusers,
        "≤ 400 ms",
        5,
    )


if __name__ == "__main__":
    main()
