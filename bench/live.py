"""Pictures drawn in a notebook with the live preview / the same without anything shown.

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
seeds = count()

def drawing(progress):
    def draw():
        wanted = [next(seeds) for _ in range({pictures})]
        studio.sweep("a red boat", seeds=wanted, steps={steps}, progress=progress)
    return draw

compare({title!r}, drawing(None), drawing(False), "≤ 1.02", rounds={rounds})
"""
ROUNDS = {  # pictures, steps: how often, so that a busy machine's moods even out
    (1, 6): 120,  # too fast for anything to be shown
    (1, 48): 30,
    (40, 6): 12,
}


def main() -> None:
    bench = str(Path(__file__).parent)
    for (pictures, steps), rounds in ROUNDS.items():
        title = f"{pictures} of {steps} steps with a live preview"
        code = MEASURED.format(
            bench=bench, pictures=pictures, steps=steps, rounds=rounds, title=title
        )
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(book, timeout=None).execute()
        said = [output.text for output in book.cells[0].outputs if "text" in output]
        sys.stdout.write("".join(said))


if __name__ == "__main__":
    main()
