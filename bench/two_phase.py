"""Many prompts in phases / a loop of pipeline calls: time and peak memory.

The FLUX is random, with a T5 that weighs to its transformer what T5-XXL weighs to that of FLUX.1,
9.5 to 23.8. Both sides draw the same 128 pictures, each side in a process of its own; ours frees
the text encoders when all prompts of a part are encoded.

python bench/two_phase.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

WORDS = ("boat", "house", "star", "tree", "cat", "moon", "hat", "bird")
PROMPTS = [f"a {one} and a {other}" for one in WORDS for other in WORDS]
SEEDS, SIDE, STEPS, LENGTH = (1, 2), 64, 2, 16
ROUNDS = 3

OURS = """
from imagen_nb.backends.flux.backend import custom
from imagen_nb.request.request import resolve
backend = custom(folder, memory={"text_encoders": "freed", **memory})
requests = [
    resolve(prompt, defaults=backend.defaults, limits=backend.limits, seed=seed, steps=steps,
            width=side, height=side, guidance=0.0, max_sequence_length=length)
    for prompt in prompts for seed in seeds
]
count = sum(1 for _ in backend.draw(requests, None, threading.Event()))
"""
THEIRS = """
import torch
from diffusers import FluxPipeline
pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
pipeline.set_progress_bar_config(disable=True)
count = 0
for prompt in prompts:
    for seed in seeds:
        count += len(pipeline(
            prompt, width=side, height=side, num_inference_steps=steps, guidance_scale=0.0,
            max_sequence_length=length, generator=torch.Generator().manual_seed(seed),
        ).images)
"""
CHILD = """
import json, resource, sys, threading, time
folder, prompts, seeds, side, steps, length, memory = json.loads(sys.argv[1])
started = time.perf_counter()
{work}
assert count == len(prompts) * len(seeds)
seconds = time.perf_counter() - started
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def write_model(folder: Path) -> tuple[float, float]:
    """A random FLUX with the embedded one's tokenizers and VAE; MB of its transformer and T5."""
    import torch
    from diffusers import FluxPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    from imagen_nb.backends.tiny import FLUX_TINY

    torch.manual_seed(0)
    pipeline = FluxPipeline.from_pretrained(FLUX_TINY.source, dtype=torch.float32)
    pipeline.transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=4,
        num_single_layers=8,
        attention_head_dim=64,
        num_attention_heads=8,
        joint_attention_dim=512,
        guidance_embeds=False,
        pooled_projection_dim=pipeline.text_encoder.config.hidden_size,
        axes_dims_rope=(16, 24, 24),
    )
    words = len(pipeline.tokenizer_2)
    pipeline.text_encoder_2 = T5EncoderModel(
        T5Config(
            vocab_size=words, d_model=512, d_kv=64, d_ff=1984, num_layers=9, num_heads=8
        )
    ).eval()
    pipeline.save_pretrained(folder)
    parts = (pipeline.transformer, pipeline.text_encoder_2)
    return tuple(sum(p.nbytes for p in part.parameters()) / 1e6 for part in parts)  # type: ignore[return-value]


def measured(work: str, folder: Path, memory: dict[str, int]) -> tuple[float, float]:
    """Seconds, loading included, and MB at the peak."""
    given = json.dumps([str(folder), PROMPTS, SEEDS, SIDE, STEPS, LENGTH, memory])
    command = [sys.executable, "-c", CHILD.replace("{work}", work), given]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def main() -> None:
    with tempfile.TemporaryDirectory("imagen-bench") as place:
        folder = Path(place) / "model"
        # In a process of its own: Linux counts a parent's peak as its children's.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            transformer, t5 = pool.submit(write_model, folder).result()
        print(
            f"transformer {transformer:.0f} MB, T5 {t5:.0f} MB: {t5 / transformer:.3f} of it"
        )
        print(f"in FLUX.1 that is {9.5 / 23.8:.3f}")
        for title, memory in (
            ("one by one", {"batch": 1}),
            ("in batches of 8", {"batch": 8}),
        ):
            pairs = []
            for number in range(ROUNDS):  # who goes first changes
                order = [("ours", OURS), ("theirs", THEIRS)][:: 1 if number % 2 else -1]
                pairs.append(
                    {name: measured(work, folder, memory) for name, work in order}
                )
            for column, unit, what in ((0, "s", "time"), (1, "MB", "peak memory")):
                sides = [
                    (pair["ours"][column], pair["theirs"][column]) for pair in pairs
                ]
                report(f"{title}, {what}", unit, sides)


def report(what: str, unit: str, pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(
        f"{len(PROMPTS)} prompts × {len(SEEDS)} seeds {what}: ours {ours:.1f} {unit}, "
        f"a loop {theirs:.1f} {unit}, ratio {ratio:.3f} (goal < 1)"
    )


if __name__ == "__main__":
    main()
