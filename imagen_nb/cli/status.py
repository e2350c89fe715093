"""`imagen models`, `imagen status` and `imagen reindex`."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import settings_of
from imagen_nb.system.paths import expanded
from imagen_nb.system.terminal import complain, print_table


def status(
    config: options.Config = None,
    output: options.Folder = None,
    as_json: options.Json = False,
) -> None:
    """Show the configuration in force, what draws, and what the catalog holds."""
    from imagen_nb.backends.auto import described

    settings = settings_of(config, output={"dir": output})
    name, given = settings.backend_choice()
    folder = expanded(settings.output.dir)
    kept = kept_in(folder)
    facts: dict[str, Any] = {
        "backend": described(name, **settings.options_of(name) | given),
        "output": str(folder),
        "cloud_sync": settings.output.cloud_sync,
        "pictures": kept.counts,
        "tags waiting": kept.tagged,
        "latest": kept.latest,
        "supabase": settings.supabase.url or "not configured",
        "last errors": kept.errors,
        "configuration": sorted(set(settings.sources.values()) - {"argument"})
        or ["defaults"],
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    said = ", ".join(
        f"{n} {state}" for state, n in kept.counts.items() if state != "total"
    )
    facts["pictures"] = f"{kept.counts['total']}{f' ({said})' if said else ''}"
    facts["tags waiting"] = f"of {kept.tagged} picture{'s' * (kept.tagged != 1)}"
    rows = {
        name: ", ".join(v) if isinstance(v, list) else v for name, v in facts.items()
    }
    print_table(("what", "now"), list(rows.items()))


@dataclass(frozen=True, slots=True)
class Held:
    """What a folder's catalog holds. `tagged`: pictures whose tags wait for the cloud."""

    counts: dict[str, int] = field(default_factory=lambda: {"total": 0})
    tagged: int = 0
    latest: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def kept_in(folder: Path) -> Held:
    """What is known of a folder: the last picture, the last errors; makes no catalog."""
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.storage.tags import load_queued_tags

    catalog = Catalog(folder)
    if not catalog.path.exists():
        return Held()
    with closing(catalog):
        troubled = catalog.select(
            "WHERE cloud_error IS NOT NULL ORDER BY created_at DESC LIMIT 20"
        )
        errors = dict.fromkeys(str(entry.cloud_error) for entry in troubled)
        latest = [str(entry.path) for entry in catalog.latest(1)]
        return Held(catalog.counts(), len(load_queued_tags(catalog)), latest, [*errors])


def reindex(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Output folder; the configured one.", callback=options.expanded
        ),
    ] = None,
    config: options.Config = None,
) -> None:
    """Rebuild a folder's catalog from its sidecars."""
    from imagen_nb.storage.reindex import reindex as rebuild
    from imagen_nb.system.progress import counting

    place = folder or settings_of(config).output.dir
    with counting("reading") as progress:
        found = rebuild(place, progress)
    print(f"{found.found} pictures: {found.added} entered, {found.removed} removed")
    for path in found.rebuilt:
        complain(f"{path}: sidecar restored from its picture")
    for path in found.torn:
        complain(f"{path}: torn, and its picture has no record; left as it is")
