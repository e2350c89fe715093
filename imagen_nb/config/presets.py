"""Presets: settings of a drawing by name, in a file beside imagen.yaml.

The Panel saves and offers them, `imagen generate --preset NAME` draws with them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from imagen_nb.config.settings import config_path
from imagen_nb.errors import ConfigError, UsageError
from imagen_nb.request.drawing_settings import DrawingSettings
from imagen_nb.request.validation import short_repr
from imagen_nb.system.atomic import write_atomically
from imagen_nb.system.spelling import describe_meant
from imagen_nb.system.yaml_text import parse_yaml

_MAX_NAME_CHARS = 60


class DrawingPreset(DrawingSettings):
    """Settings by name, prompt and seed left out; None is not said."""

    def arguments(self) -> dict[str, Any]:
        """Return what it says, by name."""
        said = self.model_dump(exclude_none=True)
        return {name: value for name, value in said.items() if value != ()}


_FILE_ADAPTER = TypeAdapter(dict[str, DrawingPreset])


def presets_path(config: Path | None = None) -> Path:
    """Return the file: `imagen-presets.yaml` beside `imagen.yaml`.

    `config`: the configuration file, instead of `config_path()`.
    """
    file = config or config_path()
    return file.with_name(f"{file.stem}-presets.yaml")


def load_presets(path: Path) -> dict[str, DrawingPreset]:
    """Return the presets of a file by name; none where there is no file.

    Raises `ConfigError` for a file that is none of presets.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    try:
        presets = _FILE_ADAPTER.validate_python(parse_yaml(text)[1] or {})
        return {_validated_label(name): preset for name, preset in presets.items()}
    except (yaml.YAMLError, ValidationError, RecursionError, UsageError):
        raise ConfigError(
            f"{path} is no file of presets: each is a name with settings below it, "
            "like `fast:` and, indented, `steps: 4`"
        ) from None


def named_preset(path: Path, name: str) -> DrawingPreset:
    """Return a preset. Raises `UsageError` if there is none of this name."""
    presets = load_presets(path)
    if name in presets:
        return presets[name]
    known = ", ".join(presets) or f"none; the Panel saves them in {path}"
    meant = describe_meant(name, presets)
    raise UsageError(f"there is no preset {short_repr(name)}: there are {known}{meant}")


def save_preset(path: Path, name: str, preset: DrawingPreset) -> None:
    """Add a preset, or replace the one of this name.

    Raises `UsageError` for what is no name, `ConfigError` if it cannot be written.
    """
    _write(path, {**load_presets(path), _validated_label(name): preset})


def remove_preset(path: Path, name: str) -> None:
    """Remove a preset. Errors are those of `named_preset` and `save_preset`."""
    named_preset(path, name)
    presets = load_presets(path)
    _write(path, {each: presets[each] for each in presets if each != name})


def _validated_label(name: str) -> str:
    label = name.strip()
    if not label or len(label) > _MAX_NAME_CHARS or not label.isprintable():
        raise UsageError(
            f"a preset's name has 1 to {_MAX_NAME_CHARS} characters of one line"
        )
    return label


def _write(path: Path, presets: Mapping[str, DrawingPreset]) -> None:
    values = {
        name: {field: _as_lists(value) for field, value in preset.arguments().items()}
        for name, preset in presets.items()
    }
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(os.path.realpath(path)), text.encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{path} cannot be written: {reason}") from None


def _as_lists(value: Any) -> Any:
    """Return tuples as lists, which YAML has."""
    return [*map(_as_lists, value)] if isinstance(value, tuple) else value
