"""40 pictures drawn in a notebook with the live preview / the same without anything shown.

python bench/live.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

MEASURED = """
import sys, tempfile
sys.path.insert(0, {bench!r})
from itertools import count
from timing import compare
from imagen_nb import Studio

studio = Studio({{"backend": "flux-tiny-local", "output": {{"dir": tempfile.mkdtemp()}}}})

def drawing(progress, firsts):
    def draw():
        first = next(firsts) * 40
        {call}
    return draw

compare({title!r}, drawing(None, count()), drawing(False, count(1000)), "≤ 1.02", rounds=9)
"""
CALLS = {
    "one by one": "[studio.generate('a red boat', seed=first + i, progress=progress)"
    " for i in range(40)]",
    "a sweep": "studio.sweep('a red boat', seeds=range(first, first + 40), progress=progress)",
}


def main() -> None:
    bench = str(Path(__file__).parent)
    for name, call in CALLS.items():
        title = f"40 pictures with a live preview, {name}"
        code = MEASURED.format(bench=bench, call=call, title=title)
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(book, timeout=None).execute()
        said = [output.text for output in book.cells[0].outputs if "text" in output]
        sys.stdout.write("".join(said))


if __name__ == "__main__":
    main()
