"""Peak memory of a 200-picture sweep / of a 10-picture one, each in a process of its own.

python bench/memory.py
"""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import resource, sys, tempfile
from imagen_nb import Studio
settings = {"backend": "flux-tiny-local", "output": {"dir": tempfile.mkdtemp("imagen-bench")}}
with Studio(settings) as studio:
    studio.sweep("a red boat", seeds=range(int(sys.argv[1])), progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kb(pictures: int) -> int:
    command = [sys.executable, "-c", CHILD, str(pictures)]
    return int(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )


def main() -> None:
    pairs = [(peak_kb(200), peak_kb(10)) for _ in range(3)]
    ratio = sorted(many / few for many, few in pairs)[1]
    many, few = sorted(pairs)[1]
    print(
        f"200 pictures {many / 1024:.0f} MB, 10 pictures {few / 1024:.0f} MB, "
        f"ratio {ratio:.3f} (goal ≤ 1.1)"
    )


if __name__ == "__main__":
    main()
