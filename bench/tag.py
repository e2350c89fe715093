"""Tagging 1,000 pictures, here and in the cloud: ours / what one writes by hand.

python bench/tag.py [--pictures 1000]

Here: `im.tag(frame, tag)` (sidecars, flushed and renamed under the folder's lock; catalog; queue)
against a loop that reads each sidecar, adds the tag and writes it over, without flush or catalog;
and against the same loop with a flush and a rename, after which files are whole there too. Then
the cloud: the sync of those tags against a loop of supabase-py updates, one a row.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from pathlib import Path

import pandas as pd
from supabase import Client, create_client
from supabase_server import FaultProxy, fill, running
from timing import compare

from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.tags import load_queued_tags
from imagen_nb.studio.studio import Studio

SIDE = 24  # pixels: what a picture weighs plays no part
ROUNDS = 5

Paths = list[Path]


def overwritten(sidecars: Paths, tag: str) -> None:
    """The obvious loop: a crash, or another program that tags, costs a sidecar."""
    for path in sidecars:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["tags"].append(tag)
        path.write_text(json.dumps(record, indent=2), encoding="utf-8")


def replaced(sidecars: Paths, tag: str) -> None:
    """The careful loop: what is there is whole at any moment."""
    for path in sidecars:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["tags"].append(tag)
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def updated(client: Client, rows: dict[str, list[str]], tag: str) -> None:
    """The obvious loop over rows: it overwrites what others tagged meanwhile."""
    table = client.schema("imagen").table("images")
    for id, tags in rows.items():
        tags.append(tag)
        table.update({"tags": tags}).eq("id", id).execute()


def here(studio: Studio, frame: pd.DataFrame, folder: Path) -> None:
    """On this machine alone. The loops have a copy of the sidecars."""
    own = [sidecar_of(Path(path)) for path in frame["local_path"]]
    theirs = [folder / path.name for path in own]
    for source, copy in zip(own, theirs, strict=True):
        copy.write_bytes(source.read_bytes())
    number = itertools.count()
    title = f"{len(frame)} pictures tagged here, ours / "
    for loop, goal in ((overwritten, "none: it flushes nothing"), (replaced, "≤ 1")):
        compare(
            f"{title}{loop.__name__}",
            lambda: studio.tag(frame, f"t{next(number)}"),
            lambda loop=loop: loop(theirs, f"t{next(number)}"),
            goal,
            ROUNDS,
        )


def there(
    studio: Studio, frame: pd.DataFrame, client: Client, title: str, rounds: int = 3
) -> None:
    """Into the rows of the cloud; before each round tags are queued."""
    rows = {id: [*tags] for id, tags in zip(frame["id"], frame["tags"], strict=True)}
    number = itertools.count()

    def queue() -> None:
        if not load_queued_tags(studio.catalog()):
            studio.tag(frame, f"c{next(number)}")

    def ours() -> None:
        report = studio.sync()
        assert report.tagged == len(frame), report

    queue()
    compare(
        f"{len(frame)} rows tagged in the cloud, {title}, ours / a loop of updates",
        ours,
        lambda: updated(client, rows, f"c{next(number)}"),
        "≤ 0.25",
        rounds,
        queue,
    )


def session(server: LocalSupabase, url: str, folder: Path) -> Studio:
    """As its user, so that row-level security applies."""
    account = {"url": url, "key": server.anon_key, "email": server.email}
    account |= {"password": server.password}
    return Studio(
        {"output": {"dir": str(folder)}, "supabase": account}, background=False
    )


def client_of(server: LocalSupabase, url: str) -> Client:
    """The same user's, of supabase-py."""
    client = create_client(url, server.anon_key)
    client.auth.sign_in_with_password(
        {"email": server.email, "password": server.password}
    )
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    count = parser.parse_args().pictures
    with (
        tempfile.TemporaryDirectory(prefix="imagen-bench-") as name,
        running() as server,
    ):
        folder, copies = Path(name) / "ours", Path(name) / "theirs"
        copies.mkdir()
        fill(folder, count, SIDE)
        with session(server, server.url, folder) as studio:
            assert studio.sync().synced == count
            frame = studio.history(source="local")
            here(studio, frame, copies)
            studio.sync()
            there(studio, frame, client_of(server, server.url), "0 ms")
        with (
            FaultProxy(server.url, delay=0.05) as proxy,
            session(server, proxy.url, folder) as far,
        ):
            there(far, frame, client_of(server, proxy.url), "50 ms", rounds=1)


if __name__ == "__main__":
    main()
