"""`df.imagen`: look at, fetch, compare, tag and repeat the pictures of a frame.

It is registered once pandas is imported, by whomever, and without importing pandas.
Were it registered by a function that people call first, a frame read from a file would
be without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.system.import_hooks import when_imported
from imagen_nb.system.spelling import known_arguments
from imagen_nb.widgets.frame_overviews import FrameOverviews

if TYPE_CHECKING:  # importing imagen_nb imports this: nothing heavy
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from uuid import UUID

    import pandas as pd
    from PIL.Image import Image

    from imagen_nb.storage.picture import Picture
    from imagen_nb.widgets.gallery import Gallery


class Accessor(FrameOverviews):
    """What can be done with the pictures of a frame.

    The frame may be a whole history, some of its rows and columns, or one read back
    from a file: it needs the columns that a method uses, and `UsageError` names those
    that it lacks. The session is the default one (`imagen_nb.configure`).

    Example:
        >>> history = im.history(prompt="lighthouse", since="7d")
        >>> sheet = history.imagen.contact_sheet(caption="{seed} · {steps}")
        >>> sheet.save("lighthouses.pdf")
    """

    @known_arguments
    def gallery(self, columns: int | None = None, size: int = 128) -> Gallery:
        """Return a widget to filter, rate, tag, compare and select; as `im.Gallery`.

        Args:
            columns: how many side by side; as many as there is room for unless given.
            size: pixels of a thumbnail's side, 64 to 512.

        Example:
            >>> df.imagen.gallery(size=96)
        """
        from imagen_nb.widgets.gallery import Gallery

        return Gallery(self._frame, columns=columns, size=size)

    @known_arguments
    def contact_sheet(
        self,
        columns: int | None = None,
        size: int = 160,
        caption: str | Callable[[pd.Series[Any]], object] | None = None,
    ) -> Image:
        """Return all pictures on one page, to be saved as .png, .pdf, .jpg or .webp.

        It is an RGB image. A picture that cannot be had is grey and says why. A page
        has at most 14,400 pixels a side (200 inches, what PDF readers show) and 64
        million in all, which are some 1,800 pictures of 160 pixels with captions; more
        are refused.

        Args:
            columns: how many side by side; 8, and more for more than 64 pictures,
                unless given.
            size: pixels of a picture's longer side, 16 to 1024.
            caption: what stands below each, in up to three lines: a column, a text with
                columns in braces such as "{seed} · {steps}", or a function of the row.

        Raises:
            UsageError: when there are no pictures, too many for one page, or no such
                column.

        Example:
            >>> df.imagen.contact_sheet(caption="{seed}").save("sheet.png")
        """
        from imagen_nb.frames.pictures.contact_sheet import make_contact_sheet

        return make_contact_sheet(self._frame, self._cloud, columns, size, caption)

    def open(self, i: int | str | UUID) -> Image:
        """Return one picture, by its position (as `iloc` takes it) or id.

        Its file if that is on this machine; else it is downloaded once into a cache (2
        GiB, the least recently used go first), never more than 50 MiB, and checked
        against its sha256.

        Raises:
            CloudError: when it cannot be had, or is not the picture that its row
                describes.
            StorageError: when its file is torn.

        Example:
            >>> df.imagen.open(0).size
            (128, 128)
        """
        from imagen_nb.frames.pictures.locate import open_picture

        return open_picture(self._frame, i, self._cloud)

    def download(self, folder: Path | str) -> pd.DataFrame:
        """Save every picture as a file in one folder, several at once.

        The files are named "<day>-<name>.png" as they were made. What is there with the
        right sha256 is not fetched again, so a download that was broken off goes on. No
        file is overwritten: another one of that name makes the next name end in -2.

        Returns:
            A frame with this one's index: id, path, and reason, why there is none.

        Example:
            >>> df.imagen.download("fetched")["path"]
        """
        from imagen_nb.frames.pictures.download import download_pictures

        return download_pictures(self._frame, folder, self._cloud)

    def export(
        self,
        target: Path | str,
        format: str = "sidecars",
        *,
        captions: str | None = None,
        split: Mapping[str, float] | None = None,
        size: int | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Write every picture into a folder, or a zip, to give away or to train with.

        Args:
            target: the folder, or a new file that ends in .zip.
            format: "sidecars" writes pictures as `download` does, and beside each its
                record, for `imagen reindex` or `imagen reproduce` elsewhere. The others
                are data sets: "imagefolder" (a metadata.jsonl, as Hugging Face's
                datasets read it), "kohya" (a .txt beside each, in a folder
                "<repeats>_<name>"), "webdataset" (tar files) and "parquet" (tables with
                the pictures in them). Packages may bring others, see docs/plugins.md.
            captions: what a data set says that a picture shows: a column of the frame,
                or a text with columns in braces, "{prompt}, {style}"; the prompt unless
                given.
            split: shares of the pictures by name, {"train": 0.9, "test": 0.1}: each
                side is a folder of this name, and all pictures of one prompt are on one
                side, the same one each time.
            size: pixels of the longer side: larger pictures are made smaller, as PNG,
                none is enlarged; None leaves all as they are.
            **options: of the format: repeats=… and name=… of "kohya"; shard_mb=…, MB of
                pictures in one file, of "webdataset" and "parquet".

        A data set wants a folder that is new or empty, and fills it as a whole or not
        at all. One that was broken off goes on with the same call: what is finished
        waits in a hidden folder beside the target.

        Returns:
            As `download`, of a split with the column `split`; of a zip, `path` is the
            name inside it.

        Raises:
            UsageError: when there are no pictures, or no such format or option.
            StorageError: when it cannot be written, or is there already.

        Example:
            >>> df.head(2).imagen.export("given.zip")
            >>> df.imagen.export("boats", format="imagefolder")
            >>> df.imagen.export("set", "kohya", captions="{prompt}, flat", repeats=10)
        """
        from imagen_nb.frames.pictures.dataset import DatasetOptions
        from imagen_nb.frames.pictures.export import export_pictures

        asked = DatasetOptions(captions, split, size, options)
        return export_pictures(self._frame, target, self._cloud, format, asked)

    @known_arguments
    def signed_urls(self, expires_in: int = 86400) -> pd.Series[str]:
        """Return a URL for each picture: anybody can read it for `expires_in` seconds.

        It is NaN for a picture that has none; `.attrs["reasons"]` says why, by index
        label.

        Example:
            >>> urls = df.imagen.signed_urls(expires_in=3600)
        """
        from imagen_nb.frames.pictures.signed_urls import sign_frame

        return sign_frame(self._frame, expires_in, self._cloud)

    @known_arguments
    def report(
        self,
        path: Path | str = "report.html",
        *,
        title: str = "Pictures",
        pictures: int = 1000,
    ) -> Path:
        """Write the frame as one HTML page that needs nothing else; as `im.report`.

        Example:
            >>> df.imagen.report("boats.html", title="Boats", pictures=10)
        """
        from imagen_nb.analysis.report.page import report

        return report(self._frame, path, title=title, pictures=pictures)

    def reproduce(self, i: int | str | UUID, **options: Any) -> Picture:
        """Draw one picture again, by its position or id; as `imagen_nb.reproduce`.

        Example:
            >>> df.imagen.reproduce(0).identical
            True
        """
        from imagen_nb.frames.pictures.locate import position_of

        return self._studio.reproduce(
            self._frame.iloc[position_of(self._frame, i)], **options
        )

    def tag(self, *names: str) -> None:
        """Add these tags to every picture of the frame; as `imagen_nb.tag`.

        Example:
            >>> df.imagen.tag("harbour", "series-1")
        """
        self._studio.tag(self._frame, *names)

    def untag(self, *names: str) -> None:
        """Take these tags from every picture of the frame; as `imagen_nb.untag`.

        Example:
            >>> df.imagen.untag("series-1")
        """
        self._studio.untag(self._frame, *names)

    def rate(self, stars: int | None) -> None:
        """Rate every picture of the frame: 1 to 5 stars; None takes ratings away.

        Example:
            >>> df.imagen.rate(4)
        """
        self._studio.rate(self._frame, stars)

    def keep(self) -> None:
        """Tag every picture of the frame `keeper`, and no longer `reject`.

        Example:
            >>> df.head(1).imagen.keep()
        """
        self._studio.keep(self._frame)

    def reject(self) -> None:
        """Tag every picture of the frame `reject`, and no longer `keeper`.

        Example:
            >>> df.tail(1).imagen.reject()
        """
        self._studio.reject(self._frame)


_ACCESSOR_NAME = "imagen"


def register_accessor_with_pandas() -> None:
    """Register `df.imagen` now, or as soon as somebody imports pandas."""
    when_imported("pandas", register_accessor)


def register_accessor() -> None:
    """Make `df.imagen` available; a second call does nothing."""
    import pandas as pd

    if not hasattr(pd.DataFrame, _ACCESSOR_NAME):  # pandas warns of replacing one
        pd.api.extensions.register_dataframe_accessor(_ACCESSOR_NAME)(Accessor)
