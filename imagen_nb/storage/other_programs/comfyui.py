"""ComfyUI: the graph is walked from the picture up to what it was drawn with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from imagen_nb.storage.other_programs.comfyui_graph import (
    Graph,
    GraphNode,
    Link,
    graph_of_prompt,
    graph_of_workflow,
    nodes_above,
    value_of,
)
from imagen_nb.storage.other_programs.comfyui_texts import conditioning_of
from imagen_nb.storage.other_programs.foreign_metadata import (
    FieldNames,
    ForeignMetadata,
    json_object_of,
    lora_entry,
    metadata_of,
)
from imagen_nb.storage.other_programs.infotext import read_infotext

_COMFYUI_NAMES = FieldNames(
    seed=("seed", "noise_seed"),
    distilled_guidance=("guidance",),
    cfg_scale=("cfg", "cfg_scale"),
    sampler=("sampler_name", "sampler"),
    schedule=("scheduler",),
    strength=("denoise",),
)
_PICTURE = frozenset(("images", "image", "samples", "latent_image", "latent", "pixels"))
_MODEL = frozenset(("model",))
_SIGMAS = frozenset(("sigmas",))
_CHECKPOINTS = ("ckpt_name", "unet_name", "base_ckpt_name")
_MODEL_NAMES = (*_CHECKPOINTS, "gguf_name", "model_path", "model_name")
_SEEDS, _STEPS, _SCALES = ("seed", "noise_seed"), ("steps",), ("cfg", "cfg_scale")
_SAMPLERS, _SCHEDULES, _DENOISE = ("sampler_name",), ("scheduler",), ("denoise",)
_NO_LORA = ("", "None")
_LORA_WEIGHTS = ("strength_model", "strength", "lora_model_strength")
_POSITIVE = ("positive", "conditioning", "cond1")
_MAX_ENDS = 100  # each is walked up from
_SAVED = ("images", "image")  # the inputs of nodes that save
_EXIF_TEXTS = ("exif:Make", "exif:Model", "exif:ImageDescription", "exif:UserComment")


def read_comfyui(texts: Mapping[str, str]) -> ForeignMetadata | None:
    """Return what the graph says; None if the picture has none.

    Where it names no prompt, the infotext counts that nodes of others write beside it.
    """
    graph, complete = _graph(texts)
    if not graph and _chunk_or_tag(texts, "workflow") is None:
        return None
    samplers = _samplers(graph)
    if samplers:
        found = _metadata_of_graph(graph, samplers[0])
    else:
        found = metadata_of("comfyui", {"model": _only_model(graph)}, _COMFYUI_NAMES)
    written = None if found.prompt else read_infotext(texts)
    if written is not None:
        return replace(written, program="comfyui")
    notes = {
        "neither prompt nor workflow is a graph in JSON": not graph,
        "there is no `prompt` chunk, so unknown nodes are not read": graph
        and not complete,
        "the graph has no sampler that is known": graph and not samplers,
        f"the graph draws {len(samplers)} pictures: this is what it says of one": (
            len(samplers) > 1
        ),
        "no text of the graph is known to be the prompt": samplers and not found.prompt,
    }
    said = "; ".join(note for note, holds in notes.items() if holds)
    return replace(found, not_understood=said or None)


def _graph(texts: Mapping[str, str]) -> tuple[dict[str, GraphNode], bool]:
    """Return the graph, and whether it is what ran."""
    for values in _prompts_in(texts):
        graph = graph_of_prompt(values)
        if graph:
            return graph, True
    workflow = json_object_of(_chunk_or_tag(texts, "workflow"))
    return graph_of_workflow(workflow) if workflow else {}, False


def _prompts_in(texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what may be a graph that ran: a chunk, or in EXIF in the ways of others."""
    yield json_object_of(_chunk_or_tag(texts, "prompt")) or {}
    for key in _EXIF_TEXTS:
        values = json_object_of(texts.get(key)) or {}
        inner = values.get("prompt")
        yield inner if isinstance(inner, dict) else values


def _chunk_or_tag(texts: Mapping[str, str], name: str) -> str | None:
    """Return the chunk, or the tag of a WebP or JPEG, which begins with its name."""
    if name in texts:
        return texts[name]
    for key in _EXIF_TEXTS:
        found, _, text = texts.get(key, "").partition(":")
        if found.strip().lower() == name:
            return text
    return None


