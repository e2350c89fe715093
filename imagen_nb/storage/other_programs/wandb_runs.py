"""Media folders of wandb runs: pictures without metadata, and files beside that have it.

A run's folder has `files/media/images/KEY_STEP_HASH.png`, `files/config.yaml`,
`files/wandb-summary.json` with the last captions, and tables under `files/media/table`,
whose rows name pictures. Old versions wrote each step to `wandb-history.jsonl`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from imagen_nb.storage.other_programs.call_arguments import (
    metadata_of_call,
    named_arguments,
)
from imagen_nb.storage.other_programs.foreign_metadata import (
    MAX_JSON_CHARS,
    ForeignMetadata,
    clean_text,
    json_object_of,
    objects_in,
    storable,
)
from imagen_nb.system.yaml_text import parse_yaml

_RUN_CONFIG, _SUMMARY, _HISTORY = (
    "config.yaml",
    "wandb-summary.json",
    "wandb-history.jsonl",
)
_MAX_CONFIG_CHARS = 200_000  # YAML is slow: 10 s a megabyte
_MAX_TABLES = 50  # that are looked through for one picture
_MAX_HISTORY_LINES = 20_000  # of a history
_PROMPT_NAMES = ("prompt", "validation_prompt", "instance_prompt")
_ARGUMENTS = ("workflow", "params")  # where the integration for diffusers puts them


class _Run(NamedTuple):
    """What the files of a run say; rows and captions by the path of the picture."""

    config: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    captions: dict[str, str]


def read_wandb(path: Path) -> ForeignMetadata | None:
    """Return what a run says of a picture in its media folder; None for other folders."""
    files = _files_folder(path)
    if files is None:
        return None
    sources = (
        files / _RUN_CONFIG,
        files / _SUMMARY,
        *_histories(files),
        *_tables(files),
    )
    run = _load_run(files, tuple(map(_stamp, sources)))
    media = path.relative_to(files).as_posix()
    row, caption = run.rows.get(media, {}), run.captions.get(media, "")
    values = {**run.config, **row}
    if caption and not clean_text(row.get("prompt")):
        named = clean_text(run.config.get("prompt"))
        values["prompt"] = named if named and caption.endswith(named) else caption
    found = metadata_of_call(values, "wandb")
    said_of_it: dict[str, Any] = {
        "arguments": run.config,
        "row": row,
        "caption": caption,
    }
    raw = {
        f"wandb:{name}": said if isinstance(said, str) else _json_text(said)
        for name, said in said_of_it.items()
        if said
    }
    if not found.prompt:
        reason = "neither tables nor captions of the run name a prompt"
        found = replace(found, not_understood=reason)
    return replace(found, raw=raw)


def _json_text(values: Mapping[str, Any]) -> str:
    return storable(json.dumps(values, ensure_ascii=False, default=str))


def _files_folder(path: Path) -> Path | None:
    """Return the folder that has `media`, if files of wandb are beside it."""
    for folder in path.parents:
        if folder.name == "images" and folder.parent.name == "media":
            files = folder.parent.parent
            known = (_RUN_CONFIG, _SUMMARY, _HISTORY, "wandb-metadata.json")
            return files if any((files / name).is_file() for name in known) else None
    return None


def _tables(files: Path) -> list[Path]:
    return sorted((files / "media" / "table").rglob("*.table.json"))[:_MAX_TABLES]


def _histories(files: Path) -> list[Path]:
    return [folder / _HISTORY for folder in (files, files.parent)]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when the file does."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=2)  # a folder is read picture by picture
def _load_run(files: Path, stamps: tuple[tuple[int, int] | None, ...]) -> _Run:
    """Return what the files of a run say, as long as their stamps are the same."""
    config_text = _bounded_text(files / _RUN_CONFIG, _MAX_CONFIG_CHARS) or ""
    rows: dict[str, dict[str, Any]] = {}
    captions: dict[str, str] = {}
    for table in _tables(files):
        rows |= _rows_by_picture(json_object_of(_bounded_text(table)) or {})
    for values in _logged(files):
        for logged in values.values():
            for path, caption in _captions_of_log(logged):
                if isinstance(path, str) and clean_text(caption):
                    captions.setdefault(path, clean_text(caption))
    return _Run(_config(config_text), rows, captions)


def _bounded_text(path: Path, most: int = MAX_JSON_CHARS) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > most:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _config(text: str) -> dict[str, Any]:
    """Return the arguments of a call that the run was configured with, and no others.

    Training scripts put all of theirs there, tokens among them.
    """
    try:
        values = parse_yaml(text)[1]
    except yaml.YAMLError:
        return {}
    if not isinstance(values, dict):
        return {}
    flat = {
        name: value.get("value") if isinstance(value, dict) else value
        for name, value in values.items()
        if isinstance(name, str)
    }
    flat |= _arguments_of_integration(flat)
    prompts = (clean_text(flat.get(name)) for name in _PROMPT_NAMES)
    prompt = next(filter(None, prompts), "")
    known = named_arguments(flat | {"prompt": prompt})
    return {name: value for name, value in known.items() if value not in (None, "")}


def _arguments_of_integration(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call's arguments, without the seed: there it is a byte of a state."""
    workflow = config.get(_ARGUMENTS[0])
    if isinstance(workflow, list):
        workflow = next(iter(objects_in(workflow)), None)
    arguments = workflow.get(_ARGUMENTS[1]) if isinstance(workflow, dict) else None
    if not isinstance(workflow, dict) or not isinstance(arguments, dict):
        return {}
    pipeline = workflow.get("pipeline")
    named = pipeline.get("_name_or_path") if isinstance(pipeline, dict) else None
    known = {name: value for name, value in arguments.items() if name != "seed"}
    return {**known, "seed": None, "model": config.get("model") or named}


def _rows_by_picture(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows that name pictures, by these and with the names of arguments."""
    columns, rows = table.get("columns"), table.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return {}
    names = [_argument_name(column) for column in columns]
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if isinstance(row, list):
            cells = zip(names, row, strict=False)
            plain = {name: cell for name, cell in cells if _is_plain(cell)}
            found |= dict.fromkeys(_paths_of(row), plain)
    return found


def _argument_name(column: object) -> str:
    return str(column).strip().lower().replace("-", "_").replace(" ", "_")


def _is_plain(cell: object) -> bool:
    return isinstance(cell, str | int | float)


def _paths_of(cells: list[Any]) -> list[str]:
    paths = (cell.get("path") for cell in objects_in(cells))
    return [path for path in paths if isinstance(path, str)]


def _logged(files: Path) -> Iterator[dict[str, Any]]:
    """Yield what was logged: the last of each key, and what old versions have of all."""
    yield json_object_of(_bounded_text(files / _SUMMARY)) or {}
    for history in map(_bounded_text, _histories(files)):
        for line in (history or "").splitlines()[:_MAX_HISTORY_LINES]:
            yield json_object_of(line) or {}


def _captions_of_log(logged: object) -> Iterator[tuple[Any, Any]]:
    """Yield path and caption of each picture that was logged under one key."""
    if not isinstance(logged, dict):
        return
    yield logged.get("path"), logged.get("caption")
    paths, captions = logged.get("filenames"), logged.get("captions")
    if isinstance(paths, list) and isinstance(captions, list):
        yield from zip(paths, captions, strict=False)
