"""The file imagen.yaml: reading it with line numbers, and the commented template."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagen_nb.errors import ConfigError

TEMPLATE = """\
# imagen_nb: every key is optional. Arguments win over the environment, that over this file.

# What draws: auto, flux-tiny-local, flux-schnell-local, flux-dev-local, or your own folder of
# FLUX layout as {type: flux, model: /path/to/folder}. `imagen models` lists them. [$IMAGEN_BACKEND]
#backend: auto

# How to draw when you do not say; without these the model's own defaults hold.
#steps: 4
#width: 1024
#height: 1024
#guidance: 0.0

# Tags that every picture gets.
#tags: []

# Show pictures in terminals that can: auto, on, off.
#preview: auto

output:
  # Where pictures, their sidecars and the catalog are kept. [$IMAGEN_OUTPUT_DIR]
  #dir: ~/imagen
  # Copy pictures to your Supabase: auto (when it is configured), on, off. [$IMAGEN_CLOUD_SYNC]
  #cloud_sync: auto

supabase:
  # [$SUPABASE_URL, $SUPABASE_KEY] A secret key, or a publishable key with e-mail and password.
  #url: https://YOUR-PROJECT.supabase.co
  #key:
  #email:
  #password:

# Whose pictures these are, when the key is a secret one. Find it in the SQL editor with
#   SELECT id, email FROM auth.users;
#owner_user_id:
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Where something stands in a file, counted from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration, as one line of text."""

    file: str
    line: Line | None
    key: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line.number}" if self.line else self.file
        return f"{where}: {self.key}: {self.expected}" if self.key else f"{where}: {self.expected}"


def read_yaml(path: Path) -> tuple[dict[str, Any], Mapping[str, Line], list[Problem]]:
    """The file's values, the line of each dotted key, and what keeps it from being read."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except FileNotFoundError:
        missing = "there is no such file; `imagen config init` writes one"
        return {}, {}, [Problem(str(path), None, "", missing)]
    except (OSError, UnicodeDecodeError) as error:
        return {}, {}, [Problem(str(path), None, "", f"cannot be read ({error})")]
    except yaml.YAMLError as error:
        return {}, {}, [_broken(path, error)]
    if values is None:
        return {}, {}, []
    if not isinstance(values, dict):
        return {}, {}, [Problem(str(path), Line(1), "", "expected lines of `key: value`")]
    return {str(key): value for key, value in values.items()}, dict(_lines(node)), []


def _broken(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "cannot be read"
    column = f" at column {mark.column + 1}" if mark else ""
    return Problem(str(path), Line(mark.line + 1) if mark else None, "", f"no YAML: {what}{column}")


def _lines(node: Any, prefix: str = "") -> Iterable[tuple[str, Line]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        yield dotted, Line(key.start_mark.line + 1)
        yield from _lines(value, f"{dotted}.")


def nearest(key: str, known: Iterable[str]) -> str:
    """A hint at the known key that was probably meant, or nothing."""
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    last = {name.rpartition(".")[2]: name for name in names}
    close = close or [last[n] for n in difflib.get_close_matches(key, list(last), n=1, cutoff=0.6)]
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(names))}"


def write_template(path: Path, *, force: bool = False) -> None:
    """Write the commented template, readable by its owner only.

    Raises `ConfigError` when the file is there already, unless `force`.
    """
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already: add --force to overwrite it")
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(TEMPLATE)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): choose another place"
        ) from None
