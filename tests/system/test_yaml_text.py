"""YAML of others gives its value, or one kind of error."""

from __future__ import annotations

import pytest
import yaml

from imagen_nb.system.yaml_text import parse_yaml


def test_a_document_gives_its_nodes_and_its_value() -> None:
    node, value = parse_yaml("a: &a [1, 2026-05-11]\nb: *a\n")
    assert node is not None
    assert value["b"] is value["a"]
    assert parse_yaml("# nothing\n") == (None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "expected the node content"),
        ("[" * 5_000, "nested too deeply"),
        ("a: &a [*a]", "a value that holds itself"),
        ("a: &a {<<: *a}", "a value that holds itself"),
        ("a: 2026-02-31", "a date or number that cannot be"),
        ("a: !!int ''", "a date or number that cannot be"),
        ("a: !!bool maybe", "a date or number that cannot be"),
        ("a: !!timestamp noon", "a date or number that cannot be"),
        ("a: " + "1:" * 400 + "1.5", "a date or number that cannot be"),
        ("a: 0x" + "f" * 5_000, "a date or number that cannot be"),
    ],
)
def test_whatever_is_wrong_is_an_error_of_yaml(text: str, problem: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        parse_yaml(text)
    assert problem in str(caught.value.problem)


def test_aliases_may_not_stand_for_more_than_memory_holds() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(yaml.MarkedYAMLError, match="more than 1,000,000 values"):
        parse_yaml("\n".join(lines))
