"""Makes a training run out of exported weights, to go on from them when the run itself is lost.

    python restore.py --model FOLDER --run RUN --step 5000

Writes RUN/vae.pt and RUN/flow.pt without optimiser states. `--step`: how far the training counts as
done, which sets the learning rate of what follows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import checkpoints
import torch
from diffusers import FluxPipeline
from train_flow import Flow


def restore(model: Path, run: Path, step: int) -> None:
    pipeline = FluxPipeline.from_pretrained(model, dtype=torch.float32)
    flow = Flow()
    flow.transformer.load_state_dict(pipeline.transformer.state_dict())
    flow.clip.load_state_dict(pipeline.text_encoder.state_dict())
    flow.t5.load_state_dict(pipeline.text_encoder_2.state_dict())
    weights = flow.state_dict()
    done = {"optimisers": [], "step": step}
    checkpoints.save(run / "vae.pt", {"vae": pipeline.vae.state_dict(), **done})
    checkpoints.save(run / "flow.pt", {"model": weights, "average": weights, **done})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--step", type=int, required=True)
    options = parser.parse_args()
    restore(options.model, options.run, options.step)
