"""The workflows run what is there, pin actions by hash, and have no right that they do not need."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PORTABLE = (ROOT / "tests/portable.txt").read_text(encoding="utf-8").split()

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def parsed(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(path: Path) -> Iterator[list[str]]:
    """Each simple command of each step, as words."""
    for job in parsed(path)["jobs"].values():
        for step in job["steps"]:
            for line in re.split(r"\n|&&", step.get("run", "")):
                if words := shlex.split(line):
                    yield words


def test_there_are_workflows_for_changes_nights_and_releases() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "release"]


@each_workflow
def test_an_action_is_a_hash_and_says_which_version_that_is(path: Path) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_action_is_one_version_everywhere() -> None:
    used = {
        line.strip()
        for path in WORKFLOWS
        for line in re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    }
    assert len(used) == len({action.partition("@")[0] for action in used})


@each_workflow
def test_rights_are_given_job_by_job_and_to_write_only_what_publishing_needs(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        writes = {right for right, how in job["permissions"].items() if how == "write"}
        allowed = {"id-token", "attestations"} if job.get("environment") else set()
        assert writes <= allowed
        assert job["timeout-minutes"] <= 360


@each_workflow
def test_no_checkout_leaves_a_token_behind(path: Path) -> None:
    steps = [step for job in parsed(path)["jobs"].values() for step in job["steps"]]
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each_workflow
def test_no_text_of_others_becomes_a_command(path: Path) -> None:
    for job in parsed(path)["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


@each_workflow
def test_what_make_is_asked_for_is_in_the_makefile(path: Path) -> None:
    targets = {name for words in commands(path) if words[0] == "make" for name in words[1:]}
    missing = {name for name in targets if not re.search(rf"(?m)^{name}\b[^:=]*:", MAKEFILE)}
    assert not missing


@each_workflow
def test_files_that_are_named_are_there(path: Path) -> None:
    for words in commands(path):
        if words[0] in ("python", "pip", "rm"):
            names = [re.sub("^@", "", word) for word in words if re.match(r"@?\w+/|\w+\.txt", word)]
            missing = [name for name in names if "*" not in name and not (ROOT / name).exists()]
            assert not missing


def test_tests_that_run_everywhere_are_there() -> None:
    assert len(PORTABLE) > 20
    assert [name for name in PORTABLE if not (ROOT / name).exists()] == []


def test_every_form_for_issues_has_what_github_asks_for() -> None:
    forms = [*(ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")]
    assert len(forms) >= 3
    for form in map(parsed, forms):
        if "blank_issues_enabled" in form:
            continue
        assert form["name"]
        assert form["description"]
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len({*ids}) == len(ids) > 0
        assert all(part["attributes"] for part in form["body"])
