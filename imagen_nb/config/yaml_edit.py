"""Edits imagen.yaml line by line: some settings are set, all other lines stay."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from imagen_nb.config.yaml_file import YAML_TEMPLATE, read_yaml
from imagen_nb.errors import ConfigError
from imagen_nb.system.atomic import write_private


def load_written_values(path: Path) -> dict[str, Any]:
    """Return the values of a configuration file; none where there is no file.

    Raises `ConfigError` for a file that cannot be read.
    """
    if not path.exists():
        return {}
    values, _, problems = read_yaml(path)
    if problems:
        raise ConfigError(str(problems[0]))
    return values


def write_settings(
    path: Path, values: Mapping[str, str | bool], removed: Collection[str] = ()
) -> None:
    """Set these keys in a configuration file, which gets mode 0600.

    A file that is not there is made of the template. A link is followed.

    Args:
        path: the file.
        values: by dotted key, like `supabase.url`, or a key outside of any group.
        removed: dotted keys whose lines are removed.

    Raises:
        ConfigError: if the file cannot be read or written, or not be edited without
            changing another value.

    Example:
        >>> write_settings(config_path(), {"provenance.c2pa": True})
    """
    path = Path(os.path.realpath(path))
    before = load_written_values(path)
    text = path.read_text(encoding="utf-8-sig") if path.exists() else YAML_TEMPLATE
    lines = text.splitlines()
    for key, value in values.items():
        _set_key(lines, key, value)
    for key in removed:
        _remove_key(lines, key)
    edited = "\n".join(lines) + "\n"
    if _parsed_text(edited) != _expected_values(before, values, removed):
        raise ConfigError(
            f"{path} cannot be edited safely: put the printed lines into it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, edited.encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


def settings_lines(values: Mapping[str, str | bool]) -> str:
    """Return the lines of imagen.yaml that set these keys, given as in `write_settings`."""
    nested = _with_values({}, values, ())
    return yaml.safe_dump(nested, sort_keys=False, allow_unicode=True, width=1000)


def _parsed_text(text: str) -> object:
    """The values in the text; None if it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _expected_values(
    before: Mapping[str, Any],
    values: Mapping[str, str | bool],
    removed: Collection[str],
) -> dict[str, Any]:
    """The values of the file after it is edited.

    Those of a new file are the template's: groups, whose lines are all comments.
    """
    template = _parsed_text(YAML_TEMPLATE)
    assert isinstance(template, dict)
    return _with_values(before or template, values, removed)


def _with_values(
    before: Mapping[str, Any],
    values: Mapping[str, str | bool],
    removed: Collection[str],
) -> dict[str, Any]:
    """The nested values with some of them set, and others removed."""
    nested = dict(before)
    for key in (*values, *removed):
        group, _, name = key.rpartition(".")
        kept = nested.get(group)
        inside = dict(kept) if isinstance(kept, dict) else {}
        if key in removed:
            inside.pop(name, None)
        elif group:
            inside[name] = values[key]
        else:
            nested[name] = values[key]
        if group:
            nested[group] = inside
    return nested


def _set_key(lines: list[str], key: str, value: str | bool) -> None:
    """Set a key in its line, or in the line of its comment, or in a new one."""
    group, _, name = key.rpartition(".")
    written = f"{name}: {_scalar(value)}"
    if not group:
        place = _find(lines, range(len(lines)), rf"{name}\s*:", rf"#\s*{name}\s*:")
        if place is None:
            lines.append(written)
        else:
            lines[place] = written
        return
    inside = _lines_of_group(lines, group)
    indents = (re.match(r"( +)[\w-]+\s*:", lines[i]) for i in inside)
    indent = next((match[1] for match in indents if match), "  ")
    place = _find(lines, inside, rf" +{name}\s*:", rf" +#\s*{name}\s*:")
    if place is None:
        lines.insert(inside.start, f"{indent}{written}")
    else:
        lines[place] = f"{indent}{written}"


def _remove_key(lines: list[str], key: str) -> None:
    group, _, name = key.rpartition(".")
    for i in reversed(_lines_of_group(lines, group)):
        if re.match(rf" +{name}\s*:", lines[i]):
            del lines[i]


def _find(lines: list[str], among: range, *patterns: str) -> int | None:
    """Return the first line that begins so; the first of the patterns is looked for first."""
    for pattern in patterns:
        for i in among:
            if re.match(pattern, lines[i]):
                return i
    return None


def _lines_of_group(lines: list[str], group: str) -> range:
    """The lines of the group below its own: indented, empty, or comments.

    A group that is not there is added at the end.
    """
    start = _find(lines, range(len(lines)), rf"{group}\s*:")
    if start is None:
        lines += ["", f"{group}:"]
        start = len(lines) - 1
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t#"):
        end += 1
    return range(start + 1, end)


def _scalar(value: str | bool) -> str:
    """Return a value as YAML has it, in one line."""
    dumped: str = yaml.safe_dump(value, allow_unicode=True, width=10**6)
    return dumped.removesuffix("\n...\n").rstrip("\n")
