"""Keys of the configuration that had another name once, and are still read by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imagen_nb.config.yaml_file import Problem, is_empty, read_yaml

OLDER_NAMES = {"imagen_user_id": "owner_user_id"}  # with their names of today


def by_todays_name(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield each key as it was written, its name of today, and its value.

    Older names come first, so that a newer one beside them has the last word.
    """
    for name in sorted(values, key=lambda name: name not in OLDER_NAMES):
        yield name, OLDER_NAMES.get(name, name), values[name]


def older_names_in(path: Path) -> Iterator[Problem]:
    """Yield each key of a file that has another name today; it is read all the same."""
    values, lines, _ = read_yaml(path)
    for older, newer in OLDER_NAMES.items():
        if not is_empty(values.get(older)):
            both = not is_empty(values.get(newer))
            fate = "which stands here, too, and wins" if both else "still read"
            what = f"the older name of {newer}, {fate}"
            yield Problem(str(path), lines.get(older), older, what)
