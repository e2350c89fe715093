"""Make the records of the pictures that a pipeline's call returned."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagen_nb.backends.flux.libraries import library_versions
from imagen_nb.storage.record import Record
from imagen_nb.studio.autolog.arguments import CallArguments
from imagen_nb.studio.autolog.images import CopiedImage
from imagen_nb.studio.redraw import AUTOLOG_BACKEND
from imagen_nb.system.paths import absolute_path, portable_path

EMBEDDED_PROMPT = "[prompt_embeds]"  # the prompt of a call that was given embeddings

_RECORDED_ELSEWHERE = {  # in other fields; or the pixels do not depend on it
    "prompt",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "max_sequence_length",
    "width",
    "height",
    "num_images_per_prompt",
    "generator",
    "output_type",
    "return_dict",
}
_DENOISER_NAMES = ("transformer", "unet", "prior")
_MAX_TEXT_CHARS = 2000
_MAX_ITEMS = 64  # of a list or mapping


def records_of_call(
    pipeline: Any,
    arguments: CallArguments,
    images: Sequence[CopiedImage],
    latency_ms: int,
) -> list[Record]:
    """Return one record for each picture of a call.

    `latency_ms`: milliseconds that one picture took.
    """
    count = len(images)
    prompts = _prompt_per_picture(arguments, count)
    negative_prompts = _text_per_picture(arguments["negative_prompt"], count)
    facts = {
        **_facts_of_pipeline(pipeline),
        **_facts_of_call(pipeline, arguments),
        "latency_ms": latency_ms,
    }
    options = _class_and_source(pipeline)
    options["arguments"] = _other_arguments(arguments)
    if len(set(prompts)) > 1:
        options["prompts"] = len(set(prompts))
    records = []
    for index, image in enumerate(images):
        noise = arguments.generators.noise(index, count)
        own_options = {**options, "generator": noise.generator}
        if negative_prompts and negative_prompts[index]:
            own_options["negative_prompt"] = negative_prompts[index]
        record = Record(
            prompt=prompts[index],
            seed=noise.seed,
            width=image.width,
            height=image.height,
            batch_size=count,
            batch_index=index,
            options=own_options,
            **facts,
        )
        records.append(record)
    return records


def json_value(value: Any) -> Any:
    """Return the value as a record can hold it: as JSON, or as the name of its kind."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _limited_text(value)
    if isinstance(value, Mapping):
        items = [*value.items()][:_MAX_ITEMS]
        return {_limited_text(str(name)): json_value(item) for name, item in items}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value[:_MAX_ITEMS]]
    if getattr(value, "ndim", None) == 0:  # a number of numpy's or torch's
        return json_value(value.item())
    return _describe_kind_and_shape(value)


def _prompt_per_picture(arguments: CallArguments, count: int) -> Sequence[str]:
    if arguments["prompt"] is not None:
        return _text_per_picture(arguments["prompt"], count)
    embedded = arguments["prompt_embeds"] is not None
    return [EMBEDDED_PROMPT if embedded else ""] * count


def _text_per_picture(value: Any, count: int) -> Sequence[str]:
    """Return each picture's text; pipelines draw all pictures of one text in a row."""
    if value is None:
        return []
    single = isinstance(value, str) or not isinstance(value, Iterable)
    texts = [str(text) for text in ([value] if single else value)]
    if not texts or count % len(texts):  # only the pipeline knows which is whose
        return ["; ".join(texts)] * count
    return [texts[index * len(texts) // count] for index in range(count)]


def _facts_of_call(pipeline: Any, arguments: CallArguments) -> dict[str, Any]:
    guidance = arguments["guidance_scale"]
    length = arguments["max_sequence_length"]
    return {
        "backend": AUTOLOG_BACKEND,
        "cost_usd_estimate": 0.0,
        "steps": _step_count(pipeline, arguments),
        "guidance": float(guidance) if _is_finite_number(guidance) else None,
        "max_sequence_length": length if isinstance(length, int) else None,
    }


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _step_count(pipeline: Any, arguments: CallArguments) -> int:
    """Return the steps asked for, or as the scheduler counted them; 0 if neither."""
    steps = arguments["num_inference_steps"]
    for name in ("sigmas", "timesteps"):
        if hasattr(arguments[name], "__len__"):
            steps = len(arguments[name])
    if not isinstance(steps, int):
        scheduler = getattr(pipeline, "scheduler", None)
        steps = getattr(scheduler, "num_inference_steps", None)
    return steps if isinstance(steps, int) else 0


def _facts_of_pipeline(pipeline: Any) -> dict[str, Any]:
    import torch

    scheduler = getattr(pipeline, "scheduler", None)
    networks = [getattr(pipeline, name, None) for name in _DENOISER_NAMES]
    denoiser = next((one for one in networks if one is not None), pipeline)
    device = str(getattr(pipeline, "_execution_device", "")) or None
    return {
        "scheduler": type(scheduler).__name__ if scheduler is not None else None,
        "dtype": str(getattr(denoiser, "dtype", "")).removeprefix("torch.") or None,
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "loras": [{"name": str(name)} for name in getattr(denoiser, "peft_config", ())],
        "model": _model_name(pipeline),
        "versions": dict(library_versions()),
    }


def _class_and_source(pipeline: Any) -> dict[str, Any]:
    """Return the class, its whole name unless diffusers defines it, and the weights."""
    kind = type(pipeline)
    if kind.__module__.startswith("diffusers."):
        options = {"pipeline": kind.__name__}
    else:
        options = {"pipeline": f"{kind.__module__}.{kind.__qualname__}"}
    source = _model_source(pipeline)
    if source:
        is_path = os.path.exists(source)
        options["model"] = portable_path(absolute_path(source)) if is_path else source
    return options


def _model_name(pipeline: Any) -> str | None:
    """Return the Hugging Face id of the model, or the name of its folder."""
    source = _model_source(pipeline)
    if source and (os.path.exists(source) or os.path.isabs(source)):
        return Path(source).name
    return source or None


def _model_source(pipeline: Any) -> str:
    """Return a Hugging Face id, a path, or "" for a pipeline made of parts."""
    return str(getattr(pipeline, "name_or_path", None) or "")


def _other_arguments(arguments: CallArguments) -> dict[str, Any]:
    """Return the other arguments that were given and are not the defaults."""
    values = {}
    for name in sorted(arguments.given.keys() - _RECORDED_ELSEWHERE):
        value = json_value(arguments.given[name])
        default = json_value(arguments.defaults.get(name))
        if value is not None and value != default:
            values[name] = value
    return values


def _limited_text(text: str) -> str:
    return text[:_MAX_TEXT_CHARS].encode(errors="replace").decode()


def _describe_kind_and_shape(value: Any) -> str:
    """Never the value's own `repr`, which may hold anything."""
    kind = type(value).__name__
    if callable(value):
        return f"{kind} {getattr(value, '__qualname__', '')}".strip()
    shape = getattr(value, "shape", getattr(value, "size", None))
    return f"{kind} {tuple(shape)}" if isinstance(shape, tuple) else kind
