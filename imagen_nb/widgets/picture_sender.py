"""Sends a gallery's views the pictures that they ask for: small, enlarged, several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.frames.pictures.locate import complete_from_cloud
from imagen_nb.studio.default import studio
from imagen_nb.system.thumbnails import THUMBNAIL_PIXELS
from imagen_nb.widgets.compare import MAX_COMPARED, comparison_message
from imagen_nb.widgets.family import MAX_RELATIVES_SHOWN, family_message
from imagen_nb.widgets.rows import GalleryRows, positions_in
from imagen_nb.widgets.thumbnails import enlarged_picture, thumbnail_or_error
from imagen_nb.widgets.work import BackgroundWork

_CARDS_PER_MESSAGE = 6
_MAX_CARDS_PER_QUESTION = 500


class PictureSender:
    """Sends pictures in threads; of one view only what it asked for last.

    Attributes:
        answered: set when a view has its first thumbnails.
    """

    def __init__(
        self, rows: GalleryRows, work: BackgroundWork, send: Callable[..., None]
    ) -> None:
        self._rows, self._work, self._send = rows, work, send
        self._questions: dict[str, object] = {}  # the last one, by view
        self.answered = threading.Event()

    def forget(self, view: str) -> None:
        """Send this view no more of what it asked for."""
        self._questions.pop(view, None)

    def send_cards(self, view: str, at: Sequence[int], side: int) -> None:
        """Send thumbnails with what is shown beside them, some at a time.

        `side`: pixels of the longer side that the view has room for.
        """
        side = THUMBNAIL_PIXELS if side <= THUMBNAIL_PIXELS else 2 * THUMBNAIL_PIXELS
        at = at[:_MAX_CARDS_PER_QUESTION]
        self._questions[view] = question = object()
        for start in range(0, len(at), _CARDS_PER_MESSAGE):
            batch = at[start : start + _CARDS_PER_MESSAGE]
            self._work.soon(self._send_batch, view, question, batch, side)

    def _send_batch(
        self, view: str, question: object, at: Sequence[int], side: int
    ) -> None:
        cloud = studio().reader()
        made: list[bytes | ImagenError] = []
        for place in complete_from_cloud(self._rows.places(at), cloud):
            if self._questions.get(view) is not question:  # scrolled on meanwhile
                break
            made.append(thumbnail_or_error(place, cloud, side))
        if not made:
            return
        at = at[: len(made)]
        self._send(
            "cards",
            [one if isinstance(one, bytes) else b"" for one in made],
            view=view,
            at=[*at],
            side=side,
            troubles=[str(one) if isinstance(one, ImagenError) else "" for one in made],
            **self._rows.card_facts(at),
        )
        self.answered.set()

    def send_one(self, view: str, position: int) -> None:
        """Send a picture as it is, with all that is known of it."""
        cloud = studio().reader()
        (place,) = complete_from_cloud(self._rows.places([position]), cloud)
        facts = self._rows.all_facts(position) | {"path": str(place.local or "")}
        file = b""
        try:
            file = enlarged_picture(place, cloud)
        except ImagenError as error:
            facts["trouble"] = str(error)
        self._send("picture", [file], view=view, at=position, **facts)
        self._send_family(view, position)

    def _send_family(self, view: str, position: int) -> None:
        """Send the picture's relatives, if it has any and they can be looked up now."""
        session, id = studio(), self._rows.id_of(position)
        with suppress(ImagenError):  # of a frame of others, or without the cloud
            family = session.lineage(id).iloc[:MAX_RELATIVES_SHOWN]
            if len(family) > 1:
                at = self._rows.positions_by_id([*family["id"]])
                relatives, small = family_message(family, at, session.reader())
                self._send("family", small, view=view, at=position, relatives=relatives)

    def send_compared(self, view: str, at: Sequence[int]) -> None:
        """Send two to nine pictures, and what differs. Raises `UsageError` for others."""
        if not 2 <= len(at) <= MAX_COMPARED:
            raise UsageError("select two to nine pictures to compare")
        rows = self._rows.frame(positions_in(at))
        facts, files = comparison_message(rows, studio().reader())
        self._send("compared", files, view=view, **facts)
