"""What pictures of other programs say: our readers against sd-parsers, on the corpus of the tests.

    pip install "sd-parsers==0.6"
    python bench/metadata_readers.py [--failures]     # which names what is not read

For each program: how many of its pictures are read right by each, and the time for one. Right are
prompt, negative prompt, seed, steps, guidance, model and the beginning of the sampler; LoRAs and
strength, which sd-parsers does not give, do not count. Goal: ours all, which tests hold.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from sd_parsers import Eagerness, ParserManager

sys.path.append(str(Path(__file__).parent.parent))  # the tests' own corpus

from imagen_nb.storage.other_programs.foreign_metadata import (
    ForeignMetadata,
    finite_number,
    seed_of,
    steps_of,
)
from imagen_nb.storage.other_programs.reading import read_metadata
from tests.fixtures.other_programs import SAMPLES, write_sample

Facts = tuple[Any, ...]


def ours(path: Path) -> Facts:
    """What our readers say."""
    with Image.open(path) as image:
        return facts(read_metadata(image, path))


def facts(found: ForeignMetadata) -> Facts:
    """What is compared."""
    named = (found.prompt, found.negative_prompt, found.model, found.sampler)
    return (*named, found.seed, found.steps, found.guidance)


def theirs(path: Path) -> Facts | None:
    """What sd-parsers says of the first sampler; None for nothing, or an error of its own."""
    try:
        with Image.open(path) as image:
            found = ParserManager(eagerness=Eagerness.EAGER).parse(image)
    except Exception:
        return None
    if found is None or not found.samplers:
        return None
    sampler = found.samplers[0]
    values = {str(name).lower(): value for name, value in found.metadata.items()}
    values |= sampler.parameters
    return (
        "\n".join(str(prompt.value) for prompt in sampler.prompts).strip(),
        "\n".join(str(prompt.value) for prompt in sampler.negative_prompts) or None,
        str(sampler.model.name or sampler.model.hash) if sampler.model else None,
        str(sampler.name),
        seed_of(values.get("seed", values.get("noise_seed"))),
        steps_of(values.get("steps")),
        finite_number(values.get("cfg_scale")),
    )


def is_right(found: Facts | None, wanted: Facts) -> bool:
    """Whether all is as wanted; of the sampler, whether it begins so."""
    if found is None:
        return False
    sampler, whole = found[3], wanted[3]
    begins = sampler == whole or bool(whole and sampler and whole.startswith(sampler))
    return begins and found[:3] + found[4:] == wanted[:3] + wanted[4:]


def main() -> None:
    """Print a line for each program, and one for all."""
    readers: dict[str, Callable[[Path], Facts | None]] = {
        "ours": ours,
        "sd-parsers": theirs,
    }
    right: dict[str, Counter[str]] = {name: Counter() for name in readers}
    seconds: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for sample in SAMPLES:
        wanted = ForeignMetadata(**sample.expected)
        if wanted.program in ("unknown", "imagen_nb"):
            continue
        total[wanted.program] += 1
        with tempfile.TemporaryDirectory() as folder:
            path = write_sample(sample, Path(folder))
            for name, read in readers.items():
                read(path)  # imports what it needs
                begin = time.perf_counter()
                found = read(path)
                seconds[name] += time.perf_counter() - begin
                correct = is_right(found, facts(wanted))
                right[name][wanted.program] += correct
                if not correct and "--failures" in sys.argv:
                    print(f"{name}: {sample.name}: {found}")
    for program, count in total.items():
        shares = ", ".join(f"{name} {right[name][program]}" for name in readers)
        print(f"{program}: {shares} of {count}")
    every = total.total()
    for name in readers:
        each = seconds[name] / every * 1000
        print(f"{name}: {right[name].total()} of {every}, {each:.2f} ms a picture")


if __name__ == "__main__":
    main()
