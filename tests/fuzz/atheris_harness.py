"""Fuzzes one reader guided by coverage, with atheris.

    python -m tests.fuzz.atheris_harness READER FOLDER [options of libFuzzer]

FOLDER is the corpus, as in `sidecar corpus -max_total_time=600`. It begins with the valid and the
crafted bytes of the reader; new finds are added to it. The process may grow as little as with
`tests.fuzz.running`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["imagen_nb"]):
    from tests.fuzz.crafted import CRAFTED
    from tests.fuzz.guard import MAX_GROWTH_MB, peak_mb
    from tests.fuzz.readers import READERS
    from tests.fuzz.running import read_guarded


def write_corpus(reader: str, folder: Path) -> None:
    """Put the bytes to begin with into the folder: what is small, as all of it is mutated."""
    folder.mkdir(parents=True, exist_ok=True)
    small = [data for data in CRAFTED.get(reader, {}).values() if isinstance(data, bytes)]
    for data in (*READERS[reader].seeds, *small):
        (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)


def main() -> None:
    """Run until something is found, or libFuzzer's own limit is reached."""
    program, reader, corpus, *options = sys.argv
    write_corpus(reader, Path(corpus))
    fuzzed = READERS[reader]
    for whole in fuzzed.seeds:
        read_guarded(fuzzed, whole)  # imports what it needs
    limit = f"-rss_limit_mb={peak_mb() + MAX_GROWTH_MB:.0f}"
    atheris.Setup([program, corpus, limit, *options], lambda data: read_guarded(fuzzed, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
