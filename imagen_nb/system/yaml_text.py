"""YAML that anybody may have written: one kind of error, whatever is wrong with it."""

from __future__ import annotations

from typing import Any

import yaml

_MAX_VALUES = 1_000_000  # counted as often as aliases repeat them
_MAX_BITS = 4096  # of a whole number: Python writes none of more than 4300 digits
_NO_VALUE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


class _Loader(yaml.SafeLoader):
    """Safe YAML that names the place of what looks like a date or number but is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > _MAX_BITS:
                raise ValueError("too many digits")
        except _NO_VALUE:  # its message would quote the value, which may be a secret
            problem = "a date or number that cannot be: put text in quotes"
            place = node.start_mark
            raise yaml.constructor.ConstructorError(
                None, None, problem, place
            ) from None
        return value


def parse_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes of a document, which know their lines, and its value.

    Raise yaml.YAMLError for everything that is no YAML, or is nested too deeply, holds
    itself, or repeats itself by aliases until no memory would hold it.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _count_values(node, {}, set())
        return node, loader.construct_document(node)
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="nested too deeply") from None
    finally:
        loader.dispose()


def _count_values(
    node: yaml.Node, counts: dict[yaml.Node, int], holders: set[yaml.Node]
) -> int:
    """Return of how many values a node consists, each as often as it stands there."""
    if node in counts:
        return counts[node]
    if node in holders:
        raise yaml.MarkedYAMLError(
            problem="a value that holds itself", problem_mark=node.start_mark
        )
    holders.add(node)
    count = 1 + sum(_count_values(part, counts, holders) for part in _parts_of(node))
    holders.remove(node)
    if count > _MAX_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {_MAX_VALUES:,} values", problem_mark=node.start_mark
        )
    counts[node] = count
    return count


def _parts_of(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
