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
_JOINED = (("string_a", "string_b", "delimiter"), ("text1", "text2", "separator"))
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
_MAX_JOINS = 200


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
    has_text = False
    for name in names:
        value = node.inputs.get(name)
        if not isinstance(value, str) and not _brings_text(graph, link_of(value)):
            continue
        has_text = True
        text = clean_text(_joined_text(graph, value, name))
        if text:
            return text
    return "" if has_text else None


def _brings_text(graph: Graph, link: Link | None) -> bool:
    """Tell whether a link brings a text, not conditioning: its node has no encoder."""
    node = graph.get(link.node) if link else None
    return node is not None and "clip" not in node.inputs and _gives_text(node)


def _gives_text(node: GraphNode) -> bool:
    kind = node.kind.lower()
    return any(
        word in kind for word in ("string", "text", "prompt", "primitive", "concat")
    ) and ("conditioning" not in kind)


def _joined_text(graph: Graph, value: Any, name: str) -> Any:
    """Return the text of an input, also one that nodes join from several."""
    parts: list[str] = []
    waiting, joins = [(value, name)], 0
    while waiting and joins < _MAX_JOINS:
        value, name = waiting.pop()
        link = link_of(value)
        node = graph.get(link.node) if link else None
        if node is None:
            parts += [value] if isinstance(value, str) else []
            continue
        joins += 1
        pair = next((each for each in _JOINED if each[0] in node.inputs), None)
        if pair is None:
            parts += [
                str(text)
                for text in [value_of(graph, node, (name, *_TEXT_OUTPUTS))]
                if text
            ]
            continue
        first, second, between = (node.inputs.get(each) for each in pair)
        waiting += [(second, name), (between or "", name), (first, name)]
    return "".join(parts)


_TEXT_OUTPUTS = ("value", "text", "string", "Text", "prompt")
