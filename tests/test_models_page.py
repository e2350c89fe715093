"""docs/models.md: its tables follow from the code, its commands and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import typer

from imagen_nb.backends.flux.memory.choice import PlanChoice, choose_plan
from imagen_nb.backends.flux.memory.machine import gb_as_sold
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan
from imagen_nb.backends.flux.memory.storages import PACKAGES
from imagen_nb.backends.flux.models import FLUX_12B, LOCAL_MODELS
from imagen_nb.cli import app
from imagen_nb.config.settings import environment_name, setting_keys
from tests.fixtures.tool_files import loaded_tool

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plan_docs() -> ModuleType:
    return loaded_tool("plan_docs")


def test_its_tables_are_what_the_code_says(plan_docs: ModuleType) -> None:
    assert plan_docs.page(PAGE) == PAGE, "docs/models.md is stale: run python tools/plan_docs.py"


def test_a_row_says_the_plan_of_that_machine() -> None:
    card, ram = gb_as_sold(24, 64)
    machine = Machine(card, ram, 8.9, frozenset(PACKAGES))
    found = choose_plan(machine, FLUX_12B, MemoryPlan(dtype="bfloat16"))
    assert isinstance(found, PlanChoice)
    (row,) = re.findall(r"^\| 24 GB \| `.* \|$", PAGE, re.MULTILINE)
    assert f"`{found.plan.name}` {found.plan.gpu_gb:.1f} + {found.plan.ram_gb:.1f}" in row


def test_its_licences_and_downloads_are_those_of_the_models() -> None:
    for model in LOCAL_MODELS:
        (row,) = re.findall(rf"^\| `{model.name}` \| black.*$", PAGE, re.MULTILINE)
        assert all(part in row for part in (model.source, model.licence, f"{model.download_gb} GB"))
        assert f'--exclude "{model.fetched_without}"' in PAGE


def commands() -> list[list[str]]:
    lines = [
        line.removeprefix("$ ")
        for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    lines += re.findall(r"`(imagen [^`]+)`", PAGE)
    return [shlex.split(line, comments=True) for line in lines if "imagen " in line]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_its_commands_and_variables_exist(words: list[str]) -> None:
    while "=" in words[0]:
        assert words.pop(0).partition("=")[0] in map(environment_name, setting_keys())
    program, name, *rest = words
    assert program == "imagen"
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    command.make_context(name, rest).close()  # raises for what it does not know


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (ROOT / "docs" / link).exists()] == []
