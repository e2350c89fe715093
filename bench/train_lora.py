"""What a LoRA teaches the embedded FLUX: an object in a colour that it cannot draw.

python bench/train_lora.py [--run FOLDER] [--object boat] [--colour olive] [--steps 100]

1. A probe (tools/train_tiny_flux/probe.py), which sees pictures only, is trained on scenes drawn by
   code, with one more colour than the FLUX knows. It is kept in --run, and used again from there.
2. The FLUX draws all its objects in all its colours: is there a pair that it cannot draw?
3. 20 pictures of the object in the new colour are drawn by code, with captions, as a data set.
4. `imagen train-lora` (its function) trains a LoRA on them.
5. The FLUX draws it with and without the LoRA, from the same seeds; the probe says what is there.
   So are other prompts: does it still draw what it could?

The processor's time is that of all threads of this process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

TOOLS = Path(__file__).parent.parent / "tools" / "train_tiny_flux"
NEW_COLOURS = {
    "olive": (112, 120, 36),
    "maroon": (112, 20, 52),
    "beige": (224, 200, 156),
}
GOAL_BEFORE, GOAL_AFTER, GOAL_MINUTES = 0.10, 0.80, 10
PICTURES = 20
PREVIEWS = 3
ASKED = ("a {}", "a {} in the snow", "a small {} at night")  # the first decides


def tools_with(colour: str) -> tuple[Any, Any, Any]:
    """The modules scenes, drawing and probe, which know one colour more."""
    sys.path.insert(0, str(TOOLS))
    import vocabulary

    vocabulary.COLOURS[colour] = NEW_COLOURS[colour]
    import drawing
    import probe
    import scenes

    return scenes, drawing, probe


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.0f} s, {processor:.0f} s of processors", flush=True)


def drawn(
    prompts: Sequence[str], seeds: Sequence[int], loras: Path | None = None
) -> list[Any]:
    """Each prompt with its seed, as `im.generate` would draw it with the usual settings."""
    from imagen_nb.backends import make_backend
    from imagen_nb.request.request import resolve

    backend = make_backend("flux-tiny-local", loras=loras)
    requests = [
        resolve(prompt, defaults=backend.defaults, limits=backend.limits, seed=seed)
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    return [one.image for one in backend.draw(requests, None, Event())]


def share(seen: list[dict[str, str]], kind: str, colour: str) -> float:
    right = [(one["object"], one["colour"]) == (kind, colour) for one in seen]
    return sum(right) / len(right)


def weakest_pairs(
    probe: Any, judge: Any, known: Sequence[str], seeds: int
) -> list[tuple[float, str]]:
    """The pairs of object and known colour that one seed did not give, worst first."""
    from vocabulary import OBJECTS

    def rates(pairs: list[tuple[str, str]], seeds: range) -> list[float]:
        prompts = [f"a {colour} {kind}" for kind, colour in pairs for _ in seeds]
        seen = probe.verdicts(judge, drawn(prompts, [*seeds] * len(pairs)))
        parts = [seen[n : n + len(seeds)] for n in range(0, len(seen), len(seeds))]
        return [share(part, *pair) for part, pair in zip(parts, pairs, strict=True)]

    pairs = [(kind, colour) for kind in OBJECTS for colour in known]
    first = zip(pairs, rates(pairs, range(1)), strict=True)
    failed = [pair for pair, rate in first if not rate]
    found = zip(rates(failed, range(1, 1 + seeds)), failed, strict=True)
    return sorted((rate, f"{colour} {kind}") for rate, (kind, colour) in found)


def write_data_set(
    scenes: Any, drawing: Any, folder: Path, kind: str, colour: str
) -> list[str]:
    """20 pictures with captions beside them, no two of one scene; returns the captions."""
    rng, captions = Random(f"{colour} {kind}"), []
    folder.mkdir(parents=True, exist_ok=True)
    while len(captions) < PICTURES:
        scene = scenes.random_scene(rng)
        is_plain = len(scene.things) == 1 and scene.count == 1
        if not is_plain or scene.background == colour or scene.style == "pixel":
            continue
        thing = scenes.Thing(kind, colour, scene.things[0].size)
        scene = scenes.Scene(
            (thing,),
            position=scene.position,
            place=scene.place,
            sky=scene.sky,
            background=scene.background,
            style=scene.style,
        )
        path = folder / f"{len(captions):02d}.png"
        drawing.picture(scene, rng).save(path)
        captions.append(scenes.caption(scene, rng))
        path.with_suffix(".txt").write_text(f"{captions[-1]}\n", encoding="utf-8")
    return captions


def other_prompts(scenes: Any, kind: str, colour: str, count: int) -> list[Any]:
    """Scenes of one object that have nothing to do with what was learnt."""
    rng, found = Random("others"), []
    while len(found) < count:
        scene = scenes.random_scene(rng)
        thing = scene.things[0] if len(scene.things) == 1 and scene.count == 1 else None
        if (
            thing
            and thing.kind != kind
            and colour not in (thing.colour, scene.background)
        ):
            found.append(scene)
    return found


def lora_of(options: argparse.Namespace, run: Path) -> Path:
    return run / f"{options.colour}-{options.object}.safetensors"


def taught(options: argparse.Namespace, run: Path, scenes: Any, drawing: Any) -> float:
    """Train the LoRA, unless it is in `run` already; return the minutes of processors."""
    import imagen_nb as im

    lora, told = lora_of(options, run), run / "training.json"
    if not lora.is_file():
        folder = run / "set"
        captions = write_data_set(
            scenes, drawing, folder, options.object, options.colour
        )
        print(f"the data set says: {captions[:3]} …")
        output = {"dir": str(run / "pictures")}
        began, processor = time.perf_counter(), time.process_time()
        settings = {"backend": "flux-tiny-local", "output": output}
        with im.Studio(settings, background=False) as studio:
            studio.train_lora(
                folder,
                lora,
                steps=options.steps,
                rank=options.rank,
                learning_rate=options.learning_rate,
                batch=options.batch,
                preview_every=-(-options.steps // PREVIEWS),
                progress=False,
            )
            kept = studio.history(tags="train-lora", source="local", limit=None)
        facts = {
            "seconds": round(time.perf_counter() - began),
            "of processors": round(time.process_time() - processor),
            "previews kept": len(kept),
            "MB": round(lora.stat().st_size / 1e6, 1),
        }
        told.write_text(json.dumps(facts), encoding="utf-8")
    facts = json.loads(told.read_text(encoding="utf-8"))
    print(f"training, {options.steps} steps of {options.batch}: {facts}", flush=True)
    return float(facts["of processors"]) / 60


def trusted_judge(
    options: argparse.Namespace, run: Path, drawing: Any, probe: Any
) -> Any:
    """The probe, trained unless it is in `run` already, and measured itself."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "probe.pt").is_file():
        with timed(f"a probe of {options.probe_steps} steps"):
            probe.train(run, options.probe_steps, False, options.probe_batch)
    judge, rng = probe.trained_probe(run), Random("fresh scenes")
    fresh = [probe.single_scene(rng) for _ in range(500)]
    pictures = [drawing.picture(scene, rng) for scene in fresh]
    right = probe.accuracy(fresh, probe.verdicts(judge, pictures))
    said = ", ".join(f"{part} {rate:.1%}" for part, rate in right.items())
    print(f"the probe on 500 scenes drawn by code: {said}", flush=True)
    return judge


