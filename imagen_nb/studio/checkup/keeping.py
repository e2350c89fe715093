"""Checks of where pictures go: the folder, the disk, the user's Supabase."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.studio.checkup.row import CheckRow
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings

_ELSEWHERE = "name another with output.dir in imagen.yaml, or --output"
_FULL_BYTES = 50 * 10**6  # below it, no picture of a megapixel is sure to fit
_LITTLE_BYTES = 2 * 10**9


def check_folder(settings: Settings) -> Iterator[CheckRow]:
    """Yield whether pictures can be written where they go, without writing anything."""
    folder = absolute_path(settings.output.dir)
    nearest = nearest_existing(folder)
    what = str(folder)
    if not nearest.is_dir():
        what += f": {nearest} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what += f": {nearest} cannot be written to"
    else:
        will_be = "" if nearest == folder else " (made with the first picture)"
        yield CheckRow("folder", "good", f"{what}{will_be}")
        return
    yield CheckRow("folder", "wrong", what, _ELSEWHERE, needed=True)


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check_disk(settings: Settings) -> Iterator[CheckRow]:
    """Yield whether there is space for pictures."""
    folder = absolute_path(settings.output.dir)
    free = shutil.disk_usage(nearest_existing(folder)).free
    what = f"{free / 1e9:.1f} GB free in {folder}"
    mend = f"free some space, or {_ELSEWHERE}"
    if free < _FULL_BYTES:
        yield CheckRow("disk", "wrong", what, mend, needed=True)
    elif free < _LITTLE_BYTES:
        yield CheckRow("disk", "missing", what, mend)
    else:
        yield CheckRow("disk", "good", what)


def check_supabase(settings: Settings) -> Iterator[CheckRow]:
    """Yield whether a Supabase is configured, without asking it."""
    from imagen_nb.cloud.check import cloud_warnings

    if not settings.supabase.url:
        what = "not configured: pictures stay on this machine"
        mend = (
            "`imagen supabase start --configure` runs one here to try;"
            " `imagen config init` begins with yours"
        )
        yield CheckRow("supabase", "missing", what, mend)
        return
    warnings = [*cloud_warnings(settings)]
    for warning in warnings:
        yield CheckRow("supabase", "wrong", settings.supabase.url, warning)
    if not warnings:
        what = f"{settings.supabase.url}; `imagen doctor --online` asks it"
        yield CheckRow("supabase", "good", what)


def ask_supabase(settings: Settings) -> Iterator[CheckRow]:
    """Yield what the configured Supabase says, a row for each question."""
    from imagen_nb.cloud.check import check_server

    if not settings.supabase.url:
        return
    for finding in check_server(settings):
        if finding.trouble:
            migration = f" (missing: {finding.migration})" if finding.migration else ""
            mend = f"{finding.trouble}{migration}"
            yield CheckRow("supabase", "wrong", finding.what, mend)
        else:
            yield CheckRow("supabase", "good", finding.what)
