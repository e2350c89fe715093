"""One record for each picture of a call: from its arguments, the pipeline and the picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.storage.record import Record
from imagen_nb.studio.autolog.arguments import Said
from imagen_nb.studio.autolog.images import Shown
from imagen_nb.studio.autolog.noise import Generators
from imagen_nb.studio.redraw import AUTOLOGGED
from imagen_nb.system.paths import absolute, portable

EMBEDDED = (
    "[prompt_embeds]"  # the prompt of a call that was given its embeddings instead
)
_ELSEWHERE = {  # arguments that a record has in other places, or that leave the pixels alone
    "prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "max_sequence_length",
    "width", "height", "num_images_per_prompt", "generator", "output_type", "return_dict",
}  # fmt: skip
_DENOISERS = ("transformer", "unet", "prior")
_LONGEST, _MOST = 2000, 64  # characters of a text, items of a list


def records(
    pipeline: Any, told: Said, pictures: Sequence[Shown], latency_ms: int
) -> list[Record]:
    """What is known of the pictures of one call. `latency_ms`: milliseconds, of each."""
    count = len(pictures)
    prompts, negative = _prompts(told, count), _texts(told["negative_prompt"], count)
    common = {
        **_of_pipeline(pipeline),
        **_of_call(pipeline, told),
        "latency_ms": latency_ms,
    }
    options = {**_origin(pipeline), "arguments": _arguments(told)}
    if len(set(prompts)) > 1:
        options["prompts"] = len(set(prompts))
    return [
        Record(
            prompt=prompts[index], width=one.width, height=one.height, batch_size=count,
            batch_index=index, **common, **_noise(told.generators, index, count, options, negative),
        )
        for index, one in enumerate(pictures)
    ]  # fmt: skip


def _noise(
    generators: Generators, index: int, count: int, options: Mapping[str, Any],
    negative: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    noise = generators.noise(index, count)
    more = {"negative_prompt": negative[index]} if negative and negative[index] else {}
    return {
        "seed": noise.seed,
        "options": {**options, "generator": noise.generator, **more},
    }


def _prompts(told: Said, count: int) -> Sequence[str]:
    if told["prompt"] is None:
        embedded = told["prompt_embeds"] is not None
        return [EMBEDDED if embedded else ""] * count
    return _texts(told["prompt"], count)


def _texts(value: Any, count: int) -> Sequence[str]:
    """The text of each picture: pipelines draw so many pictures of the first, then of the next."""
    if value is None:
        return []
    one = isinstance(value, str) or not isinstance(value, Iterable)
    texts = [str(text) for text in ([value] if one else value)]
    if not texts or count % len(texts):
        return [
            "; ".join(texts)
        ] * count  # nobody but the pipeline knows which is whose
    return [texts[index * len(texts) // count] for index in range(count)]


def _of_call(pipeline: Any, told: Said) -> dict[str, Any]:
    guidance, length = told["guidance_scale"], told["max_sequence_length"]
    return {
        "backend": AUTOLOGGED,
        "cost_usd_estimate": 0.0,
        "steps": _steps(pipeline, told),
        "guidance": float(guidance) if _is_number(guidance) else None,
        "max_sequence_length": length if isinstance(length, int) else None,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _steps(pipeline: Any, told: Said) -> int:
    """As asked for, or as the scheduler counted them; 0 where nothing is denoised."""
    listed = [
        told[name] for name in ("timesteps", "sigmas") if hasattr(told[name], "__len__")
    ]
    asked = len(listed[0]) if listed else told["num_inference_steps"]
    if not isinstance(asked, int):
        asked = getattr(
            getattr(pipeline, "scheduler", None), "num_inference_steps", None
        )
    return asked if isinstance(asked, int) else 0


def _of_pipeline(pipeline: Any) -> dict[str, Any]:
    import torch

    scheduler = getattr(pipeline, "scheduler", None)
    networks = [getattr(pipeline, name, None) for name in _DENOISERS]
    denoiser = next((one for one in networks if one is not None), pipeline)
    device = str(getattr(pipeline, "_execution_device", "")) or None
    return {
        "scheduler": type(scheduler).__name__ if scheduler is not None else None,
        "dtype": str(getattr(denoiser, "dtype", "")).removeprefix("torch.") or None,
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "loras": [{"name": str(name)} for name in getattr(denoiser, "peft_config", ())],
        "model": _name(pipeline),
        "versions": dict(library_versions()),
    }


def _origin(pipeline: Any) -> dict[str, Any]:
    """The class, by its whole name unless diffusers defines it."""
    kind = type(pipeline)
    ours = kind.__module__.startswith("diffusers.")
    name = kind.__name__ if ours else f"{kind.__module__}.{kind.__qualname__}"
    source = _source(pipeline)
    if source and os.path.exists(source):
        source = portable(absolute(source))
    return {"pipeline": name, **({"model": source} if source else {})}


def _name(pipeline: Any) -> str | None:
    """What records call the model: a Hugging Face id, or the folder's own name."""
    source = _source(pipeline)
    if source and (os.path.exists(source) or os.path.isabs(source)):
        return Path(source).name
    return source or None


def _source(pipeline: Any) -> str:
    """A Hugging Face id, a path, or "" for a pipeline made of parts."""
    return str(getattr(pipeline, "name_or_path", None) or "")


def _arguments(told: Said) -> dict[str, Any]:
    """What else was said, unless it is what the pipeline does anyway."""
    names = told.given.keys() - _ELSEWHERE
    values = {name: plain(told.given[name]) for name in sorted(names)}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != plain(told.defaults.get(name))
    }


def plain(value: Any) -> Any:
    """The value for a record: JSON as it is, and of anything else a word on what it was."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, Mapping):
        return {
            _writable(str(name)): plain(item) for name, item in [*value.items()][:_MOST]
        }
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:_MOST]]
    if getattr(value, "ndim", None) == 0:  # a number of numpy's or torch's
        return plain(value.item())
    return _described(value)


def _writable(text: str) -> str:
    return text[:_LONGEST].encode(errors="replace").decode()


def _described(value: Any) -> str:
    """Its kind and shape; never its own words, which may hold anything."""
    kind = type(value).__name__
    if callable(value):
        return f"{kind} {getattr(value, '__qualname__', '')}".strip()
    shape = getattr(value, "shape", getattr(value, "size", None))
    return f"{kind} {tuple(shape)}" if isinstance(shape, tuple) else kind