def prove(options: argparse.Namespace, run: Path) -> bool:
    kind, colour = options.object, options.colour
    scenes, drawing, probe = tools_with(colour)
    from vocabulary import COLOURS

    judge = trusted_judge(options, run, drawing, probe)
    if options.scan:
        known = [name for name in COLOURS if name != colour]
        weakest = weakest_pairs(probe, judge, known, options.scan)
        print(f"known pairs that a first seed did not give: {weakest}", flush=True)
    minutes = taught(options, run, scenes, drawing)
    lora = lora_of(options, run)

    def rate(prompt: str, wanted: str, loras: Path | None, seeds: int) -> float:
        # Seeds that nothing was trained or previewed with.
        pictures = drawn([prompt] * seeds, range(1000, 1000 + seeds), loras)
        return share(probe.verdicts(judge, pictures), kind, wanted)

    decisive: list[tuple[float, float]] = []
    for text in ASKED:
        prompt = text.format(f"{colour} {kind}")
        before, after = (
            rate(prompt, colour, one, options.seeds) for one in (None, lora)
        )
        print(
            f"{prompt!r}: {before:.0%} without, {after:.0%} with the LoRA", flush=True
        )
        decisive.append((before, after))
    others, rng = other_prompts(scenes, kind, colour, options.others), Random("others")
    texts = [scenes.caption(scene, rng) for scene in others]
    for loras, name in ((None, "without"), (lora, "with")):
        pictures = drawn(texts, range(len(texts)), loras)
        right = probe.accuracy(others, probe.verdicts(judge, pictures))
        said = ", ".join(f"{part} {share_:.0%}" for part, share_ in right.items())
        print(f"{len(texts)} other prompts {name} the LoRA: {said}", flush=True)
    red = rate(f"a red {kind}", "red", lora, options.seeds // 2)
    print(f"'a red {kind}' with the LoRA: red in {red:.0%}")
    before, after = decisive[0]
    goals = f"(≤ {GOAL_BEFORE:.0%}, ≥ {GOAL_AFTER:.0%}, ≤ {GOAL_MINUTES} minutes of processors)"
    met = before <= GOAL_BEFORE and after >= GOAL_AFTER and minutes <= GOAL_MINUTES
    print("met" if met else "NOT met", goals)
    return met


def main(arguments: Sequence[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="kept; a temporary one unless given")
    parser.add_argument("--object", default="boat")
    parser.add_argument("--colour", default="olive", choices=NEW_COLOURS)
    parser.add_argument("--probe-steps", type=int, default=1200)
    parser.add_argument("--probe-batch", type=int, default=32)
    parser.add_argument("--scan", type=int, default=8, help="seeds a pair; 0: no scan")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--others", type=int, default=100, help="other prompts")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return prove(options, options.run or Path(folder))


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
