"""Which source a history is loaded from: the cloud, this machine, or both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import UnreachableError
from imagen_nb.config.settings import Settings
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import newest_first
from imagen_nb.frames.sources.direct import DatabaseSource, has_postgres_extra
from imagen_nb.frames.sources.local import CatalogSource
from imagen_nb.frames.sources.remote import ApiSource
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.removals import load_removals
from imagen_nb.system.spelling import describe_meant
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pyarrow as pa

SOURCES = ("auto", "cloud", "local", "merged")


class TableSource(Protocol):
    """What a history is loaded from.

    Implemented by `CatalogSource`, `ApiSource` and `DatabaseSource`.
    """

    def load(self, query: Query, *, sidecar: bool = False) -> pa.Table:
        """Return the rows that the query matches, newest first, undated ones last.

        Args:
            query: the conditions, and the largest number of rows.
            sidecar: load the column `sidecar`, too; it is null otherwise.

        Returns:
            A table of `schema.arrow_schema`. Only the catalog knows `local_path` and
            `cloud`: they are null from the API and the database.

        Raises:
            ImagenError: if the source cannot be read.
        """


@dataclass(slots=True)
class History:
    """The pictures of one session.

    Attributes:
        settings: those of the session.
        catalogs: returns the catalogs of the session's folders.
        cloud: returns the client of the API; None if no Supabase is configured.
    """

    settings: Settings
    catalogs: Callable[[], Sequence[Catalog]]
    cloud: Callable[[], Cloud | None]
    _announced: str = field(default="", init=False)

    def table(
        self, query: Query, source: str = "auto", *, sidecar: bool = False
    ) -> pa.Table:
        """Return the pictures that the query matches, as `TableSource.load` does.

        Args:
            query: the conditions.
            source: one of `SOURCES`. A line on stderr, in a notebook a quiet one, tells
                which one `auto` chose when it is another one than before; none where
                no cloud was ever configured.
            sidecar: load the column `sidecar`, too.

        Raises:
            UsageError: if there is no such source, or no cloud is configured for it.
            CloudError: if the source is cloud or merged and the cloud cannot be read.
            StorageError: if a catalog cannot be read.
        """
        require_source(source)
        if source == "local":
            return CatalogSource(self.catalogs()).load(query, sidecar=sidecar)
        if source == "merged":
            return self._load_merged(query, sidecar)
        if source == "cloud":
            return self._load_cloud(query, sidecar)
        return self._load_auto(query, sidecar)

    def _load_auto(self, query: Query, sidecar: bool) -> pa.Table:
        if not self._is_configured:
            if self._was_configured():
                self._announce(f"from this machine's catalog: {NOT_CONFIGURED}")
        else:
            try:
                table = self._load_cloud(query, sidecar)
                self._announce("from the cloud", self._describe_waiting)
                return table
            except CloudError as error:
                self._announce(
                    f"from this machine's catalog, the cloud does not answer: {error}"
                )
        return CatalogSource(self.catalogs()).load(query, sidecar=sidecar)

    @property
    def _is_configured(self) -> bool:
        has_database = self.settings.supabase.database_url is not None
        return has_database or self.cloud() is not None

    def _was_configured(self) -> bool:
        """Return whether a cloud may be missed: it is half set up, or was sent to."""
        part = self.settings.supabase
        if part.url or part.key:
            return True
        return any(one.counts()["synced"] for one in self._existing_catalogs())

    def _announce(self, choice: str, details: Callable[[], str] | None = None) -> None:
        """Tell what `auto` chose if that is another choice than the last one."""
        if choice != self._announced:
            print_notice(f"history: {choice}{details() if details else ''}")
        self._announced = choice

    def _describe_waiting(self) -> str:
        counts = [catalog.counts() for catalog in self._existing_catalogs()]
        waiting = sum(count["total"] - count["synced"] for count in counts)
        if not waiting:
            return ""
        return f"; {waiting} pictures here are not in it: source='merged'"

    def _existing_catalogs(self) -> list[Catalog]:
        return [catalog for catalog in self.catalogs() if catalog.has_any()]

    def _load_merged(self, query: Query, sidecar: bool) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        in_cloud = self._load_cloud(query, sidecar)
        not_synced = CatalogSource(self.catalogs()).not_synced()
        here = not_synced.load(query, sidecar=sidecar)
        is_in_cloud = pc.is_in(here["id"], in_cloud["id"].combine_chunks())
        here = here.filter(pc.invert(is_in_cloud))
        return newest_first(pa.concat_tables([in_cloud, here]), query.limit)

    def _load_cloud(self, query: Query, sidecar: bool) -> pa.Table:
        """Return the cloud's rows, with the local paths of those that are here, too.

        Without those that were deleted here and wait to be removed there.
        """
        catalogs = self._existing_catalogs()
        deleted = {one.id for catalog in catalogs for one in load_removals(catalog)}
        table = self._load_cloud_rows(_widened(query, len(deleted)), sidecar)
        table = _without(table, deleted).slice(0, query.limit)
        table = _with_column(table, "cloud", ["synced"] * table.num_rows)
        if not catalogs:
            return table
        ids = table["id"].to_pylist()
        paths = CatalogSource(catalogs).local_paths(ids)
        return _with_column(table, "local_path", [paths.get(id) for id in ids])

    def _load_cloud_rows(self, query: Query, sidecar: bool) -> pa.Table:
        """Load from the database if configured and reachable, else through the API."""
        source: TableSource
        cloud, url = self.cloud(), self.settings.supabase.database_url
        if url is not None and (has_postgres_extra() or cloud is None):
            source = DatabaseSource(url, self._owner(cloud))
            try:
                return source.load(query, sidecar=sidecar)
            except UnreachableError:
                if cloud is None:
                    raise
        if cloud is None:
            raise UsageError(f"no history in the cloud: {NOT_CONFIGURED}")
        source = ApiSource(cloud)
        return source.load(query, sidecar=sidecar)

    def _owner(self, cloud: Cloud | None) -> UUID | None:
        """Return whose rows to load: of the user who signs in, or as configured.

        None, where only the database is configured, stands for everybody's.
        """
        if cloud is not None and self.settings.supabase.email:
            return cloud.owner()[0]
        return self.settings.owner_user_id


def require_source(source: str) -> None:
    """Raise `UsageError` unless this is one of `SOURCES`."""
    if source not in SOURCES:
        raise UsageError(
            f"source must be one of {', '.join(SOURCES)}, not {source!r}"
            f"{describe_meant(source, SOURCES)}"
        )


def _widened(query: Query, rows: int) -> Query:
    """Return the query for so many more rows, if it has a limit."""
    return query if query.limit is None else replace(query, limit=query.limit + rows)


def _without(table: pa.Table, ids: Collection[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not ids:
        return table
    deleted = pa.array([*ids], table.schema.field("id").type)
    return table.filter(pc.invert(pc.is_in(table["id"], deleted)))


def _with_column(table: pa.Table, name: str, values: Sequence[str | None]) -> pa.Table:
    import pyarrow as pa

    position = table.column_names.index(name)
    return table.set_column(position, name, pa.array(values, pa.string()))
