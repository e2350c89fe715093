"""The prompts of a graph of ComfyUI: the texts above an input of conditioning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imagen_nb.storage.other_programs.comfyui_graph import (
    Graph,
    GraphNode,
    Link,
    link_of,
    value_of,
)
from imagen_nb.storage.other_programs.foreign_metadata import clean_text, finite_number

_TEXTS = ("text", "t5xxl", "text_g", "prompt", "clip_l", "text_l", "positive", "string")
_NEGATIVE_TEXTS = ("negative", "negative_prompt", "text_negative", *_TEXTS)
_SIDES = ("positive", "negative")
_TEXT_KINDS = (
    "string",
    "text",
    "prompt",
    "primitive",
    "wildcard",
)  # in names of classes
_TEXT_OUTPUTS = ("value", "text", "string", "populated_text", "prompt", "text_0")
_JOINED = (
    ("string_a", "string_b", "delimiter"),
    ("text_a", "text_b", "delimiter"),
    ("text1", "text2", "separator"),
)
_NOT_CONDITIONING = (
    *(
        "clip",
        "model",
        "vae",
        "image",
        "latent",
        "samples",
        "pixels",
        "mask",
        "control",
    ),
    *("style_model", "sigmas", "noise", "sampler", "guider"),
)
_EMPTY = ("ConditioningZeroOut",)  # what says nothing, whatever is above
_MAX_NODES = 10_000
_MAX_TEXT_NODES = 200  # that one text is joined from
_MAX_JOINED_CHARS = 1_000_000


@dataclass(slots=True)
class Conditioning:
    """The texts, each once, in their order; and the guidance of a distilled model."""

    texts: list[str] = field(default_factory=list)
    guidance: float | None = None


def conditioning_of(graph: Graph, first: Link | None, side: str) -> Conditioning:
    """Return what conditions a sampler.

    Args:
        graph: the nodes.
        first: the input of the sampler, or of its guider.
        side: "positive" or "negative". Nodes that have both inputs have two outputs,
            the first of them positive.
    """
    found = Conditioning()
    waiting = [(first, side)] if first else []
    seen: set[Link] = set()
    while waiting and len(seen) < _MAX_NODES:
        link, side = waiting.pop()
        node = graph.get(link.node)
        if link in seen or node is None or node.kind in _EMPTY:
            continue
        seen.add(link)
        if found.guidance is None:
            found.guidance = finite_number(value_of(graph, node, ("guidance",)))
        text = _encoded_text(graph, node, side)
        if text is None:
            waiting += reversed(_above(node, link.slot, side))
        elif text and text not in found.texts:
            found.texts.append(text)
    return found


def _above(node: GraphNode, slot: int, side: str) -> list[tuple[Link, str]]:
    links = node.links()
    if "positive" in links and "negative" in links:
        side = "negative" if slot == 1 else "positive"
        return [(links[side], side)]
    own = [link for name, link in links.items() if name.startswith("cond")]
    others = [
        link for name, link in links.items() if not name.startswith(_NOT_CONDITIONING)
    ]
    return [(link, side) for link in own or others]


def _encoded_text(graph: Graph, node: GraphNode, side: str) -> str | None:
    """Return the text that a node encodes; None for a node that encodes none."""
    names = _NEGATIVE_TEXTS if side == "negative" else _TEXTS
    values = {name: node.inputs.get(name) for name in names}
    texts = [
        clean_text(_joined_text(graph, value, name))
        for name, value in values.items()
        if isinstance(value, str) or _brings_text(graph, node, name)
    ]
    return next(filter(None, texts), "") if texts else None


def _brings_text(graph: Graph, node: GraphNode, name: str) -> bool:
    """Tell whether an input brings a text: to an encoder, or from what makes texts."""
    link = node.links().get(name)
    source = graph.get(link.node) if link else None
    if source is None or "clip" in source.inputs:
        return False
    kind = source.kind.lower()
    makes_texts = any(word in kind for word in _TEXT_KINDS) and "condition" not in kind
    return makes_texts or ("clip" in node.inputs and name not in _SIDES)


def _joined_text(graph: Graph, value: Any, name: str) -> str:
    """Return the text of an input, also one that nodes join from several."""
    parts: list[str] = []
    waiting, nodes, size = [(value, name)], 0, 0
    while waiting and nodes < _MAX_TEXT_NODES and size < _MAX_JOINED_CHARS:
        value, name = waiting.pop()
        link = link_of(value)
        source = graph.get(link.node) if link else None
        if source is not None:
            nodes += 1
            waiting += reversed(_parts_of_text(source, name))
        elif isinstance(value, str):
            size += len(value)
            parts.append(value)
    return "".join(parts)


def _parts_of_text(node: GraphNode, name: str) -> list[tuple[Any, str]]:
    """Return the inputs that the text of a node consists of, each with its name."""
    inputs = node.inputs
    joined = next((each for each in _JOINED if each[0] in inputs), None)
    if joined is not None:
        first, second, between = joined
        parts = [(inputs.get(key), key) for key in (first, between, second)]
        return [(value or "", key) for value, key in parts]
    chosen = next((key for key in (name, *_TEXT_OUTPUTS) if key in inputs), None)
    return [] if chosen is None else [(inputs[chosen], chosen)]
