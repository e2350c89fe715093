"""A diffusers call of about a second with autolog, without, and with wandb's autolog (offline).

python bench/autolog.py [--rounds 9]

StableDiffusionPipeline, which wandb's autolog knows, with a random network that is small enough for
a CPU; 256 × 256 pixels. In turn, each first as often as last. `pip install wandb` to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from timing import seconds

import imagen_nb as im

sys.path.append(str(Path(__file__).parent.parent))  # the tests' own tiny networks

from tests.fixtures import sd_layout

SIDE = 256
WANDB = find_spec("wandb") is not None
Watch = Callable[[], AbstractContextManager[object]]


class Inner:
    """Time spent in the pipeline itself, below whatever is around its call."""

    def __init__(self) -> None:
        self.seconds, original = 0.0, StableDiffusionPipeline.__call__

        def call(pipeline: Any, *args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(pipeline, *args, **kwargs)
            finally:
                self.seconds = time.perf_counter() - began

        call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        StableDiffusionPipeline.__call__ = call  # type: ignore[method-assign]


@contextmanager
def ours() -> Iterator[None]:
    with contextlib.redirect_stderr(
        io.StringIO()
    ):  # the line that says where pictures go
        im.autolog()
    try:
        yield
        im.pending()  # waits, untimed, until all is written
    finally:
        im.autolog(disable=True)


@contextmanager
def wandbs() -> Iterator[None]:
    from wandb.integration.diffusers import autolog

    autolog()
    try:
        yield
    finally:
        autolog.disable()


def one(pipeline: Any, steps: int, seed: int) -> object:
    generator = torch.Generator().manual_seed(seed)
    more = {
        "num_inference_steps": steps,
        "width": SIDE,
        "height": SIDE,
        "generator": generator,
    }
    return pipeline("a red boat at sunset", **more)


def steps_of_a_second(pipeline: Any) -> int:
    one(pipeline, 1, 0)
    few, many = (seconds(partial(one, pipeline, steps, 0)) for steps in (1, 11))
    return max(1, round(10 * (1 - few) / max(many - few, 0.01)))


def measure(
    pipeline: Any, watches: dict[str, Watch], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each call, by what watched it, and what that added to the pipeline's own time."""
    steps, inner = steps_of_a_second(pipeline), Inner()
    times: dict[str, list[float]] = {
        name: [] for name in (*watches, *map("+ {}".format, watches))
    }
    names = [*watches]
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with watches[name]():
                took = seconds(partial(one, pipeline, steps, number))
            if number:  # the first of each warms up
                times[name].append(took)
                times[f"+ {name}"].append(took - inner.seconds)
    return times


def report(times: dict[str, list[float]]) -> None:
    base = times["nothing"]
    for name, goal in (("autolog", "≤ 1.010"), ("wandb", "none: it is the peer")):
        if name in times:
            ratio = median(x / y for x, y in zip(times[name], base, strict=True))
            added = median(times[f"+ {name}"])
            print(
                f"{name}: {median(times[name]) * 1e3:.0f} ms, without {median(base) * 1e3:.0f} ms, "
                f"ratio {ratio:.3f} (goal {goal}); of these {added * 1e3:.2f} ms around the call, "
                f"{100 * added / median(base):.2f} %"
            )
    if "wandb" in times:
        ratio = median(times["+ autolog"]) / median(times["+ wandb"])
        print(
            f"around the call, autolog / wandb's autolog: ratio {ratio:.3f} (goal < 1)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    pipeline = sd_layout.new_pipeline(levels=4)
    pipeline.set_progress_bar_config(disable=True)
    watches: dict[str, Watch] = {"nothing": nullcontext, "autolog": ours}
    with tempfile.TemporaryDirectory(prefix="imagen-bench-") as folder:
        studio = im.configure(output={"dir": f"{folder}/pictures"})
        if WANDB:
            os.environ |= {
                "WANDB_MODE": "offline",
                "WANDB_SILENT": "true",
                "WANDB_DIR": folder,
            }
            import wandb

            run, watches["wandb"] = wandb.init(project="bench"), wandbs
        else:
            print("wandb is not here, so it is not compared with: pip install wandb")
        report(measure(pipeline, watches, rounds))
        print(f"recorded: {len(im.history())} pictures")
        studio.close()
        if WANDB:
            run.finish()


if __name__ == "__main__":
    main()
