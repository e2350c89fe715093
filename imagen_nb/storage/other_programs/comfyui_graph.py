"""A graph of ComfyUI: nodes, and inputs that are values or links to other nodes.

ComfyUI writes it twice: `prompt` is what ran, each input by its name; `workflow` is what
the page shows, where the values of a node are a list whose order depends on its class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from imagen_nb.storage.other_programs.foreign_metadata import objects_in

_MAX_HOPS = 100  # from a value to where it stands
_SILENT = ("PrimitiveNode", "Note", "MarkdownNote")  # nodes of the page alone

_SWITCHED_OFF = (2, 4)  # the modes of a node that is muted, or passed by

# The values of a node in a `workflow`, in their order; None: of the page alone.
_SEEDED = ("seed", None, "steps", "cfg", "sampler_name", "scheduler", "denoise")
_WIDGETS: dict[str, tuple[str | None, ...]] = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "KSampler": _SEEDED,
    "KSamplerAdvanced": ("add_noise", "noise_seed", *_SEEDED[1:-1]),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "RandomNoise": ("noise_seed",),
    "FluxGuidance": ("guidance",),
    "CFGGuider": ("cfg",),
}


class Link(NamedTuple):
    """Where an input comes from: a node and the number of its output."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node. `kind` is its class, `inputs` are by name."""

    id: str
    kind: str
    inputs: Mapping[str, Any]

    def links(self) -> dict[str, Link]:
        """Return the inputs that come from other nodes."""
        found = {name: link_of(value) for name, value in self.inputs.items()}
        return {name: link for name, link in found.items() if link is not None}


Graph = Mapping[str, GraphNode]


def link_of(value: object) -> Link | None:
    """Return the link that an input is, or None for a value."""
    if isinstance(value, list) and len(value) == 2:
        node, slot = value
        if isinstance(node, str | int) and isinstance(slot, int):
            return Link(str(node), slot)
    return None


def graph_of_prompt(values: Mapping[str, Any]) -> dict[str, GraphNode]:
    """Return the graph of a `prompt`; empty if it is none."""
    return {
        key: GraphNode(key, node["class_type"], node["inputs"])
        for key, node in values.items()
        if isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    }


def graph_of_workflow(values: Mapping[str, Any]) -> dict[str, GraphNode]:
    """Return the graph of a `workflow`; of classes that are not known, the links only."""
    nodes = {
        str(node.get("id")): node
        for node in objects_in(values.get("nodes"))
        if isinstance(node.get("type"), str)
        and node["type"] not in _SILENT
        and node.get("mode") not in _SWITCHED_OFF
    }
    sources = {
        number: source
        for number, source in _sources(values.get("links")).items()
        if source[0] in nodes
    }
    return {
        key: GraphNode(key, node["type"], _inputs_of(node, sources))
        for key, node in nodes.items()
    }


def _inputs_of(
    node: Mapping[str, Any], sources: Mapping[int, list[Any]]
) -> dict[str, Any]:
    values = node.get("widgets_values")
    names = _WIDGETS.get(node["type"], ())
    inputs: dict[str, Any] = dict(values) if isinstance(values, dict) else {}
    if isinstance(values, list):
        pairs = zip(names, values, strict=False)
        inputs = {name: value for name, value in pairs if name is not None}
    for socket in objects_in(node.get("inputs")):
        name, link = socket.get("name"), socket.get("link")
        if isinstance(name, str) and isinstance(link, int) and link in sources:
            inputs[name] = sources[link]
    return inputs


def _sources(links: object) -> dict[int, list[Any]]:
    """Return for each link by its number what `prompt` would have: node and output."""
    found: dict[int, list[Any]] = {}
    for link in links if isinstance(links, list) else []:
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[0], int):
            found[link[0]] = [str(link[1]), link[2]]
        elif isinstance(link, dict) and isinstance(link.get("id"), int):
            found[link["id"]] = [str(link.get("origin_id")), link.get("origin_slot")]
    return found


def nodes_above(
    graph: Graph, first: Link | None, chosen: frozenset[str]
) -> Iterator[GraphNode]:
    """Yield the nodes that this link comes from, the nearest first, each once.

    Args:
        graph: the nodes.
        first: where to begin.
        chosen: the inputs that are followed; of a node that has none of them, those
            whose names begin with one of them, or the only one that it has.
    """
    waiting = deque([first.node] if first else [])
    seen: set[str] = set()
    while waiting:
        key = waiting.popleft()
        node = graph.get(key)
        if key in seen or node is None:
            continue
        seen.add(key)
        yield node
        waiting += _followed(node, chosen)


def _followed(node: GraphNode, chosen: frozenset[str]) -> list[str]:
    links = node.links()
    exact = [link.node for name, link in links.items() if name in chosen]
    begin = tuple(chosen)
    near = [link.node for name, link in links.items() if name.startswith(begin)]
    only = [link.node for link in links.values()] if len(links) == 1 else []
    return exact or near or only


def value_of(graph: Graph, node: GraphNode, names: tuple[str, ...]) -> Any:
    """Return the first of these inputs that is a value, or that a value is linked to."""
    for name in names:
        value = node.inputs.get(name)
        for _ in range(_MAX_HOPS):
            link = link_of(value)
            if link is None:
                break
            source = graph.get(link.node)
            value = _output_of(source, name) if source else None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return value
    return None


_VALUE_OUTPUTS = (
    "value",
    "seed",
    "noise_seed",
    "text",
    "string",
    "Text",
    "int",
    "float",
)


def _output_of(node: GraphNode, name: str) -> Any:
    """Return what a node of a value gives: the input of the same name, or a usual one."""
    inputs = node.inputs
    chosen = next((each for each in (name, *_VALUE_OUTPUTS) if each in inputs), None)
    if chosen is None:
        values = [*inputs.values()]
        return values[0] if len(values) == 1 else None
    return inputs[chosen]
