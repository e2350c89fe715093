"""Where the history comes from: the cloud, this machine, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import newest_first
from imagen_nb.frames.sources import direct, local, remote
from imagen_nb.storage.catalog import Catalog
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pyarrow as pa

SOURCES = ("auto", "cloud", "local", "merged")


@dataclass(slots=True)
class History:
    """The pictures of one session. What `auto` chose is said when it is not what it was."""

    settings: Settings
    catalogs: Callable[[], Sequence[Catalog]]
    cloud: Callable[[], Cloud | None]
    _said: str = field(default="", init=False)

    def table(
        self, query: Query, source: str = "auto", *, sidecar: bool = False
    ) -> pa.Table:
        """The pictures that the query finds. Raises `UsageError`, `CloudError`, `StorageError`."""
        if source not in SOURCES:
            raise UsageError(
                f"source must be one of {', '.join(SOURCES)}, not {source!r}"
            )
        if source == "local":
            return local.read(self.catalogs(), query, sidecar=sidecar)
        if source == "merged":
            return self._merged(query, sidecar)
        if source == "cloud":
            return self._in_the_cloud(query, sidecar)
        return self._auto(query, sidecar)

    @property
    def _configured(self) -> bool:
        return (
            self.settings.supabase.database_url is not None or self.cloud() is not None
        )

    def _auto(self, query: Query, sidecar: bool) -> pa.Table:
        if not self._configured:
            self._say(f"from this machine's catalog: {NOT_CONFIGURED}")
        else:
            try:
                table = self._in_the_cloud(query, sidecar)
                self._say("from the cloud", self._left_out)
                return table
            except CloudError as error:
                self._say(
                    f"from this machine's catalog, the cloud does not answer: {error}"
                )
        return local.read(self.catalogs(), query, sidecar=sidecar)

    def _say(self, choice: str, more: Callable[[], str] = str) -> None:
        if choice != self._said:
            complain(f"history: {choice}{more()}")
        self._said = choice

    def _left_out(self) -> str:
        counts = [catalog.counts() for catalog in self._there()]
        waiting = sum(count["total"] - count["synced"] for count in counts)
        return (
            f"; {waiting} pictures here are not in it: source='merged'"
            if waiting
            else ""
        )

    def _there(self) -> list[Catalog]:
        return [catalog for catalog in self.catalogs() if catalog.path.exists()]

    def _merged(self, query: Query, sidecar: bool) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        above = self._in_the_cloud(query, sidecar)
        here = local.not_synced(self.catalogs(), query, sidecar=sidecar)
        here = here.filter(
            pc.invert(pc.is_in(here["id"], above["id"].combine_chunks()))
        )
        return newest_first(pa.concat_tables([above, here]), query.limit)

    def _in_the_cloud(self, query: Query, sidecar: bool) -> pa.Table:
        table = self._rows(query, sidecar)
        table = _with(table, "cloud", ["synced"] * table.num_rows)
        if not (there := self._there()):
            return table
        ids = table["id"].to_pylist()
        return _with(table, "local_path", [*map(local.known(there, ids).get, ids)])

    def _rows(self, query: Query, sidecar: bool) -> pa.Table:
        cloud, url = self.cloud(), self.settings.supabase.database_url
        if url is not None and (direct.available() or cloud is None):
            try:
                return direct.read(
                    url, query, owner=self._owner(cloud), sidecar=sidecar
                )
            except UnreachableError:
                if cloud is None:
                    raise
        if cloud is None:
            raise UsageError(f"no history in the cloud: {NOT_CONFIGURED}")
        return remote.read(cloud, query, sidecar=sidecar)

    def _owner(self, cloud: Cloud | None) -> UUID | None:
        """Whose rows: of who signs in, or as configured; with the database alone, everybody's."""
        if cloud is not None and self.settings.supabase.email:
            return cloud.owner()[0]
        return self.settings.owner_user_id


def _with(table: pa.Table, name: str, values: Sequence[str | None]) -> pa.Table:
    import pyarrow as pa

    return table.set_column(
        table.column_names.index(name), name, pa.array(values, pa.string())
    )
