"""What a session has: its folders with their catalogs, their history, and the cloud."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings
from imagen_nb.errors import UsageError
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import make_query
from imagen_nb.frames.sources.source import History
from imagen_nb.request.wildcards import Wildcards
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.credentials import signer_of
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.outbox import Outbox, waiting_frame
from imagen_nb.storage.watermark import marker_of
from imagen_nb.storage.writer import Writer
from imagen_nb.studio.lookup import Lookup, ids_of, is_frame
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.live import Watch


class Collection:
    """The pictures of a session's folders, on this machine and in the cloud, as they are.

    Invariant: methods that look at pictures first wait until the writer has written all
    pictures that `Studio.adopt` gave to it.
    """

    def __init__(self, settings: Settings, *, background: bool) -> None:
        """Open nothing yet.

        `background`: whether pictures are copied to the cloud without `sync`.
        """
        self.settings = settings
        self.wildcards = Wildcards(settings.wildcards_dir)
        self.closed = False
        self._folders = OutputFolders(
            settings.output.dir,
            signer_of(settings.provenance),
            marker_of(settings.provenance),
        )
        self._writer = Writer()
        self._uplink = Uplink(settings, background=background)
        self._history = History(settings, self._catalogs, self._uplink.reader)
        self.lookup = Lookup(self._catalogs, self._uplink.reader)

    @known_arguments
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
        """Return every picture ever made that meets all conditions, newest first.

        One row a picture, in the columns of imagen.images, then `local_path` and
        `cloud` (pending, synced, off or "failed: <the reason>"). `df.imagen` looks at,
        compares, tags and repeats them.

        Args:
            since: the earliest time: a datetime, a date, or text such as "7d", "2
                weeks", "2026-05-11", "yesterday". Times without a zone are local.
            until: the latest time, as since; a date includes the whole day.
            prompt: words that must all occur, in any case, also within words; "an exact
                phrase" in quotation marks; -without.
            backend: a name, or several of which one must match.
            model: a name, or several of which one must match.
            tags: tags that a picture must all have.
            any_tags: tags of which a picture must have one.
            seed: a seed, or several.
            size: (width, height) in pixels or "128x128", or several.
            ids: only the pictures of these ids.
            limit: at most this many, the newest.
            source: "cloud"; "local", this machine's catalog; "merged", the cloud and
                what of this machine is not there yet; or "auto", the cloud if it is
                configured and answers, else local: then a line on stderr says so.
            sidecar: fetch the whole records too, as dicts in the column `sidecar`,
                which otherwise is None.

        Raises:
            UsageError: for a condition that cannot be understood.
            CloudError: if source is "cloud" or "merged" and the cloud cannot be read.

        Example:
            >>> im.history(since="7d", tags="keeper", prompt="boat")
        """
        from imagen_nb.frames.schema import history_frame

        conditions = make_query(
            since=since,
            until=until,
            prompt=prompt,
            backend=backend,
            model=model,
            tags=tags,
            any_tags=any_tags,
            seed=seed,
            size=size,
            ids=ids,
            limit=limit,
        )
        return history_frame(self._history.table(conditions, source, sidecar=sidecar))

    @known_arguments
    def watch(
        self,
        *,
        prompt: str | None = None,
        backend: str | Iterable[str] | None = None,
        model: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        any_tags: str | Iterable[str] | None = None,
        seed: int | Iterable[int] | None = None,
        size: str | tuple[int, int] | Iterable[tuple[int, int]] | None = None,
        source: str = "auto",
        timeout: float | None = None,
    ) -> Watch:
        """Return an iterator over pictures that come from now on, a row of history each.

        It waits for the next picture: of any program on this machine, and of any other
        machine as it comes into the cloud, however long ago it was drawn. Each picture
        comes once. It ends when it was idle for too long, at Ctrl-C, and by `close`.

        Args:
            prompt: as of `history`, and so are the conditions that follow.
            backend: see there.
            model: see there.
            tags: see there; the tags that a picture has when it comes.
            any_tags: see there.
            seed: see there.
            size: see there.
            source: "local", "cloud", or "auto", both as far as they are there.
            timeout: in seconds; it ends when none came for so long. None waits for ever.

        Raises:
            UsageError: for a condition that cannot be understood, or if source is
                "cloud" and no Supabase is configured.

        Example:
            >>> for row in im.watch(prompt="boat", timeout=0.1):
            ...     print(row["seed"], row["prompt"])
        """
        from imagen_nb.studio.live import Watch

        conditions = make_query(
            prompt=prompt,
            backend=backend,
            model=model,
            tags=tags,
            any_tags=any_tags,
            seed=seed,
            size=size,
        )
        if source == "cloud" and self._uplink.reader() is None:
            raise UsageError(f"nothing to watch: {NOT_CONFIGURED}")
        return Watch(self._history, self.lookup, conditions, source, timeout)

    def waiting(self) -> list[CatalogEntry]:
        """Return the pictures that wait for the cloud, oldest first, with their errors.

        Example:
            >>> [entry.path for entry in studio.waiting()]
        """
        return [
            entry for catalog in self._catalogs() for entry in Outbox(catalog).entries()
        ]

    @known_arguments
    def lineage(self, what: Any, /) -> pd.DataFrame:
        """Return what a picture was drawn from, and what was drawn from it.

        Its init image, mask or reference, the picture that `reproduce` or `like=` began
        with, theirs, and so on; and the other way. Files are known by their sha256, so
        that adopted pictures, and those of other machines, are found.

        Args:
            what: one picture in any form that `reproduce` takes; or a frame, for the
                families of all its pictures.

        Returns:
            The history of the family, itself included, with the columns `generation`
            (0 is the picture, -1 its parents, 1 its children …), `how` (init_image,
            mask, like, reproduce …) and `via`, the relative that `how` leads to. Oldest
            generation first. Parents that no history has are left out.

            Of a frame: all pictures that have relatives, with the column `family`, a
            number, too. `generation` 0 are then the oldest ones of a family, and `via`
            is a parent.

        Raises:
            UsageError: for what is no picture.
            CloudError: if the cloud is needed and cannot be read.

        Example:
            >>> im.lineage(picture)[["generation", "how", "prompt"]]
            >>> im.lineage(im.history(since="7d"))[["family", "generation", "prompt"]]
        """
        from imagen_nb.frames.lineage import FamilySearch, lineage_frame

        if is_frame(what):
            return self._families(what)
        cloud = self._uplink.reader()
        id = str(self.lookup.original(what).record.id)
        family = FamilySearch(self._catalogs(), cloud).relatives(id)
        ids = [one.id for one in family]
        history = self.history(ids=ids, source="merged" if cloud else "local")
        return lineage_frame(family, history)

    def _families(self, frame: pd.DataFrame) -> pd.DataFrame:
        from imagen_nb.frames.families import families_frame, find_parents

        cloud = self._uplink.reader()
        parents = find_parents(ids_of(frame, (), None), self._catalogs(), cloud)
        ids = {*parents, *(parent for own in parents.values() for parent in own)}
        source = "merged" if cloud and ids else "local"
        return families_frame(parents, self.history(ids=ids, source=source))

    @known_arguments
    def pending(self) -> pd.DataFrame:
        """Return the pictures that wait for the cloud, one row each.

        The columns are id, created_at, prompt, local_path, state and error. `state` is
        pending or failed; `error` says what went wrong the last time, if anything did.

        Example:
            >>> im.pending()[["prompt", "state", "error"]]
        """
        return waiting_frame(self.waiting())

    def copies(self, cloud: bool | None = None) -> bool:
        """Whether pictures drawn with this argument are copied to a Supabase.

        Example:
            >>> studio.copies(), studio.copies(cloud=False)
            (True, False)
        """
        return self._uplink.can(cloud)

    def reader(self) -> Cloud | None:
        """Return the session's client to read from the cloud, or None without one.

        Example:
            >>> df.imagen.open(0) if studio.reader() else None
        """
        return self._uplink.reader()

    def catalog(self, output: str | Path | None = None) -> Catalog:
        """Return the catalog of an output folder, by default the configured one.

        Example:
            >>> studio.catalog().find(picture.record, picture.path).cloud
        """
        return self._folders.catalog(output)

    def close(self, *, cloud_seconds: float | None = None) -> None:
        """Finish writing, copy to the cloud for a few last seconds, close the catalogs.

        Args:
            cloud_seconds: how long to copy; None is the configured time.

        Example:
            >>> session = im.Studio({"backend": "flux-tiny-local"})
            >>> session.close(cloud_seconds=0)
        """
        self.closed = True
        self._writer.close()
        self._uplink.close(cloud_seconds)
        self._folders.close()

    def _catalogs(self) -> list[Catalog]:
        """Return those of the configured folder and of others that were drawn into."""
        catalogs = self._folders.catalogs()
        self._writer.wait()
        return catalogs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
