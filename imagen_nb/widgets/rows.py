"""The rows of a frame as a gallery shows them: facts and tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imagen_nb.frames.pictures.locate import PictureLocation, locate_pictures
from imagen_nb.frames.schema import (
    parse_sidecar,
    plain_value,
    require_columns,
    text_or_empty,
)
from imagen_nb.frames.sources.details import load_record_details
from imagen_nb.storage.tags import TagChange
from imagen_nb.system.markup import truncated
from imagen_nb.widgets.facets import browser_text, texts_of_cell, texts_of_column
from imagen_nb.widgets.filtering import RowSearch
from imagen_nb.widgets.ordering import sortable_columns

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.widgets.filtering import Positions

MANY_ROWS = 20_000  # from which on messages are made small, and facets sent later
_CARD_COLUMNS = ("prompt", "seed")
_OMITTED_FACTS = ("sidecar", "prompt", "owner_user_id", "prompt_hash")  # when enlarged


class GalleryRows:
    """A frame's rows, by position; `search` finds them.

    Invariant: the frame that it was made of is never changed; what is tagged is kept
    beside it. Raises `UsageError` when the frame has no pictures' columns.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        require_columns(frame, "id", "storage_path", "local_path")
        self._given = len(frame)  # rows; later ones were added
        self._changed_tags: dict[int, tuple[str, ...]] = {}
        self._gone: set[int] = set()
        self._details: pd.DataFrame | None = None
        self._frame = frame
        self._ids: list[str] = []  # of all rows, once somebody asked
        self.search = RowSearch(frame)

    def __len__(self) -> int:
        return len(self._frame)

    @property
    def sorts(self) -> list[tuple[str, str]]:
        """What rows can be sorted by, each with how it is called."""
        return sortable_columns(self._frame)

    def add(self, frame: pd.DataFrame) -> None:
        """Add rows behind the others, which keep their positions."""
        self._frame = _joined_frames(self._frame, frame)
        self.search = RowSearch(
            self._frame, self._details, self._changed_tags, self._gone
        )

    def add_unknown(self, frame: pd.DataFrame) -> bool:
        """Add those of these rows whose pictures are not here; return whether any."""
        new = frame[frame["id"].isin(self.unknown_of([*frame["id"]]))]
        if len(new):
            self.add(new)
        return len(new) > 0

    @property
    def total(self) -> int:
        """How many there are, without those that are gone."""
        return len(self) - len(self._gone)

    @property
    def gone(self) -> frozenset[int]:
        """The positions of those that are gone."""
        return frozenset(self._gone)

    def remove(self, positions: Iterable[int]) -> None:
        """Find these no longer."""
        self._gone |= set(positions)
        self.search.forget(self._gone)

    def bring_back(self, positions: Iterable[int]) -> None:
        """Find these again."""
        self._gone -= set(positions)
        self.search.forget(self._gone)

    @property
    def lacks_details(self) -> bool:
        """Whether there are rows of which the records are not known."""
        return self._details is None or len(self._details) < len(self)

    def read_details(self, catalogs: Sequence[Catalog]) -> pd.DataFrame:
        """Return what only records have of all rows: from here, or these catalogs.

        This may take seconds for a million rows. Raises `StorageError` when a catalog
        cannot be read.
        """
        import pandas as pd

        known = self._details
        rows = self._frame if known is None else self._frame.iloc[len(known) :]
        details = load_record_details(rows, catalogs)
        if known is not None:
            details = pd.concat([known, details], ignore_index=True)
        return details

    def take_details(self, details: pd.DataFrame) -> None:
        """Use these for facets from now on."""
        self._details = details
        self.search.take_details(details)

    def unknown_of(self, ids: Sequence[str]) -> list[str]:
        """Return those of these ids that no row has."""
        known = set(self._frame["id"][self._frame["id"].isin(ids)])
        return [id for id in ids if id not in known]

    def id_of(self, position: int) -> str:
        """Return the picture's id; "" in a row that has none."""
        return text_or_empty(self._frame["id"].iat[position])

    def ids(self) -> list[str]:
        """Return the id of each picture; "" in a row that has none."""
        if len(self._ids) < len(self):
            self._ids = texts_of_column(self._frame["id"]).to_pylist()
        return self._ids

    def positions_by_id(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those of these pictures that there are, by id."""
        column = self._frame["id"]
        found = np.flatnonzero(column.isin(ids))
        at = [place for place in found.tolist() if place not in self._gone]
        return {str(column.iat[place]): place for place in at}

    def frame(self, positions: Positions) -> pd.DataFrame:
        """Return these rows, in the frame's order, with the tags as they are by now.

        Rows that were added come first, the newest of them before the others.
        """
        keys = np.where(positions < self._given, positions, -positions)
        ordered = positions[np.argsort(keys, kind="stable")]
        rows = self._frame.iloc[ordered].copy(deep=False)
        if "tags" in rows.columns and self._changed_tags:
            tags = rows["tags"].to_numpy(dtype=object).copy()
            changed = np.isin(ordered, [*self._changed_tags])
            for place in np.flatnonzero(changed).tolist():
                tags[place] = [*self._changed_tags[int(ordered[place])]]
            rows["tags"] = tags
        return rows

    def frame_at(self, positions: Sequence[int]) -> pd.DataFrame:
        """Return these rows in this order, as the frame has them."""
        return self._frame.iloc[[*positions]]

    def places(self, positions: Sequence[int]) -> list[PictureLocation]:
        """Return where these pictures are."""
        return locate_pictures(self._frame.iloc[[*positions]])

    def tags(self, position: int) -> tuple[str, ...]:
        """Return the tags of one, as they are by now."""
        if position in self._changed_tags:
            return self._changed_tags[position]
        if "tags" not in self._frame.columns:
            return ()
        return texts_of_cell(self._frame["tags"].iat[position])

    def card_facts(self, positions: Sequence[int]) -> dict[str, list[Any]]:
        """Return what is shown of these beside their thumbnails, by column."""
        columns = {name: self._texts(name, positions) for name in _CARD_COLUMNS}
        columns["prompt"] = [truncated(text) for text in columns["prompt"]]
        return columns | {"tags": [[*self.tags(one)] for one in positions]}

    def _texts(self, name: str, positions: Sequence[int]) -> list[str]:
        if name not in self._frame.columns:
            return [""] * len(positions)
        return [*map(browser_text, self._frame[name].iloc[[*positions]])]

    def saved_facts(self, positions: Sequence[int]) -> list[tuple[str, str]]:
        """Return the whole prompt of each, and its settings in a line."""
        names = ("seed", "steps", "width", "height", "backend")
        prompts = self._texts("prompt", positions)
        columns = [self._texts(name, positions) for name in names]
        settings = [
            " · ".join(
                filter(
                    None,
                    (
                        seed and f"seed {seed}",
                        steps and f"{steps} steps",
                        width and height and f"{width}×{height}",
                        backend,
                    ),
                )
            )
            for seed, steps, width, height, backend in zip(*columns, strict=True)
        ]
        return [*zip(prompts, settings, strict=True)]

    def all_facts(self, position: int) -> dict[str, Any]:
        """Return the `prompt` and all other `facts`, for an enlarged picture."""
        row = self._frame.iloc[position].to_dict()
        row["tags"] = ", ".join(self.tags(position))
        record = parse_sidecar(row.get("sidecar")) or {}
        others = {name: value for name, value in record.items() if name not in row}
        facts: dict[Any, Any] = {**row, **others}
        lines = [
            [str(name), browser_text(value)]
            for name, value in facts.items()
            if name not in _OMITTED_FACTS
            and plain_value(value) not in (None, "", {}, [])
        ]
        return {"prompt": browser_text(row.get("prompt")), "facts": lines}

    def retag(
        self, positions: Iterable[int], change: TagChange
    ) -> dict[str, list[Any]]:
        """Change the tags of these, and return both: `at`, positions, and `tags`."""
        at = [*positions]
        tags = [change.apply_to(self.tags(position)) for position in at]
        self._changed_tags |= dict(zip(at, tags, strict=True))
        self.search.retag(at, tags)
        return {"at": at, "tags": [[*one] for one in tags]}


def positions_in(at: Sequence[int]) -> Positions:
    """Return positions as the methods of `GalleryRows` take them."""
    return np.array(at, np.int32)


def packed_positions(positions: Positions, total: int) -> tuple[bytes, bool]:
    """Return positions for a message; True: a bit of each row, as they ascend."""
    if total <= MANY_ROWS or (np.diff(positions) < 0).any():
        return positions.tobytes(), False
    mask = np.zeros(total, dtype=bool)
    mask[positions] = True
    return np.packbits(mask, bitorder="little").tobytes(), True


def _joined_frames(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of both, in the columns and types of the first."""
    import pandas as pd

    more = other.reindex(columns=one.columns)
    columns = {}
    for name in one.columns:
        parts = [one[name], more[name]]
        if isinstance(one[name].dtype, pd.CategoricalDtype):
            known = pd.Index(one[name].cat.categories).union(parts[1].dropna().unique())
            parts = [part.astype(pd.CategoricalDtype(known)) for part in parts]
        columns[name] = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns)
