"""Trains the embedder on pictures of make_data.py.

    python train.py --run RUN [--steps 2000] [--batch 128]

Half of a step's pictures were drawn by code, half by the embedded FLUX. Each picture shall find
its caption, and each caption its picture, among all of the step and among captions of scenes that
differ by one part; a few words shall find all pictures that they are true of. Heads name what is
seen (object, colour, surroundings …), which teaches the kernels faster. Writes RUN/pair.pt every
200 steps and goes on from it, also with more steps or pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random
from typing import Any

import checkpoints
import numpy as np
import torch
import world
from make_data import load_chunks
from network import MAX_TOKENS, Pair
from optimiser import Muon, rate_factor, split_parameters
from scenes import Scene
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from vocabulary import COLOURS, OBJECTS, PLACES, POSITIONS, SIZES, SKIES, STYLES

from imagen_nb.backends.tiny import WEIGHTS

SURROUNDINGS = (
    *(f"{place} {sky}" for place in PLACES for sky in SKIES),
    *(f"plain {colour}" for colour in COLOURS),
)
HEADS: dict[str, tuple[Any, ...]] = {
    "object": ("", *OBJECTS),
    "colour": ("", *COLOURS),
    "size": ("", *SIZES),
    "other object": ("", *OBJECTS),
    "other colour": ("", *COLOURS),
    "count": (1, 2, 3),
    "relation": ("", "leftof", "above"),
    "position": ("", *POSITIONS),
    "surroundings": SURROUNDINGS,
    "style": STYLES,
}
NAMED = 0.15  # weight of one head's loss
INCOMPLETE = 0.5  # weight of the loss of a few words


def labels(scene: Scene) -> list[int]:
    """What each head shall say."""
    things, count, relation, position, surroundings, style = world.meaning(scene)
    first, second, *_ = (*things, ("",) * 3, ("",) * 3)  # type: ignore[misc]
    said = (*first, *second[:2], count, relation or "", position, surroundings, style)
    return [
        classes.index(word) for classes, word in zip(HEADS.values(), said, strict=True)
    ]


def load_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(WEIGHTS / "tokenizer_2" / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def augmented(pictures: Tensor) -> Tensor:
    """Moved a little, and half of them blurred and noisy; colours are what they are."""
    pad = functional.pad(pictures, (2, 2, 2, 2), mode="replicate")
    x, y = torch.randint(5, (2,)).tolist()
    pictures = pad[:, :, y : y + 64, x : x + 64]
    blurred = functional.avg_pool2d(
        functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1
    )
    chosen = torch.rand(len(pictures), 1, 1, 1)
    share = (1 - 2 * chosen).clamp(min=0)
    return torch.lerp(pictures, blurred, share) + torch.randn_like(pictures) * (
        0.05 * share
    )


class Data:
    """Pictures, scenes, and what a step takes of them: pairs of neighbours."""

    def __init__(self, run: Path) -> None:
        pictures, self.scenes, by_flux = load_chunks(run)
        self.pictures = torch.from_numpy(pictures)
        self.labels = torch.tensor([labels(scene) for scene in self.scenes])
        starts = np.arange(0, len(pictures), 2)
        self.starts = {flux: starts[by_flux[::2] == flux] for flux in (False, True)}
        self.facts = [world.facts(scene) for scene in self.scenes]
        self.tokenizer = load_tokenizer()

    def pick(self, rng: Random, size: int) -> list[int]:
        """Numbers of pictures, half of them the FLUX's, two neighbours at a time."""
        return [
            int(start) + one
            for flux in (False, True)
            for start in rng.sample(list(self.starts[flux]), size // 4)
            for one in (0, 1)
        ]

    def look_at(self, picked: list[int]) -> Tensor:
        pictures = self.pictures[picked].permute(0, 3, 1, 2)
        return augmented(pictures.float() / 127.5 - 1)

    def captions(self, picked: list[int], rng: Random) -> tuple[Tensor, list[Scene]]:
        """Ids of a text for each picture, then of one for a neighbour; and their scenes."""
        said = [self.scenes[i] for i in picked]
        said += [world.sibling(scene, rng) for scene in said]
        return self.ids([world.paraphrase(scene, rng) for scene in said]), said

    def few_words(self, picked: list[int], rng: Random) -> tuple[Tensor, Tensor]:
        """Ids of half as many texts, and of which pictures they are true: (texts, pictures)."""
        said = [world.incomplete(self.scenes[i], rng) for i in picked[::2]]
        true = [[facts <= self.facts[i] for i in picked] for _, facts in said]
        return self.ids([text for text, _ in said]), torch.tensor(true)

    def ids(self, texts: list[str]) -> Tensor:
        return torch.tensor([one.ids for one in self.tokenizer.encode_batch(texts)])


def same_meaning(said: list[Scene], size: int) -> Tensor:
    """(pictures, texts): where a text says a picture that is not the one it was made for."""
    meanings = [world.meaning(scene) for scene in said]
    number = {meaning: i for i, meaning in enumerate(dict.fromkeys(meanings))}
    numbers = torch.tensor([number[meaning] for meaning in meanings])
    same = numbers[:size, None] == numbers[None, :]
    same[torch.arange(size), torch.arange(size)] = False
    return same


def loss_of(pair: Pair, data: Data, rng: Random, size: int, mixed: bool) -> Tensor:
    picked = data.pick(rng, size)
    pictures, (ids, said) = data.look_at(picked), data.captions(picked, rng)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        seen, vectors = pair.pictures(
            pictures.contiguous(memory_format=torch.channels_last)
        )
    likeness = pair.likeness(vectors, pair.texts(ids))
    likeness = likeness.masked_fill(same_meaning(said, len(pictures)), -1e4)
    truth = torch.arange(len(pictures))
    loss = functional.cross_entropy(likeness, truth)
    loss = loss + functional.cross_entropy(likeness[:, : len(pictures)].T, truth)
    words, true = data.few_words(picked, rng)
    shares = true / true.sum(1, keepdim=True)
    likeness = pair.likeness(vectors, pair.texts(words)).T
    loss = loss + INCOMPLETE * functional.cross_entropy(likeness, shares)
    for head, right in zip(pair.heads.values(), data.labels[picked].T, strict=True):
        loss = loss + NAMED * functional.cross_entropy(
            head(seen.float()), right, label_smoothing=0.02
        )
    return loss


def train(run: Path, steps: int, size: int, mixed: bool) -> None:
    torch.manual_seed(0)
    data = Data(run)
    print({flux: 2 * len(starts) for flux, starts in data.starts.items()}, flush=True)
    sizes = {name: len(classes) for name, classes in HEADS.items()}
    pair = Pair(data.tokenizer.get_vocab_size(), sizes)
    pair.pictures.to(memory_format=torch.channels_last)
    matrices, others = split_parameters([pair])
    precision = torch.bfloat16 if mixed else torch.float32
    optimisers = [
        Muon(matrices, lr=0.02, decay=0.01, dtype=precision),
        torch.optim.AdamW(others, lr=2e-3, betas=(0.9, 0.98)),
    ]
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    first = 0
    if state := checkpoints.load(run / "pair.pt"):
        pair.load_state_dict(state["pair"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        first = state["step"]
    started, total = time.monotonic(), 0.0
    for step in range(first, steps):
        torch.manual_seed(1_000_000 + step)
        loss = loss_of(pair, data, Random(f"pair {step}"), size, mixed)
        pair.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 5.0)
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rate_factor(step, steps)
            optimiser.step()
        total += loss.item()
        if (step + 1) % 25 == 0:
            spent = time.monotonic() - started
            print(f"{step + 1} loss {total / 25:.3f} {spent:.0f} s", flush=True)
            total = 0.0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            states = [optimiser.state_dict() for optimiser in optimisers]
            checkpoints.save(
                run / "pair.pt",
                {"pair": pair.state_dict(), "optimisers": states, "step": step + 1},
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="faster where the CPU multiplies bfloat16 (avx512_bf16)",
    )
    options = parser.parse_args()
    train(options.run, options.steps, options.batch, options.bf16)
