"""The part of a session that looks after its pictures: tags, cloud copies, deleting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from imagen_nb.cloud.sync_report import RepairReport, SyncReport
from imagen_nb.storage.outbox import Outbox
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
from imagen_nb.studio.deleting import delete_pictures, restore_pictures
from imagen_nb.studio.lookup import ids_of, require_in_cloud
from imagen_nb.studio.voting import Voting
from imagen_nb.system.spelling import known_arguments


class Library(Voting):
    """What a session does with pictures that are there: it sends, tags, deletes them."""

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

        Example:
            >>> report = im.sync(timeout=60)
            >>> report.summary
        """
        catalogs = self._catalogs()
        private = [_picture_id(one) for one in include_private]
        if private:
            for catalog in catalogs:
                Outbox(catalog).include(private)
        ids = None if pictures is None else [*map(_picture_id, pictures), *private]
        return self._uplink.sync(catalogs, ids, timeout=timeout, progress=progress)

    def verify(
        self, *, progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        """Compare this session's folders with their copies; a line for each difference.

        Every picture must have its row in the cloud, and its object must be the same as
        the file on this machine, byte for byte. Raises `CloudError` if the cloud cannot
        be reached.

        Example:
            >>> studio.verify()
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

        Example:
            >>> studio.repair().repaired
        """
        return self._uplink.repair(self._catalogs(), progress=progress)

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
        """Remove tags from pictures; arguments, result and errors are as of `tag`.

        Example:
            >>> im.untag(picture, "sea")
        """
        return self.retag(what, make_tag_change(remove=names))

    @known_arguments
    def rate(self, what: Any, /, stars: int | None) -> int:
        """Rate pictures with 1 to 5 stars, the tags `rating:1` to `rating:5`.

        None removes the rating. Result and errors are those of `tag`.

        Example:
            >>> im.rate(picture, 5)
            1
        """
        return self.retag(what, make_rating_change(stars))

    @known_arguments
    def keep(self, what: Any, /) -> int:
        """Tag pictures `keeper`; they are no longer `reject`.

        Example:
            >>> im.keep(df.head(2))
        """
        return self.tag(what, KEEPER)

    @known_arguments
    def reject(self, what: Any, /) -> int:
        """Tag pictures `reject`; they are no longer `keeper`.

        Example:
            >>> im.reject(df.iloc[0])
        """
        return self.tag(what, REJECT)

    def retag(self, pictures: Any, tags: TagChange) -> int:
        """Apply one change of tags; as `tag`, which takes names only.

        Example:
            >>> from imagen_nb.storage.tags import make_tag_change
            >>> studio.retag(df, make_tag_change(add=["sea"], remove=["sky"]))
        """
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

        Example:
            >>> im.delete(picture)
            >>> im.restore(picture)
            1
        """
        catalogs = self._catalogs()
        count = restore_pictures(what, catalogs, self._uplink.reader())
        for catalog in catalogs:
            self._uplink.changed(catalog)
        return count

    def trash(self) -> list[TrashedPicture]:
        """Return the pictures that `restore` can bring back, the last deleted first.

        Example:
            >>> [one.name for one in studio.trash()]
        """
        return [
            one for catalog in self._catalogs() for one in trashed_pictures(catalog)
        ]


def _picture_id(picture: Picture | UUID | str) -> str:
    return str(picture.record.id if isinstance(picture, Picture) else picture)
