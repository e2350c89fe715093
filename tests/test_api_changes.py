"""`make audit` compares the public names with those of the newest tag, where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.tool_files import loaded_tool

tool = loaded_tool("api_changes")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, check=True)


def committed(folder: Path, *tags: str) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")
    for tag in tags:
        git(folder, "tag", tag)


def test_without_a_version_there_is_nothing_to_compare_with(repository: Path) -> None:
    committed(repository, "nightly")
    assert tool.last_version(repository) is None


def test_the_newest_tag_of_a_version_is_the_last_one(repository: Path) -> None:
    committed(repository, "v0.2.0")
    committed(repository, "v0.3.0")
    committed(repository, "nightly")
    assert tool.last_version(repository) == ("0.3.0", "v0.3.0")


@pytest.mark.parametrize(
    ("version", "last", "same"),
    [("0.2.1", "0.2.0", True), ("0.3.0", "0.2.9", False), ("1.0.0", "0.0.1", False)],
)
def test_only_the_third_number_promises_everything(version: str, last: str, same: bool) -> None:
    assert tool.same_promises(version, last) is same
