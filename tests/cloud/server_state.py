"""What a Supabase holds, seen with its secret key, and whether that is what the catalog says."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from imagen_nb.cloud.errors import BUCKET
from imagen_nb.storage.catalog import Catalog

_PAGE = 100


class ServerState:
    """Looks past every policy, and past the proxy."""

    def __init__(self, url: str, secret_key: str) -> None:
        self._http = httpx.Client(timeout=60)
        options = SyncClientOptions(httpx_client=self._http)
        self.client: Client = create_client(url, secret_key, options)

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def rows(self) -> list[dict[str, Any]]:
        """Every row of imagen.images."""
        table = self.client.schema("imagen").from_("images")
        found: list[dict[str, Any]] = []
        while True:
            page: Any = table.select("*").order("id").range(len(found), len(found) + 499).execute()
            if not page.data:
                return found
            found += page.data

    def objects(self, folder: str = "") -> Iterator[str]:
        """The path of every object below a folder."""
        bucket, start = self.client.storage.from_(BUCKET), 0
        while page := bucket.list(folder, {"limit": _PAGE, "offset": start}):
            for item in page:
                path = f"{folder}/{item['name']}".lstrip("/")
                if item.get("id") is None:
                    yield from self.objects(path)
                else:
                    yield path
            start += len(page)

    def sha256(self, path: str) -> str:
        """The hash of an object's bytes."""
        return hashlib.sha256(self.client.storage.from_(BUCKET).download(path)).hexdigest()

    def clear(self) -> None:
        """Remove every object and row."""
        paths = [*self.objects()]
        for start in range(0, len(paths), _PAGE):
            self.client.storage.from_(BUCKET).remove(paths[start : start + _PAGE])
        table = self.client.schema("imagen").from_("images")
        table.delete().neq("prompt", "no such prompt").execute()


def assert_nothing_lost(folders: list[Path], server: ServerState, count: int) -> None:
    """Local pictures = objects = rows, byte for byte, nothing twice, nothing left over."""
    entries = [entry for folder in folders for entry in Catalog(folder).select("")]
    assert len(entries) == count
    assert Counter(entry.cloud for entry in entries) == Counter({"synced": count})
    rows = {row["id"]: row for row in server.rows()}
    assert set(rows) == {str(entry.record.id) for entry in entries}
    objects = [*server.objects()]
    assert len(objects) == len(set(objects)) == count
    for entry in entries:
        row = rows[str(entry.record.id)]
        assert row["storage_path"] == entry.record.storage_path
        assert row["sidecar"]["sha256"] == entry.record.sha256
        assert entry.record.storage_path in objects
        assert server.sha256(entry.record.storage_path) == entry.record.sha256
        assert hashlib.sha256(entry.path.read_bytes()).hexdigest() == entry.record.sha256
