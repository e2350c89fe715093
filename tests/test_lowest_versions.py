"""`make test-lowest` installs what pyproject.toml promises to work with, and nothing newer."""

from __future__ import annotations

import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures.tool_files import TOOLS, loaded_tool

tool = loaded_tool("lowest_versions")
PROJECT = tomllib.loads((TOOLS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (TOOLS.parent / "constraints.txt").read_text(encoding="utf-8")


def test_each_package_that_a_user_gets_is_pinned_to_its_floor() -> None:
    pins = {pin.name: pin for pin in map(Requirement, tool.lowest_pins(PROJECT, CONSTRAINTS))}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [
        text
        for name in extras
        if name not in (*tool.FOR_DEVELOPERS, *tool.APART)
        for text in extras[name]
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name == "torch":
            continue
        (floor,) = (one.version for one in requirement.specifier if one.operator == ">=")
        assert str(pins[requirement.name].specifier) == f"=={floor}"
        assert pins[requirement.name].extras == requirement.extras


def test_torch_and_the_tests_tools_are_those_of_the_other_tests() -> None:
    """Another build of torch is gigabytes; and no user needs pytest."""
    usual = dict(line.split("==") for line in CONSTRAINTS.splitlines() if "==" in line)
    pins = dict(pin.split("==") for pin in tool.lowest_pins(PROJECT, CONSTRAINTS))
    for name in ("torch", "pytest", "hypothesis"):
        assert pins[name] == usual[name]


def test_a_package_in_two_lists_has_one_floor() -> None:
    """What tests install beside the package is not older or newer than what users may."""
    extras = PROJECT["optional-dependencies"]
    floors: dict[str, set[str]] = {}
    for text in chain(PROJECT["dependencies"], *extras.values()):
        requirement = Requirement(text)
        found = floors.setdefault(canonicalize_name(requirement.name), set())
        found.add(str(requirement.specifier))
    assert {name: found for name, found in floors.items() if len(found) > 1} == {}


@pytest.mark.parametrize("requirement", ["torch", "torch==2.6", "torch<3", "torch>2"])
def test_a_dependency_without_a_floor_is_refused(requirement: str) -> None:
    project = {"dependencies": [requirement], "optional-dependencies": {}}
    with pytest.raises(ValueError, match="no floor"):
        list(tool.lowest_pins(project, CONSTRAINTS))
