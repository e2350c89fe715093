"""The part of a session that takes over pictures which it did not draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from imagen_nb.storage.adoption import Adoption, SourceFile
from imagen_nb.storage.foreign_file import NOT_TAKEN
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.adopting import (
    Adopter,
    AdoptReport,
    What,
    list_sources,
    require_apart,
)
from imagen_nb.studio.arguments import RequestBuilder
from imagen_nb.studio.library import Library
from imagen_nb.studio.watching import FolderWatch, adopt_as_they_come
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.storage.writer import ForeignPicture


class Intake(Library):
    """A session's pictures, and those that come to them from outside."""

    _builder: RequestBuilder

    def keep_drawn(
        self,
        drawn: Sequence[ForeignPicture],
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
    ) -> list[Future[Picture]]:
        """Keep pictures that were not drawn by this session, on the writer's thread.

        `history`, `sync`, `tag` and the like wait until they are written, and so does
        the end of the program. The tags, owner and cloud in their records become this
        session's.

        Args:
            drawn: for each picture a function that returns the image, and the record.
            tags: added to the configured ones.
            cloud: see `generate`.

        Raises:
            UsageError: for what is no tag.
            StorageError: if the folder cannot be written to.
            Cancelled: if this session is closed; then none of them is kept.

        Example:
            >>> (kept,) = studio.keep_drawn([(lambda: picture.image, picture.record)])
            >>> kept.result()
        """
        self._writer.require_open()
        home = self._folders.folder()
        self._uplink.warn(cloud)
        announce = partial(self._announce, cloud=cloud)
        common = self._common_fields(tags, cloud)
        return self._writer.keep_drawn(drawn, home, common, announce)

    @known_arguments
    def adopt(
        self,
        what: What,
        /,
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Take over pictures that other programs made, with what they say of them.

        PNG, JPEG and WebP come into the output folder as hard links where the file
        system allows, else as copies, bytes unchanged; the originals are not touched.
        Prompt, seed, steps and the like are read from what A1111 and its forks,
        ComfyUI, InvokeAI, Fooocus, SwarmUI, NovelAI and imagen_nb write into files;
        `backend` names the program. A picture is adopted once, whatever its name.

        Args:
            what: a folder, whose subfolders are looked through too; a file; or any
                number of these.
            tags: added to the configured ones.
            cloud: False marks them never to be copied to the cloud; None follows the
                configuration.
            output: a folder, instead of the configured one.
            progress: True or False shows or hides the bar.

        Returns:
            The local history of these pictures, those that were there already among
            them. A line on stderr counts them, and names what was refused and why.

        Raises:
            UsageError: for a path that is not there.
            StorageError: if the folder cannot take them (disk full, not writable).

        Example:
            >>> im.adopt(picture.path, output="ours", tags=["a1111"])["prompt"].tolist()
            ['a red boat']
        """
        report = self.adopt_files(
            what, tags=tags, cloud=cloud, output=output, progress=progress
        )
        print_notice(str(report))
        return self.history(ids=report.ids, source="local", limit=None)

    def adopt_files(
        self,
        what: What,
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: bool | None = None,
        dry_run: bool = False,
    ) -> AdoptReport:
        """Adopt as `adopt`, and return what became of the files.

        `dry_run`: read them, and keep none.

        Example:
            >>> print(studio.adopt_files(picture.path, output="ours", dry_run=True))
        """
        adopter = self._adopter(tags, cloud, output, dry_run)
        require_apart(what, adopter.target)
        return _adopt_listed(what, adopter, progress)

    def watch_folders(
        self,
        folders: Sequence[Path],
        told: Callable[[AdoptReport], None],
        stop: Event,
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
    ) -> None:
        """Adopt what is in the folders, and what comes into them until `stop` is set.

        A file is adopted within 2 s of being complete.

        Args:
            folders: with those below them.
            told: called with what became of the files that are there, and of new ones.
            stop: may be set by any thread.
            tags: see `adopt`.
            cloud: see `adopt`.
            output: see `adopt`.

        Example:
            >>> stop = threading.Event()
            >>> stop.set()
            >>> studio.watch_folders([Path(".")], print, stop, output="ours")
        """
        adopter = self._adopter(tags, cloud, output)
        require_apart(folders, adopter.target)
        # Before what is there is adopted: what comes meanwhile is new.
        watched = FolderWatch(folders, adopter.target)
        told(_adopt_listed(folders, adopter))

        def adopt(sources: Sequence[SourceFile]) -> list[Path]:
            report = adopter.adopt(sources, lambda done, total: None)
            told(report)
            return [path for path, _ in report.refused]

        adopt_as_they_come(watched, adopt, stop)

    def _adopter(
        self,
        tags: Iterable[str],
        cloud: bool | None,
        output: str | Path | None,
        dry_run: bool = False,
    ) -> Adopter:
        home = self._folders.folder(output)
        self._uplink.warn(cloud)
        announce = partial(self._announce, home.catalog, cloud=cloud)
        common = self._common_fields(tags, cloud)
        return Adopter(Adoption(home, common), announce, dry_run)

    def _common_fields(self, tags: Iterable[str], cloud: bool | None) -> dict[str, Any]:
        """Return what the records of all pictures of one call have in common."""
        return {
            "tags": self._builder.tags(tags),
            "owner_user_id": self.settings.owner_user_id,
            "cloud": self._uplink.wants(cloud),
        }


def _adopt_listed(
    what: What, adopter: Adopter, progress: bool | None = None
) -> AdoptReport:
    """Adopt what is named, and what is in the folders that are named."""
    listing = list_sources(what, adopter.target)
    with progress_bar("adopting", shown=progress) as told:
        report = adopter.adopt(listing.sources, told)
    report.others = listing.others
    report.refused += [(path, NOT_TAKEN) for path in listing.images]
    return report
