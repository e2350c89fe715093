r"""Times every memory plan on a real card, with FLUX models of full size and random weights.

    python bench/gpu_check.py --out OUT --seconds 540     # on a machine with a card
    python bench/gpu_check.py --tiny --out OUT            # the same with tiny models, on any CPU
    python bench/gpu_check.py --only schnell:whole,klein  # some of the cases that --list names

Goals on an H100: ours / bare diffusers ≤ 1.01 for `whole`, expected / measured peak within 10 % for
every plan, gap between pictures ≤ 5 ms, dev's `fast` ≥ 1.8 times as fast as its `whole`. No weights
are needed: schnell, dev and klein are written to a ramdisk (34 + 16 GB), with their true shapes,
and drawn with through imagen_nb's own backend: loading, quantizing, moving and decoding are its
real code.

It needs no network. To a machine where nothing can be fetched, carry this checkout, and as wheels
what its Python lacks: beside torch, transformers, accelerate and peft that is, for the Python there
(bitsandbytes too, for nf4, if it can be carried):

    pip download --no-deps --only-binary=:all: --python-version 3.12 \
        --platform manylinux_2_28_x86_64 -d wheels diffusers torchao gguf

and run there, as one command:

    pip install --no-index --no-deps --target site wheels/*.whl &&
    PYTHONPATH=site python bench/gpu_check.py --out OUT --seconds 540

The most telling cases come first, each in a process of its own, forked from one that has imported
everything and never used CUDA. A line for each is appended to OUT/results.jsonl as soon as it is
known, OUT/table.md is written anew after each, and OUT/log.txt has what they print.

What random weights cannot tell: how often a first-block cache skips (two cases bound its time), how
good a quantized picture is, and whether true weights overflow in float16. A picture that is not
numbers, or black, is counted in the column `bad`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

START = time.perf_counter()
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # this checkout, installed or not
# By default is_available() uses CUDA, which forks then cannot use any more.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from gpu.cases import Case, chosen_cases  # noqa: E402
from gpu.processes import Row, failed_row, measure_here, run_in_child  # noqa: E402
from gpu.table import COLUMNS, as_markdown, describe_setup, with_ratios  # noqa: E402

MIN_SECONDS = 25.0  # left, or a case is not begun
GB = {"schnell": 34.0, "dev": 0.1, "klein": 17.0, "tiny": 0.1}
RAMDISK = "/dev/shm"


class Models:
    """The folders of the models in `root`, each written when it is first asked for."""

    def __init__(self, root: Path, tiny: bool) -> None:
        self.root, self.tiny = root, tiny

    def folder(self, model: str) -> Path:
        from imagen_nb.backends.flux.random_weights.layout import write_random_model

        folder = self.root / model
        if (folder / "model_index.json").exists():
            return folder
        shared = self.folder("schnell") if model == "dev" else None
        small = "tiny" if model == "schnell" else f"tiny-{model}"
        started = time.perf_counter()
        write_random_model(small if self.tiny else model, folder, shared)
        say(f"{model} written to {folder} in {time.perf_counter() - started:.0f} s")
        return folder


def say(line: str) -> None:
    print(f"{time.perf_counter() - START:4.0f} s  {line}", flush=True)


def place_for(cases: list[Case], tiny: bool) -> Path:
    """A new folder on a ramdisk, or else a disk, with room for all models of these cases."""
    models = {case.model for case in cases}
    models |= {"schnell"} if "dev" in models else set()
    gb = GB["tiny"] if tiny else sum(GB[model] for model in models)
    for root in (RAMDISK, tempfile.gettempdir(), "."):
        if os.path.isdir(root) and shutil.disk_usage(root).free > gb * 1e9:
            return Path(tempfile.mkdtemp(prefix="gpu_check_", dir=root)).resolve()
    raise SystemExit(f"no place has {gb:.0f} GB: choose fewer models with --only")


class Report:
    """The rows so far, on disk as soon as they are known."""

    def __init__(self, out: Path) -> None:
        self.folder, self._about = out, describe_setup()
        self._rows: list[Row] = []
        out.mkdir(parents=True, exist_ok=True)
        for name in ("log.txt", "results.jsonl"):
            (out / name).write_text("")
        say(self._about)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        with (self.folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        (self.folder / "table.md").write_text(self.table())
        shown = {name: with_ratios(row).get(name) for name in COLUMNS}
        figures = {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in shown.items()
            if value is not None and name not in ("model", "case")
        }
        say(f"{row['model']}:{row['case']}: {json.dumps(figures)[:700]}")

    def table(self) -> str:
        return as_markdown(self._rows, self._about)


def run_cases(
    cases: list[Case], models: Models, report: Report, seconds: float
) -> None:
    """Run them in their order, while there is time."""
    script = [sys.executable, str(Path(__file__).resolve())]
    script += ["--scratch", str(models.root), *(["--tiny"] if models.tiny else [])]
    for case in cases:
        left = seconds - (time.perf_counter() - START)
        if left < MIN_SECONDS:
            report.add(failed_row(case, "not run: no time left"))
            continue
        folder = models.folder(case.model)
        left = seconds - (time.perf_counter() - START)
        limit_s, again = min(case.limit_s, left), [*script, "--only", case.key]
        report.add(run_in_child(case, folder, report.folder, limit_s, again))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="small models, for a CPU")
    parser.add_argument("--out", type=Path, default=Path("."), help="a folder")
    parser.add_argument(
        "--seconds", type=float, default=540.0, help="for all of it, imports included"
    )
    parser.add_argument(
        "--only", default="", help="MODEL:CASE, MODEL or :CASE, with commas"
    )
    parser.add_argument(
        "--scratch", type=Path, help="where the models are, or shall be"
    )
    parser.add_argument("--list", action="store_true", help="the names of all cases")
    # One case, in this process, with its figures in this file.
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed_arguments()
    cases = chosen_cases(options.only)
    if not cases:
        raise SystemExit(f"no case is named {options.only}: --list names them all")
    if options.list:
        print("\n".join(case.key for case in cases))
        return
    if options.tiny:
        cases = [case.tiny() for case in cases]
    root = options.scratch or place_for(cases, options.tiny)
    models = Models(root.resolve(), options.tiny)
    if options.here:
        (case,) = cases
        measure_here(case, models.folder(case.model), options.here)
        return
    _import_all()
    report = Report(options.out.resolve())
    try:
        run_cases(cases, models, report, options.seconds)
    finally:
        if not options.scratch:
            shutil.rmtree(root, ignore_errors=True)
        print(report.table(), flush=True)


def _import_all() -> None:
    """What every case imports, once, for all of their processes: 10 s and more each."""
    import diffusers
    import transformers

    # Both import a class's module when the class is named.
    _ = diffusers.FluxPipeline, diffusers.Flux2KleinPipeline
    _ = transformers.PreTrainedTokenizerFast


if __name__ == "__main__":
    main()
