"""The part of a session that looks after its pictures: history, tags, cloud copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync_report import RepairReport, SyncReport
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import make_query
from imagen_nb.frames.sources.source import History
from imagen_nb.request.wildcards import Wildcards
from imagen_nb.storage.catalog import Catalog, CatalogEntry
from imagen_nb.storage.folders import OutputFolders
from imagen_nb.storage.outbox import Outbox, waiting_frame
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.tags import (
    KEEPER,
    REJECT,
    TagChange,
    apply_tag_change,
    make_rating_change,
    make_tag_change,
    queue_tag_change,
)
from imagen_nb.storage.trash import TrashedPicture, trashed_pictures
from imagen_nb.storage.writer import Writer
from imagen_nb.studio.deleting import delete_pictures, restore_pictures
from imagen_nb.studio.lookup import Lookup, ids_of, require_in_cloud
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:
    import pandas as pd


class Library:
    """The pictures of a session's folders, on this machine and in the cloud.

    Invariant: methods that look at pictures first wait until the writer has written all
    pictures that `Studio.keep_drawn` gave to it.
    """

    def __init__(self, settings: Settings, *, background: bool) -> None:
        """Open nothing yet.

        `background`: whether pictures are copied to the cloud without `sync`.
        """
        self.settings = settings
        self.wildcards = Wildcards(settings.wildcards_dir)
        self.closed = False
        self._folders = OutputFolders(settings.output.dir)
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
    def lineage(self, what: Any, /) -> pd.DataFrame:
        """Return what a picture was drawn from, and what was drawn from it.

        Its init image, mask or reference, the picture that `reproduce` or `like=` began
        with, theirs, and so on; and the other way. Files are known by their sha256, so
        that adopted pictures, and those of other machines, are found.

        Args:
            what: one picture in any form that `reproduce` takes.

        Returns:
            The history of the family, itself included, with the columns `generation`
            (0 is the picture, -1 its parents, 1 its children …), `how` (init_image,
            mask, like, reproduce …) and `via`, the relative that `how` leads to. Oldest
            generation first. Parents that no history has are left out.

        Raises:
            UsageError: for what is no picture.
            CloudError: if the cloud is needed and cannot be read.

        Example:
            >>> im.lineage(picture)[["generation", "how", "prompt"]]
        """
        from imagen_nb.frames.lineage import FamilySearch, lineage_frame

        cloud = self._uplink.reader()
        id = str(self.lookup.original(what).record.id)
        family = FamilySearch(self._catalogs(), cloud).relatives(id)
        ids = [one.id for one in family]
        history = self.history(ids=ids, source="merged" if cloud else "local")
        return lineage_frame(family, history)

    @known_arguments
    def sync(
        self,
        timeout: float | None = None,
        *,
        pictures: Iterable[Picture | UUID | str] | None = None,
        include_private: Iterable[Picture | UUID | str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Copy the pictures that wait to the cloud, and wait until they are there.

        Args:
            timeout: in seconds; what is not sent by then stays pending. None waits
                until all is sent.
            pictures: copy only these (pictures or their ids).
            include_private: pictures (or their ids) made with the cloud switched off
                that shall be copied after all.
            progress: called with (done, total) now and then.

        Raises:
            UsageError: if no Supabase is configured.
        """
        catalogs = self._catalogs()
        private = [_picture_id(one) for one in include_private]
        if private:
            for catalog in catalogs:
                Outbox(catalog).include(private)
        ids = None if pictures is None else [*map(_picture_id, pictures), *private]
        return self._uplink.sync(catalogs, ids, timeout=timeout, progress=progress)

    def copies(self, cloud: bool | None = None) -> bool:
        """Whether pictures drawn with this argument are copied to a Supabase."""
        return self._uplink.can(cloud)

    def verify(
        self, *, progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        """Compare this session's folders with their copies; a line for each difference.

        Every picture must have its row in the cloud, and its object must be the same as
        the file on this machine, byte for byte. Raises `CloudError` if the cloud cannot
        be reached.
        """
        return self._uplink.verify(self._catalogs(), progress=progress)

    def repair(
        self, *, progress: Callable[[int, int], None] | None = None
    ) -> RepairReport:
        """Compare as `verify` does, and send again the copies that are lost or another.

        A copy is sent to its own path again. Where another picture is there by now it
        gets a new one, and with that a new row, as a user who signs in cannot change a
        row's path: the picture has a new id then. Raises `CloudError` if the cloud
        cannot be reached.
        """
        return self._uplink.repair(self._catalogs(), progress=progress)

    def waiting(self) -> list[CatalogEntry]:
        """Return the pictures that wait for the cloud, oldest first, with their errors."""
        return [
            entry for catalog in self._catalogs() for entry in Outbox(catalog).entries()
        ]

    @known_arguments
    def pending(self) -> pd.DataFrame:
        """Return the pictures that wait for the cloud, one row each.

        The columns are id, created_at, prompt, local_path, state and error. `state` is
        pending or failed; `error` says what went wrong the last time, if anything did.
        """
        return waiting_frame(self.waiting())

    @known_arguments
    def tag(self, what: Any, /, *names: str) -> int:
        """Add tags to pictures: here at once, in the cloud when it can be reached.

        A rating (`rating:1` to `rating:5`) replaces the one before; `keeper` and
        `reject` replace each other. Returns the number of pictures.

        Args:
            what: a picture in any form that `reproduce` takes, a history (all its
                rows), or any number of these.
            *names: the tags.

        Raises:
            UsageError: for what is no tag or no picture.
            StorageError: if a sidecar cannot be written.

        Example:
            >>> im.tag(im.history(since="1d", prompt="boat"), "sea", "rating:4")
        """
        return self.retag(what, make_tag_change(add=names))

    @known_arguments
    def untag(self, what: Any, /, *names: str) -> int:
        """Remove tags from pictures; arguments, result and errors are as of `tag`."""
        return self.retag(what, make_tag_change(remove=names))

    @known_arguments
    def rate(self, what: Any, /, stars: int | None) -> int:
        """Rate pictures with 1 to 5 stars, the tags `rating:1` to `rating:5`.

        None removes the rating. Result and errors are those of `tag`.
        """
        return self.retag(what, make_rating_change(stars))

    @known_arguments
    def keep(self, what: Any, /) -> int:
        """Tag pictures `keeper`; they are no longer `reject`."""
        return self.tag(what, KEEPER)

    @known_arguments
    def reject(self, what: Any, /) -> int:
        """Tag pictures `reject`; they are no longer `keeper`."""
        return self.tag(what, REJECT)

    def retag(self, pictures: Any, tags: TagChange) -> int:
        """Apply one change of tags; as `tag`, which takes names only."""
        catalogs, cloud = self._catalogs(), self._uplink.reader()
        ids = dict.fromkeys(ids_of(pictures, catalogs, cloud))
        elsewhere = set(ids)
        for catalog in catalogs:
            left = [id for id in ids if id in elsewhere]
            elsewhere -= set(apply_tag_change(catalog, left, tags))
        if elsewhere:  # pictures of another machine
            require_in_cloud(sorted(elsewhere), cloud)
            queue_tag_change(catalogs[0], elsewhere, tags)
        for catalog in catalogs:
            self._uplink.changed(catalog)
        return len(ids)

    @known_arguments
    def delete(self, what: Any, /, *, cloud_after: float = 0.0) -> int:
        """Delete pictures: file, sidecar and row here, and the copy in the cloud.

        Returns how many; those that were deleted before are not counted. `restore`
        brings them back within 30 days. The cloud's copy goes at the next sync, where
        the rights allow; until then, no history shows it. A picture that is on another
        machine too stays there. Images that it was drawn from stay.

        Args:
            what: pictures in any form that `tag` takes.
            cloud_after: seconds, up to 3600, before the cloud's copy may go.

        Raises:
            UsageError: for what is no picture; nothing is deleted.
            StorageError: if the folder cannot be changed.

        Example:
            >>> im.delete(im.history(tags="reject", source="local"))
        """
        catalogs, cloud = self._catalogs(), self._uplink.reader()
        count = delete_pictures(what, catalogs, cloud, cloud_after)
        for catalog in catalogs:
            self._uplink.changed(catalog, cloud_after)
        return count

    @known_arguments
    def restore(self, what: Any, /) -> int:
        """Undo `delete`, for 30 days: files, tags and ids are as they were.

        Returns how many; those that are there already are not counted. A name that
        another picture has by now gets the next free number. The copy in the cloud is
        sent again, unless it is still there.

        Args:
            what: pictures in any form that `tag` takes, or the paths that they had.

        Raises:
            UsageError: for a picture that is not in the trash; nothing is restored.
            StorageError: if the folder cannot be changed.
        """
        catalogs = self._catalogs()
        count = restore_pictures(what, catalogs, self._uplink.reader())
        for catalog in catalogs:
            self._uplink.changed(catalog)
        return count

    def trash(self) -> list[TrashedPicture]:
        """Return the pictures that `restore` can bring back, the last deleted first."""
        return [
            one for catalog in self._catalogs() for one in trashed_pictures(catalog)
        ]

    def reader(self) -> Cloud | None:
        """Return the session's client to read from the cloud, or None without one."""
        return self._uplink.reader()

    def catalog(self, output: str | Path | None = None) -> Catalog:
        """Return the catalog of an output folder, by default the configured one."""
        return self._folders.catalog(output)

    def close(self, *, cloud_seconds: float | None = None) -> None:
        """Finish writing, copy to the cloud for a few last seconds, close the catalogs.

        Args:
            cloud_seconds: how long to copy; None is the configured time.
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


def _picture_id(picture: Picture | UUID | str) -> str:
    return str(picture.record.id if isinstance(picture, Picture) else picture)
