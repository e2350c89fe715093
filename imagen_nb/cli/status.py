"""`imagen status` and `imagen reindex`: what a folder's catalog holds; make it anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.system.paths import expand_user
from imagen_nb.system.terminal import counted_pictures, print_notice, print_table

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings

_MAX_NAMED = 5  # files in one line


@dataclass(frozen=True, slots=True)
class CatalogSummary:
    """What a folder's catalog holds.

    counts: pictures by what the cloud has of them, and their "total".
    tagged: how many pictures have tags that wait for the cloud.
    removals: how many deleted pictures wait to be removed from the cloud.
    latest: the path of the last picture, if there is one.
    errors: what went wrong with the newest ones, each once.
    """

    counts: dict[str, int] = field(default_factory=lambda: {"total": 0})
    tagged: int = 0
    removals: int = 0
    latest: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> str:
        """The counts for people: 3 (2 synced, 1 pending)."""
        states = [
            f"{n} {state}" for state, n in self.counts.items() if state != "total"
        ]
        total = str(self.counts["total"])
        return f"{total} ({', '.join(states)})" if states else total


def status(
    config: options.ConfigOption = None,
    output: options.FolderOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the configuration in force, what draws, and what the catalog holds."""
    settings = load_command_settings(config, output={"dir": output})
    summary = summarize_catalog(expand_user(settings.output.dir))
    facts = _facts_in_force(settings, summary)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    facts["pictures"] = summary.pictures
    facts["tags waiting"] = f"of {counted_pictures(summary.tagged)}"
    facts["removals waiting"] = f"of {counted_pictures(summary.removals)}"
    rows = [
        (name, ", ".join(value) if isinstance(value, list) else value)
        for name, value in facts.items()
    ]
    print_table(("what", "now"), rows)


def _facts_in_force(settings: Settings, summary: CatalogSummary) -> dict[str, Any]:
    from imagen_nb.backends.session import describe_backend

    name, chosen_options = settings.backend_choice()
    backend = describe_backend(name, **settings.options_of(name) | chosen_options)
    sources = sorted(set(settings.sources.values()) - {"argument"})
    return {
        "backend": backend,
        "output": str(expand_user(settings.output.dir)),
        "cloud_sync": settings.output.cloud_sync,
        "pictures": summary.counts,
        "tags waiting": summary.tagged,
        "removals waiting": summary.removals,
        "latest": summary.latest,
        "supabase": settings.supabase.url or "not configured",
        "last errors": summary.errors,
        "configuration": sources or ["defaults"],
    }


def summarize_catalog(folder: Path) -> CatalogSummary:
    """Return what is known of a folder: counts, the last picture, the last errors.

    Makes no catalog where there is none.
    """
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.storage.removals import load_removals
    from imagen_nb.storage.tags import load_queued_tags

    catalog = Catalog(folder)
    if not catalog.has_any():
        return CatalogSummary()
    with closing(catalog):
        failed = catalog.select(
            "WHERE cloud_error IS NOT NULL ORDER BY created_at DESC LIMIT 20"
        )
        removals = load_removals(catalog)
        told = [str(entry.cloud_error) for entry in failed]
        told += [one.error for one in removals if one.error]
        latest = [str(entry.path) for entry in catalog.latest(1)]
        tagged = len(load_queued_tags(catalog))
        return CatalogSummary(
            catalog.counts(), tagged, len(removals), latest, [*dict.fromkeys(told)]
        )


def reindex(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Output folder; the configured one.", callback=options.expand_option
        ),
    ] = None,
    config: options.ConfigOption = None,
) -> None:
    """Rebuild a folder's catalog from its sidecars."""
    from imagen_nb.storage.reindex import reindex as rebuild
    from imagen_nb.system.progress import progress_bar

    chosen = folder or load_command_settings(config).output.dir
    with progress_bar("reading") as progress:
        result = rebuild(chosen, progress)
    print(f"{result.found} pictures: {result.added} entered, {result.removed} removed")
    for path in result.rebuilt:
        print_notice(f"{path}: sidecar restored from its picture")
    for path in result.torn:
        print_notice(f"{path}: torn, and its picture has no record; left as it is")
    _name_left_alone(result.foreign, "without a record of imagen_nb")
    _name_left_alone(result.skipped, "no file, or with a name that is not UTF-8")


def _name_left_alone(paths: Sequence[Path], why: str) -> None:
    if not paths:
        return
    names = ", ".join(path.name for path in paths[:_MAX_NAMED])
    more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
    print_notice(f"left alone, {why}: {names}{more}")
