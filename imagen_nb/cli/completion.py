"""What shells and notebooks offer on Tab: backends, schedulers, presets, tags, ids.

What is offered stands on a command line as it is, which a shell may evaluate: nothing
with a character that means something there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imagen_nb.errors import ImagenError

if TYPE_CHECKING:
    from imagen_nb.storage.catalog import Catalog

MAX_IDS_OFFERED = 50  # of the newest pictures
_PLAIN_WORD = re.compile(r"[\w.:/@%+=,-]+")
_NOT_PLAIN = re.compile(r"[^\w ,.-]+")
_MAX_HINT_CHARS = 50


def backend_choices() -> list[str]:
    """Return what --backend takes."""
    from imagen_nb.backends import BACKENDS

    return [*BACKENDS.also, *BACKENDS.names()]


def scheduler_choices() -> list[str]:
    """Return what --scheduler takes."""
    from imagen_nb.backends.flux.schedulers import SCHEDULER_CONFLICTS

    return [*SCHEDULER_CONFLICTS]


def tag_choices(catalog: Catalog) -> list[str]:
    """Return the tags of a folder that are one plain word."""
    from imagen_nb.storage.tags import list_known_tags

    return [tag for tag in list_known_tags(catalog) if _PLAIN_WORD.fullmatch(tag)]


def preset_choices(config: Path | None = None) -> list[str]:
    """Return the presets whose names are one plain word."""
    from imagen_nb.config.presets import load_presets, presets_path

    presets = load_presets(presets_path(config))
    return [name for name in presets if _PLAIN_WORD.fullmatch(name)]


def complete_backend(incomplete: str) -> list[str]:
    """Complete a backend's name."""
    return _beginning_with(incomplete, backend_choices)


def complete_scheduler(incomplete: str) -> list[str]:
    """Complete a scheduler's name."""
    return _beginning_with(incomplete, scheduler_choices)


def complete_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a preset's name."""
    config = ctx.params.get("config")
    file = Path(config) if config else None
    return _beginning_with(incomplete, lambda: preset_choices(file))


def complete_tag(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a tag of the command's folder."""
    return _beginning_with(incomplete, lambda: tag_choices(_catalog_of(ctx)))


def complete_id(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the id of a picture of the command's folder, the newest ones first.

    Each with its prompt, of which only letters, digits and some punctuation are shown.
    """
    if not re.fullmatch(r"[0-9a-f-]*", incomplete):
        return []  # a file, say
    try:
        catalog = _catalog_of(ctx)
        if not catalog.has_any():
            return []
        entries = catalog.select(
            "WHERE id LIKE ? ORDER BY created_at DESC LIMIT ?",
            f"{incomplete}%",
            MAX_IDS_OFFERED,
        )
    except ImagenError:  # a folder that cannot be read has nothing to offer
        return []
    return [(str(each.record.id), _plain_text(each.record.prompt)) for each in entries]


def _plain_text(prompt: str) -> str:
    return _NOT_PLAIN.sub(" ", prompt)[:_MAX_HINT_CHARS]


def _beginning_with(begun: str, choices: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [choice for choice in choices() if choice.startswith(begun)]
    except ImagenError:  # as above
        return []


def _catalog_of(ctx: typer.Context) -> Catalog:
    """Return the catalog of the folder that the options before the cursor name."""
    from imagen_nb.config.settings import load_settings
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.system.paths import expand_user

    output: Path | None = ctx.params.get("output")
    settings = load_settings({"output": {"dir": output}}, ctx.params.get("config"))
    return Catalog(expand_user(settings.output.dir))
