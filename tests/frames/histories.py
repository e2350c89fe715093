"""Pictures that were never drawn, in a catalog and in the cloud: what histories are read from."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

from server_state import ServerState
from supabase_fixtures import TwoUsers

from imagen_nb.catalog import Catalog
from imagen_nb.cloud.sync import _without_nul
from imagen_nb.output import Kept
from imagen_nb.record import Record

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
PROMPTS = (
    "a red boat on a lake",
    "A RED Boat, at night",
    'he said "red boat", twice',
    "100% red_boat",
    "100 percent redXboat",
    "under_score",
    "back\\slash and 'single' quotes",
    "star * in the sky",
    "star in the sky",
    "commas, (brackets), {braces}",
    "prompt=eq.red",
    "Übergröße ÉCLAIR",
    "übergrösse éclair",
    "ein schöner Ç und İstanbul",
    "крейсер Аврора",
    "a nul \0 inside a boat",
    "'); DROP TABLE imagen.images; --",
    "emoji 🚤 boat",
    "not.ilike.*red*",
    "a cat",
)
TAGS = ((), ("keeper",), ("keeper", "rating:5"), ('a,"b"', "x{y}"), ("back\\slash",), ("naïve ☃",))


def records(owner: str) -> list[Record]:
    """Some 120 pictures; each third has the created_at of the one before."""
    found = []
    for number in range(120):
        prompt = PROMPTS[number % len(PROMPTS)]
        found.append(
            Record(
                id=uuid.UUID(int=0x5EED0000 + number * 7919 % 1000),
                owner_user_id=uuid.UUID(owner),
                prompt=prompt,
                backend=("flux-tiny-local", 'odd,"name"', "b(c)")[number % 3],
                model=("FLUX.1-schnell", None)[number % 2],
                seed=(number, 2**53 - 1 - number)[number % 2],
                steps=4,
                width=128,
                height=(128, 192)[number % 5 == 0],
                latency_ms=None if number % 7 == 0 else number,
                cost_usd_estimate=(0.0, 0.003, None)[number % 3],
                storage_path=f"{owner}/2026-05-11/p-{number}.png",
                tags=TAGS[number % len(TAGS)],
                created_at=NOW - dt.timedelta(hours=number - number % 3, microseconds=1),
                guidance=3.5,
                sha256="0" * 64,
                versions={"torch": "2.13.0"},
            )
        )
    return found


def entered(catalog: Catalog, rows: list[Record], state: str = "synced") -> None:
    """As if these had been drawn and kept here."""
    catalog.add_many(
        (Kept(catalog.folder / f"{r.seed}.png", catalog.folder / f"{r.seed}.png.json", r), state)
        for r in rows
    )


def inserted(server: ServerState, rows: list[Record]) -> None:
    values = [_without_nul(row.to_row()) for row in rows]
    for start in range(0, len(values), 500):
        server.client.schema("imagen").from_("images").insert(values[start : start + 500]).execute()


def settings(folder: Path, supabase: TwoUsers, url: str | None = None) -> dict[str, Any]:
    return {
        "output": {"dir": str(folder)},
        "supabase": {
            "url": url or supabase.url,
            "key": supabase.anon_key,
            "email": supabase.email,
            "password": supabase.password,
        },
    }


def many(owner: str, count: int, burst: bool) -> list[Record]:
    """Spread over a year, most of them in one hour; or nearly all at one moment."""
    found = []
    for number in range(count):
        hours = number * 4 if number % 10 == 0 else number / count
        created = NOW if burst and number % 100 else NOW - dt.timedelta(hours=hours)
        found.append(
            Record(owner_user_id=uuid.UUID(owner), prompt="a boat", backend="b", seed=number,
                   steps=4, width=8, height=8, created_at=created,
                   storage_path=f"{owner}/2026-05-11/{number}.png")
        )  # fmt: skip
    return found
