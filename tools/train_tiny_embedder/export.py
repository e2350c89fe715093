"""Writes the trained embedder as imagen_nb reads it: float16, norms folded into the kernels.

    python export.py --run RUN --output FOLDER

Fails unless NumPy gives what torch gives, for a picture and a text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import checkpoints
import numpy as np
import torch
from make_data import SIDE
from network import DIMENSIONS, MAX_TOKENS, Pair
from safetensors.torch import save
from torch import Tensor, nn
from train import HEADS, load_tokenizer

from imagen_nb.frames.plugins.tiny_embedder.network import picture_vector, text_vector


def trained_pair(run: Path) -> Pair:
    state = checkpoints.load(run / "pair.pt")
    if state is None:
        raise SystemExit("export: nothing is trained yet; run train.py first")
    sizes = {name: len(classes) for name, classes in HEADS.items()}
    pair = Pair(load_tokenizer().get_vocab_size(), sizes)
    pair.load_state_dict(state["pair"])
    return pair.eval()


def folded(name: str, block: nn.Sequential) -> Iterator[tuple[str, Tensor]]:
    """A kernel and its norm as one matrix (inputs · places, outputs) and a bias."""
    kernel, norm = block[0].weight, block[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    yield name, (kernel.flatten(1) * scale[:, None]).T
    yield f"{name}.bias", norm.bias - norm.running_mean * scale


def linear(name: str, layer: nn.Linear) -> Iterator[tuple[str, Tensor]]:
    yield name, layer.weight.T
    yield f"{name}.bias", layer.bias


def named_weights(pair: Pair) -> Iterator[tuple[str, Tensor]]:
    pictures, texts = pair.pictures, pair.texts
    for level, (down, same) in enumerate(
        zip(pictures.down, pictures.same, strict=True)
    ):
        yield from folded(f"down.{level}", down)
        for which, block in enumerate(same):
            yield from folded(f"same.{level}.{which}", block)
    yield from folded("narrow", pictures.narrow)
    yield from linear("seen", pictures.seen)
    yield from linear("picture", pictures.vector)
    yield "words", texts.words.weight
    yield "places", texts.places.weight
    for number, layer in enumerate(texts.layers):
        name = f"layers.{number}"
        yield f"{name}.before", layer.before.weight
        yield f"{name}.between", layer.between.weight
        for part in ("query_key_value", "joined", "wide", "back"):
            yield from linear(f"{name}.{part}", getattr(layer, part))
    yield "last", texts.last.weight
    yield from linear("text", texts.vector)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@torch.no_grad()
def check(pair: Pair, weights: dict[str, np.ndarray]) -> None:
    """Halves and NumPy must make no difference that matters."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    ids = load_tokenizer().encode("a small red boat left of a blue cat, night").ids
    pairs = {
        "picture": (pair.pictures(tensor)[1][0], picture_vector(weights, pixels)),
        "text": (pair.texts(torch.tensor([ids]))[0], text_vector(weights, ids)),
    }
    for what, (wanted, found) in pairs.items():
        if (likeness := cosine(wanted.numpy(), found)) < 0.999:
            raise SystemExit(
                f"export: NumPy's vector of a {what} is {likeness:.4f} alike"
            )


@torch.no_grad()
def export(run: Path, output: Path) -> None:
    pair = trained_pair(run)
    halves = {name: values.half().contiguous() for name, values in named_weights(pair)}
    check(pair, {name: values.float().numpy() for name, values in halves.items()})
    output.mkdir(parents=True, exist_ok=True)
    file = output / "model.safetensors"
    file.write_bytes(save(halves))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    config = {
        "model": f"tiny-{digest[:12]}",
        "dimensions": DIMENSIONS,
        "side": SIDE,
        "words": MAX_TOKENS,
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    numbers = sum(values.numel() for values in halves.values())
    print(f"{numbers / 1e6:.2f} M numbers, {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    export(options.run, options.output)
