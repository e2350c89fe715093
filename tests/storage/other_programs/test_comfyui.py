"""A graph is walked from the picture up, whatever it looks like."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from imagen_nb.storage.other_programs.comfyui import read_comfyui
from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from tests.fixtures.other_programs.comfyui import (
    BOAT,
    DEFAULT_WORKFLOW,
    UGLY,
    checkpoint_graph,
    flux_graph,
    node,
)


def read(graph: dict[str, Any], name: str = "prompt") -> ForeignMetadata:
    found = read_comfyui({name: json.dumps(graph)})
    assert found is not None
    return found


def changed(key: str, **inputs: Any) -> dict[str, Any]:
    graph = checkpoint_graph()
    graph[key]["inputs"] |= inputs
    return graph


def test_a_graph_in_a_circle_ends() -> None:
    graph = changed("6", text=["6", 0]) | {"5": node("LatentUpscale", samples=["3", 0])}
    graph["4"]["inputs"] = {"model": ["4", 0]}
    found = read(graph)
    assert (found.seed, found.negative_prompt) == (156680208700286, UGLY)


def test_links_to_nothing_are_as_no_links() -> None:
    found = read(changed("3", positive=["99", 0], model=["99", 0], seed=["99", 0]))
    assert (found.prompt, found.seed, found.negative_prompt) == ("", None, UGLY)
    assert found.model == "v1-5-pruned-emaonly.safetensors"
    assert found.not_understood == "no text of the graph is known to be the prompt"


def test_nan_as_comfyui_writes_it_is_read_over() -> None:
    graph = checkpoint_graph()
    graph["3"]["is_changed"] = [float("nan")]
    assert read(graph).prompt == BOAT


@pytest.mark.parametrize("mode", [2, 4])
def test_a_node_that_is_switched_off_says_nothing(mode: int) -> None:
    nodes = [
        each | {"mode": mode} if each["id"] == 7 else each for each in DEFAULT_WORKFLOW["nodes"]
    ]
    found = read(DEFAULT_WORKFLOW | {"nodes": nodes}, "workflow")
    assert (found.prompt, found.negative_prompt) == (BOAT, None)


def test_links_of_newer_workflows_are_objects() -> None:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(names, link, strict=True)) for link in DEFAULT_WORKFLOW["links"]]
    found = read(DEFAULT_WORKFLOW | {"links": links}, "workflow")
    assert (found.prompt, found.seed) == (BOAT, 156680208700286)


def test_two_prompts_that_are_equal_are_said_once() -> None:
    graph = changed("3", positive=["12", 0]) | {
        "12": node("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["13", 0]),
        "13": node("CLIPTextEncode", text=BOAT, clip=["4", 1]),
    }
    assert read(graph).prompt == BOAT


def test_guidance_of_a_cfg_scale_of_one_is_the_distilled_one() -> None:
    graph = flux_graph(**{"3": node("KSampler", seed=1, steps=4, cfg=1.0, sampler_name="euler")})
    graph["3"]["inputs"] |= {"scheduler": "simple", "positive": ["26", 0], "model": ["12", 0]}
    graph["8"]["inputs"]["samples"] = ["3", 0]
    found = read(graph)
    assert (found.guidance, found.true_cfg) == (3.5, None)


def test_a_long_chain_and_many_ends_take_a_moment() -> None:
    graph = checkpoint_graph()
    for at in range(1_000):
        graph[f"c{at}"] = node("LatentBlend", samples=[f"c{at + 1}", 0])
        graph[f"s{at}"] = node("SaveImage", images=[f"c{at}", 0])
        graph[f"t{at}"] = node("ConditioningCombine", conditioning_1=[f"t{at + 1}", 0])
    graph["3"]["inputs"]["positive"] = ["t0", 0]
    graph["t1000"], graph["c1000"] = graph["6"], graph["3"]
    begin = time.process_time()
    assert read(graph).prompt == BOAT
    assert time.process_time() - begin < 10
