"""`df.imagen`: look at, fetch, compare, tag and repeat the pictures of a frame.

It is registered once pandas is imported, by whomever, and without importing pandas.
Were it registered by a function that people call first, a frame read from a file would
be without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.system.import_hooks import when_imported
from imagen_nb.system.spelling import known_arguments

if TYPE_CHECKING:  # importing imagen_nb imports this: nothing heavy
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    import pandas as pd
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.studio import Studio
    from imagen_nb.widgets.gallery import Gallery


class Accessor:
    """What can be done with the pictures of a frame.

    The frame may be a whole history, some of its rows and columns, or one read back
    from a file: it needs the columns that a method uses, and `UsageError` names those
    that it lacks. The session is the default one (`imagen_nb.configure`).

    Example:
        >>> history = im.history(prompt="lighthouse", since="7d")
        >>> sheet = history.imagen.contact_sheet(caption="{seed} · {steps}")
        >>> sheet.save("lighthouses.pdf")
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @known_arguments
    def gallery(self, columns: int | None = None, size: int = 128) -> Gallery:
        """Return a widget to filter, rate, tag, compare and select; as `im.Gallery`.

        Args:
            columns: how many side by side; as many as there is room for unless given.
            size: pixels of a thumbnail's side, 64 to 512.
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
        """
        from imagen_nb.frames.pictures.download import download_pictures

        return download_pictures(self._frame, folder, self._cloud)

    @known_arguments
    def export(self, target: Path | str, format: str = "sidecars") -> pd.DataFrame:
        """Write every picture into a folder, or a zip, to give away or to train with.

        Args:
            target: the folder, or a new file that ends in .zip.
            format: "sidecars" writes pictures as `download` does, and beside each its
                record, for `imagen reindex` or `imagen reproduce` elsewhere.
                "imagefolder" writes a metadata.jsonl beside them, as Hugging Face's
                datasets read it: `text` is the prompt, and there is each column of the
                frame. Packages may bring others, see docs/plugins.md. All but sidecars
                want a folder that is new or empty, and fill it as a whole or not at
                all.

        Returns:
            As `download`; of a zip, `path` is the name inside it.

        Raises:
            UsageError: when there are no pictures, or no such format.
            StorageError: when it cannot be written, or is there already.

        Example:
            >>> df.imagen.export("boats", format="imagefolder")
        """
        from imagen_nb.frames.pictures.export import export_pictures

        return export_pictures(self._frame, target, self._cloud, format)

    @known_arguments
    def score(self, name: str) -> pd.DataFrame:
        """Return the frame with a column of this name: each picture's score.

        The higher, the better. "sharpness", the variance of the Laplacian, tells sharp
        pictures from blurred ones. Packages may bring others, see docs/plugins.md. It is
        NaN for a picture that cannot be had or that nothing can be said of.

        Raises:
            UsageError: when there is no such scorer, or it has the name of a column of
                the history.
            ImagenError: when the scorer cannot be loaded, or lacks what it needs.

        Example:
            >>> df.imagen.score("sharpness").nlargest(8, "sharpness").imagen.gallery()
        """
        from imagen_nb.frames.pictures.score import score_pictures

        return score_pictures(self._frame, name, self._cloud)

    @known_arguments
    def similar(
        self, i: int | str | UUID, *, n: int = 12, embedder: str | None = None
    ) -> pd.DataFrame:
        """Return the rows of the pictures most like one, the most similar first.

        The column `similarity` is the cosine of the angle between two pictures' vectors:
        1 is the same, and what else it means depends on the embedder. That picture
        itself is left out, and so are those that cannot be had.

        Args:
            i: the picture, by its position or id.
            n: how many at most.
            embedder: what looks at them: a registered name, like "tiny", or a folder or
                Hugging Face id. The one of another package if there is one, otherwise
                the best of ours whose weights are here: see docs/plugins.md.

        Raises:
            UsageError: when there is no such picture or embedder.
            ImagenError: when the embedder cannot be loaded, or lacks what it needs.
        """
        from imagen_nb.frames.pictures.similar import similar_pictures

        return similar_pictures(self._frame, i, n, embedder, self._cloud)

    @known_arguments
    def signed_urls(self, expires_in: int = 86400) -> pd.Series[str]:
        """Return a URL for each picture: anybody can read it for `expires_in` seconds.

        It is NaN for a picture that has none; `.attrs["reasons"]` says why, by index
        label.
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
        """Write the frame as one HTML page that needs nothing else; as `im.report`."""
        from imagen_nb.analysis.report.page import report

        return report(self._frame, path, title=title, pictures=pictures)

    def reproduce(self, i: int | str | UUID, **options: Any) -> Picture:
        """Draw one picture again, by its position or id; as `imagen_nb.reproduce`."""
        from imagen_nb.frames.pictures.locate import position_of

        return self._studio.reproduce(
            self._frame.iloc[position_of(self._frame, i)], **options
        )

    def tag(self, *names: str) -> None:
        """Add these tags to every picture of the frame; as `imagen_nb.tag`."""
        self._studio.tag(self._frame, *names)

    def untag(self, *names: str) -> None:
        """Take these tags from every picture of the frame; as `imagen_nb.untag`."""
        self._studio.untag(self._frame, *names)

    def rate(self, stars: int | None) -> None:
        """Rate every picture of the frame: 1 to 5 stars; None takes ratings away."""
        self._studio.rate(self._frame, stars)

    def keep(self) -> None:
        """Tag every picture of the frame `keeper`, and no longer `reject`."""
        self._studio.keep(self._frame)

    def reject(self) -> None:
        """Tag every picture of the frame `reject`, and no longer `keeper`."""
        self._studio.reject(self._frame)

    @known_arguments
    def diff(
        self, i: int | str | UUID, j: int | str | UUID, *, all: bool = False
    ) -> pd.DataFrame:
        """Return the fields in which two pictures differ, by their positions or ids.

        Fields are the columns, and what the records have besides (guidance,
        versions.torch …): from the column `sidecar`, or the file beside a picture on
        this machine.

        Args:
            i: one picture.
            j: the other.
            all: also the fields in which any two pictures differ: ids, times, paths,
                hashes.

        Returns:
            One row a field, one column a picture, headed by the first 8 digits of its id.
        """
        from imagen_nb.frames.pictures.diff import diff_pictures

        return diff_pictures(self._frame, i, j, all=all)

    @known_arguments
    def duplicates(self, near: int = 0) -> pd.DataFrame:
        """Return the rows of pictures that are there twice or more, by `group`.

        Args:
            near: 0 compares the files (sha256). A picture drawn again is another file,
                for its id is inside; `near=1` finds it: up to 24 bits in which the
                perceptual hashes (of 64 bits) may differ. Any two pictures of a group
                are that near (complete linkage). Needs the extra `similar`; each
                picture is looked at once, and remembered.
        """
        from imagen_nb.frames.pictures.duplicates import find_duplicates

        return find_duplicates(self._frame, near, self._cloud)

    def with_usage(self) -> pd.DataFrame:
        """Return the frame with what its prompts were used for, by `mai.imagen_usage`.

        That table is another program's and only read. `uses` counts its rows of the
        same prompt_hash, `usage_cost_usd` adds up their cost, where a column is known
        for it; it is NaN where there is no use.

        Raises:
            CloudError: when there is no such table, or it cannot be read.
        """
        from imagen_nb.frames.sources.usage import with_usage

        url = self._studio.settings.supabase.database_url
        return with_usage(self._frame, self._cloud, url)

    @property
    def _studio(self) -> Studio:
        from imagen_nb.studio.default import studio

        return studio()

    @property
    def _cloud(self) -> Cloud | None:
        return self._studio.reader()


_ACCESSOR_NAME = "imagen"


def register_accessor_with_pandas() -> None:
    """Register `df.imagen` now, or as soon as somebody imports pandas."""
    when_imported("pandas", register_accessor)


def register_accessor() -> None:
    """Make `df.imagen` available; a second call does nothing."""
    import pandas as pd

    if not hasattr(pd.DataFrame, _ACCESSOR_NAME):  # pandas warns of replacing one
        pd.api.extensions.register_dataframe_accessor(_ACCESSOR_NAME)(Accessor)
