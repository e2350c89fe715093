"""Writes the local Supabase into imagen.yaml, line by line: the other lines stay."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from imagen_nb.cloud.local.state import LocalSupabase, write_private
from imagen_nb.config.yaml_file import YAML_TEMPLATE, read_yaml
from imagen_nb.errors import ConfigError

_SUPABASE_GROUP = "supabase"
_SIGN_IN_KEYS = ("email", "password")  # of another account, which would go first


def yaml_lines(supabase: LocalSupabase) -> str:
    """Return the lines of imagen.yaml that name this Supabase, with its secret key."""
    return (
        f"{_SUPABASE_GROUP}:\n  url: {supabase.url}\n  key: {supabase.service_key}\n"
        f"owner_user_id: {supabase.user_id}\n"
    )


def write_to_config(
    path: Path, supabase: LocalSupabase, *, force: bool = False
) -> None:
    """Name the local Supabase in a configuration file, which gets mode 0600.

    Raise ConfigError if it names another Supabase (unless `force`), or cannot be
    edited.
    """
    path = Path(os.path.realpath(path))
    text = path.read_text(encoding="utf-8-sig") if path.exists() else YAML_TEMPLATE
    before = _load_values(path) if path.exists() else {}
    group = before.get(_SUPABASE_GROUP)
    other = group.get("url") if isinstance(group, dict) else None
    if other and not _is_local_url(str(other)) and not force:
        raise ConfigError(
            f"{path} names another Supabase already: add --force to replace it"
        )
    edited = _edited_text(text, supabase)
    if _parse_yaml(edited) != _expected_values(before, supabase):
        raise ConfigError(
            f"{path} cannot be edited safely: put the printed lines into it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, edited.encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None


def _is_local_url(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")


def _load_values(path: Path) -> dict[str, object]:
    values, _, problems = read_yaml(path)
    if problems:
        raise ConfigError(str(problems[0]))
    return values


def _parse_yaml(text: str) -> object:
    """The values in the text; None if it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _expected_values(
    before: dict[str, object], supabase: LocalSupabase
) -> dict[str, object]:
    """The values of the file after it is edited.

    Those of a new file are the template's: groups, whose lines are all comments.
    """
    group = before.get(_SUPABASE_GROUP)
    kept = dict(group) if isinstance(group, dict) else {}
    for name in _SIGN_IN_KEYS:
        kept.pop(name, None)
    expected = kept | {"url": supabase.url, "key": supabase.service_key}
    template = _parse_yaml(YAML_TEMPLATE)
    assert isinstance(template, dict)
    others = before or template
    return others | {_SUPABASE_GROUP: expected, "owner_user_id": supabase.user_id}


def _edited_text(text: str, supabase: LocalSupabase) -> str:
    lines = text.splitlines()
    if not any(map(_is_group_line, lines)):
        lines += ["", f"{_SUPABASE_GROUP}:"]
    for name, value in (("url", supabase.url), ("key", supabase.service_key)):
        _set_in_group(lines, name, value)
    for name in _SIGN_IN_KEYS:
        _remove_from_group(lines, name)
    _set_top_level(lines, "owner_user_id", supabase.user_id)
    return "\n".join(lines) + "\n"


def _lines_of_group(lines: list[str]) -> range:
    """The lines of the group below its own: indented, empty, or comments."""
    start = next(i for i, line in enumerate(lines) if _is_group_line(line)) + 1
    end = start
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t#"):
        end += 1
    return range(start, end)


def _is_group_line(line: str) -> bool:
    return re.match(rf"{_SUPABASE_GROUP}\s*:", line) is not None


def _set_in_group(lines: list[str], name: str, value: str) -> None:
    group = _lines_of_group(lines)
    indents = (re.match(r"( +)[\w-]+\s*:", lines[i]) for i in group)
    indent = next((match[1] for match in indents if match), "  ")
    for pattern in (rf" +{name}\s*:", rf" +#\s*{name}\s*:"):
        for i in group:
            if re.match(pattern, lines[i]):
                lines[i] = f"{indent}{name}: {value}"
                return
    lines.insert(group.start, f"{indent}{name}: {value}")


def _remove_from_group(lines: list[str], name: str) -> None:
    for i in reversed(_lines_of_group(lines)):
        if re.match(rf" +{name}\s*:", lines[i]):
            del lines[i]


def _set_top_level(lines: list[str], name: str, value: str) -> None:
    for pattern in (rf"{name}\s*:", rf"#\s*{name}\s*:"):
        for i, line in enumerate(lines):
            if re.match(pattern, line):
                lines[i] = f"{name}: {value}"
                return
    lines.append(f"{name}: {value}")
