"""Pictures that were never drawn, in a catalog and in the cloud: what histories are read from."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from server_state import ServerState

from imagen_nb.cloud.sync import _without_nul
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.output import Kept
from imagen_nb.storage.record import Record

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


CASES: dict[str, tuple[dict[str, Any], int]] = {  # what is asked, and how many there must be
    "everything": ({}, 120),
    "since a span": ({"since": "2 days"}, 48),
    "since and until times": (
        {"since": NOW - dt.timedelta(hours=50), "until": NOW - dt.timedelta(hours=20)},
        30,
    ),
    "until a moment of a row": ({"until": NOW - dt.timedelta(hours=60, microseconds=1)}, 60),
    "one word": ({"prompt": "boat"}, 42),
    "words in any order and case": ({"prompt": "BOAT red"}, 30),
    "a phrase": ({"prompt": '"red boat"'}, 18),
    "a word and not another": ({"prompt": "boat -red"}, 12),
    "not a phrase": ({"prompt": '-"red boat"'}, 102),
    "only what is not": ({"prompt": "-a"}, 24),
    "a percent sign": ({"prompt": "100%"}, 6),
    "an underscore": ({"prompt": "red_boat"}, 6),
    "a backslash": ({"prompt": "back\\slash"}, 6),
    "a star": ({"prompt": "star*"}, 0),
    "a star by itself": ({"prompt": "*"}, 12),
    "not a star": ({"prompt": "star -*"}, 6),
    "a lone quotation mark": ({"prompt": '"red'}, 6),
    "brackets and commas": ({"prompt": "commas, (brackets), {braces}"}, 6),
    "an operator": ({"prompt": "eq.red"}, 6),
    "an operator with a star": ({"prompt": "not.ilike.*red*"}, 6),
    "SQL": ({"prompt": "'); DROP TABLE"}, 6),
    "umlauts in another case": ({"prompt": "ÜBERGRÖSSE Éclair"}, 6),
    "sharp s stays": ({"prompt": "größe"}, 6),
    "not an umlaut": ({"prompt": "bergr -übergröße"}, 6),
    "a dotted capital I": ({"prompt": "İstanbul"}, 6),
    "Cyrillic": ({"prompt": "КРЕЙСЕР"}, 6),
    "after a NUL": ({"prompt": "inside"}, 6),
    "a NUL": ({"prompt": "nul \0 inside"}, 6),
    "an emoji": ({"prompt": "🚤"}, 6),
    "no such word": ({"prompt": "submarine"}, 0),
    "a backend": ({"backend": "flux-tiny-local"}, 40),
    "a backend with quotes": ({"backend": 'odd,"name"'}, 40),
    "two backends": ({"backend": ["b(c)", "flux-tiny-local"]}, 80),
    "no backend of several": ({"backend": []}, 0),
    "a model": ({"model": "FLUX.1-schnell"}, 60),
    "a tag": ({"tags": "keeper"}, 40),
    "all of two tags": ({"tags": ["keeper", "rating:5"]}, 20),
    "any of two tags": ({"any_tags": ["rating:5", "x{y}"]}, 40),
    "a tag with comma and quotes": ({"tags": 'a,"b"'}, 20),
    "a tag with a backslash": ({"tags": "back\\slash"}, 20),
    "a tag of other letters": ({"any_tags": ["naïve ☃"]}, 20),
    "tags in another case": ({"tags": "KEEPER"}, 0),
    "a seed": ({"seed": 2**53 - 2}, 1),
    "several seeds": ({"seed": range(20)}, 10),
    "very many seeds": ({"seed": range(2000)}, 60),
    "a size": ({"size": (128, 192)}, 24),
    "two sizes": ({"size": "128x128,128x192"}, 120),
    "ids": ({"ids": [uuid.UUID(int=0x5EED0000), uuid.uuid4()]}, 1),
    "no ids": ({"ids": []}, 0),
    "a limit": ({"limit": 5}, 5),
    "a limit with words": ({"prompt": "red", "limit": 4}, 4),
    "a limit of none": ({"limit": 0}, 0),
    "much at once": (
        {"prompt": "red -night", "tags": "keeper", "size": (128, 128), "since": "7d",
         "backend": ["b(c)", 'odd,"name"'], "seed": range(3000), "limit": 2},
        2,
    ),
}  # fmt: skip