def _samplers(graph: Graph) -> list[GraphNode]:
    """Return for each picture that is saved the sampler that began it.

    A picture of several passes is what the first of them drew, as in the texts of other
    programs: later ones add detail, with seeds and steps of their own.
    """
    used = {link.node for node in graph.values() for link in node.links().values()}
    ends = [
        links[name]
        for node in graph.values()
        if node.id not in used and (links := node.links())
        for name in _SAVED
        if name in links
    ]
    firsts: dict[str, GraphNode] = {}
    every = dict.fromkeys(ends or (Link(key, 0) for key in graph))
    for link in islice(every, _MAX_ENDS):
        passes = [
            node for node in nodes_above(graph, link, _PICTURE) if _is_sampler(node)
        ]
        if passes:
            firsts[passes[-1].id] = passes[-1]
    return [*firsts.values()]


def _is_sampler(node: GraphNode) -> bool:
    """Tell by what a node takes: samplers of others have classes of their own."""
    names = node.inputs.keys()
    if "steps" in names and not names.isdisjoint(_SEEDS):
        return not names.isdisjoint((*_SAMPLERS, *_SCHEDULES))
    return {"sampler", "sigmas"} <= names


def _metadata_of_graph(graph: Graph, sampler: GraphNode) -> ForeignMetadata:
    guider = _linked(graph, sampler, "guider") or sampler
    links = guider.links()
    first = next((links[name] for name in _POSITIVE if name in links), None)
    positive = conditioning_of(graph, first, "positive")
    negative = conditioning_of(graph, links.get("negative"), "negative")
    model, loras = _model(graph, links.get("model"))
    values = _values(graph, sampler, guider) | {
        "guidance": positive.guidance,
        "prompt": "\n".join(positive.texts),
        "negative_prompt": "\n".join(negative.texts),
        "model": model or _only_model(graph),
    }
    found = metadata_of("comfyui", values, _COMFYUI_NAMES)
    whole = found.strength is None or found.strength >= 1
    return replace(found, loras=loras, strength=None if whole else found.strength)


def _values(graph: Graph, sampler: GraphNode, guider: GraphNode) -> dict[str, Any]:
    """Return seed, steps, cfg … of a sampler, or of the nodes that give it them."""
    sigmas = [*nodes_above(graph, sampler.links().get("sigmas"), _SIGMAS)]
    noise = _linked(graph, sampler, "noise")
    select = _linked(graph, sampler, "sampler")

    def first(names: tuple[str, ...], *nodes: GraphNode | None) -> Any:
        values = (value_of(graph, node, names) for node in nodes if node)
        return next((value for value in values if value is not None), None)

    return {
        "seed": first(_SEEDS, sampler, noise),
        "steps": first(_STEPS, sampler, *sigmas),
        "cfg": first(_SCALES, sampler, guider),
        "sampler_name": first(_SAMPLERS, sampler, select),
        "scheduler": first(_SCHEDULES, sampler, *sigmas),
        "denoise": first(_DENOISE, sampler, *sigmas),
    }


def _linked(graph: Graph, node: GraphNode, name: str) -> GraphNode | None:
    link = node.links().get(name)
    return graph.get(link.node) if link else None


def _model(
    graph: Graph, first: Link | None
) -> tuple[str | None, tuple[dict[str, Any], ...]]:
    """Return the model, and the LoRAs from it down to the sampler."""
    loras: list[dict[str, Any]] = []
    for node in nodes_above(graph, first, _MODEL):
        loras += reversed([*_loras_of(graph, node)])
        name = value_of(graph, node, _MODEL_NAMES)
        if isinstance(name, str):
            return name, tuple(reversed(loras))
    return None, tuple(reversed(loras))


def _loras_of(graph: Graph, node: GraphNode) -> Iterator[dict[str, Any]]:
    name = value_of(graph, node, ("lora_name",))
    if isinstance(name, str) and name not in _NO_LORA:
        yield lora_entry(name, value_of(graph, node, _LORA_WEIGHTS))
    for value in node.inputs.values():  # a node of rgthree has an object for each
        row = value if isinstance(value, dict) and value.get("on") is not False else {}
        if isinstance(row.get("lora"), str):
            yield lora_entry(row["lora"], row.get("strength"))


def _only_model(graph: Graph) -> str | None:
    """Return the model of a graph whose samplers get theirs in a bundle."""
    names = {value_of(graph, node, _CHECKPOINTS) for node in graph.values()} - {None}
    only = names.pop() if len(names) == 1 else None
    return only if isinstance(only, str) else None
