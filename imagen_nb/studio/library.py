"""What a session has made: its history, its tags, and the copies in the cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import query
from imagen_nb.frames.sources.source import History
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.outbox import Outbox, waiting_frame
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.tags import KEEPER, REJECT, make_rating_change, make_tag_change
from imagen_nb.storage.writer import Writer
from imagen_nb.studio.lookup import Lookup

if TYPE_CHECKING:
    import pandas as pd


class Library:
    """The pictures of a session's folders, here and in the cloud.

    Invariant: whatever looks at pictures waits until all are there that were given to the writer.
    """

    def __init__(self, settings: Settings, *, background: bool) -> None:
        """Opens nothing. `background`: whether pictures are copied to the cloud by themselves."""
        self.settings = settings
        self.closed = False
        self._folders = OutputFolders(settings.output.dir)
        self._writer = Writer()
        self._uplink = Uplink(settings, background=background)
        self._history = History(settings, self._catalogs, self._uplink.reader)
        self.lookup = Lookup(self._catalogs, self._uplink.reader, self._uplink.tagged)

    def history(
        self,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        prompt: str | None = None,
        backend: str | Iterable[str] | None = None,
        model: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        any_tags: str | Iterable[str] | None = None,
        seed: int | Iterable[int] | None = None,
        size: str | tuple[int, int] | Iterable[tuple[int, int]] | None = None,
        ids: str | UUID | Iterable[str | UUID] | None = None,
        limit: int | None = None,
        source: str = "auto",
        sidecar: bool = False,
    ) -> pd.DataFrame:
        """Every picture ever made that meets all conditions, newest first, one row each.

        The columns are those of imagen.images, then `local_path` and `cloud` (pending, synced, off
        or "failed: <the reason>"). `df.imagen` looks at, compares, tags and repeats them.

        Args:
            since: the first moment: a datetime, a date, or text such as "7d", "2 weeks",
                "2026-05-11", "yesterday". Times without a zone are local.
            until: the last moment, as since; a date is included whole.
            prompt: words that must all occur, in any case, also within words; "an exact phrase" in
                quotation marks; -without.
            backend: a name, or several of which one must be it; likewise model.
            model: see backend.
            tags: labels that must all be there.
            any_tags: labels of which one must be there.
            seed: a seed, or several.
            size: (width, height) in pixels or "128x128", or several.
            ids: only these.
            limit: at most so many, the newest.
            source: cloud, local (this machine's catalog), merged (the cloud and what of this
                machine is not there yet), or auto: the cloud where it is configured and answers,
                else local, and a line on stderr says which.
            sidecar: fetch the whole records too, as dicts in the column `sidecar`; else it is None.

        Raises:
            UsageError: for a condition that is none.
            CloudError: when source is cloud or merged and it cannot be read.
        """
        from imagen_nb.frames.schema import framed

        wanted = query(
            since=since, until=until, prompt=prompt, backend=backend, model=model, tags=tags,
            any_tags=any_tags, seed=seed, size=size, ids=ids, limit=limit,
        )  # fmt: skip
        return framed(self._history.table(wanted, source, sidecar=sidecar))

    def sync(
        self,
        timeout: float | None = None,
        *,
        pictures: Iterable[Picture | UUID | str] | None = None,
        include_private: Iterable[Picture | UUID | str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Copy what waits to the cloud, and wait for it.

        Args:
            timeout: seconds; what is not sent by then stays pending. None waits for all.
            pictures: only these (or their ids).
            include_private: pictures made with the cloud switched off that shall go up after all.
            progress: called with (done, total) now and then.

        Raises:
            UsageError: when no Supabase is configured.
        """
        catalogs = self._catalogs()
        named = [_id_of(one) for one in include_private]
        for catalog in catalogs if named else ():
            Outbox(catalog).include(named)
        wanted = None if pictures is None else [*map(_id_of, pictures), *named]
        return self._uplink.sync(catalogs, wanted, timeout=timeout, progress=progress)

    def copies(self, cloud: bool | None = None) -> bool:
        """Whether pictures drawn with this `cloud` argument are copied to a Supabase."""
        return self._uplink.can(cloud)

    def verify(
        self, *, progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        """Read back what the cloud has of this session's folders; a line for each difference.

        Every row must be there, and every object be byte for byte the file here. Raises
        `CloudError` when the cloud cannot be reached.
        """
        return self._uplink.verify(self._catalogs(), progress=progress)

    def waiting(self) -> list[CatalogEntry]:
        """The pictures that wait for the cloud, with the last error of each, oldest first."""
        return [
            entry for catalog in self._catalogs() for entry in Outbox(catalog).entries()
        ]

    def pending(self) -> pd.DataFrame:
        """The pictures that wait for the cloud: id, created_at, prompt, local_path, state, error.

        `state` is pending or failed; `error` what happened the last time, if anything did.
        """
        return waiting_frame(self.waiting())

    def tag(self, what: Any, /, *names: str) -> int:
        """Add tags to pictures: here at once, in the cloud when it can be reached.

        A rating (`rating:1` to `rating:5`) replaces the one before; `keeper` and `reject` replace
        each other. Gives the number of pictures.

        Args:
            what: a picture in any form that `reproduce` takes, a history (all its rows), or any
                number of these.
            *names: the tags.

        Raises:
            UsageError: for what is no tag or no picture.
            StorageError: when a sidecar cannot be written.
        """
        return self.lookup.retag(what, make_tag_change(add=names))

    def untag(self, what: Any, /, *names: str) -> int:
        """Take tags from pictures; as `tag`."""
        return self.lookup.retag(what, make_tag_change(remove=names))

    def rate(self, what: Any, /, stars: int | None) -> int:
        """Rate pictures with 1 to 5 stars, the tags `rating:1` to `rating:5`; None unrates them."""
        return self.lookup.retag(what, make_rating_change(stars))

    def keep(self, what: Any, /) -> int:
        """Tag pictures `keeper`; they are no longer `reject`."""
        return self.tag(what, KEEPER)

    def reject(self, what: Any, /) -> int:
        """Tag pictures `reject`; they are no longer `keeper`."""
        return self.tag(what, REJECT)

    def reader(self) -> Cloud | None:
        """The cloud, to read from: one for the session; None when no Supabase is configured."""
        return self._uplink.reader()

    def catalog(self, output: str | Path | None = None) -> Catalog:
        """The catalog of an output folder, the configured one by default."""
        return self._folders.folder(output).catalog

    def close(self, *, cloud_seconds: float | None = None) -> None:
        """Finish what is being written, give the cloud its last seconds, close the catalogs.

        Args:
            cloud_seconds: how many these are; None is the configured number.
        """
        self.closed = True
        self._writer.close()
        self._uplink.close(cloud_seconds)
        self._folders.close()

    def _catalogs(self) -> list[Catalog]:
        """Those of this session: of the configured folder, and of others it drew into."""
        catalogs = self._folders.catalogs()
        self._writer.wait()
        return catalogs


def _id_of(picture: Picture | UUID | str) -> str:
    return str(picture.record.id if isinstance(picture, Picture) else picture)
