"""A number for each picture of a frame, by a scorer; kept, where the scorer has a version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.config.settings import Settings
from imagen_nb.errors import ImagenError, StorageError, UsageError
from imagen_nb.frames.pictures.batches import decoded_batches
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    locate_pictures,
)
from imagen_nb.frames.plugins.scorers import (
    Scorer,
    load_scorer,
    reads_prompts,
    scorer_version,
)
from imagen_nb.frames.schema import HISTORY_COLUMNS, prompts_of
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.scores import ScoredPicture, ScoreStore
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_IDS_PER_QUERY = 400


@dataclass(frozen=True)
class NamedScorer:
    """A scorer and the name that users give, "clip:tiny". Raises as `load_scorer`."""

    name: str
    scorer: Scorer

    @cached_property
    def kept_as(self) -> str | None:
        """Name and version that its scores are kept under; None: they are not."""
        version = scorer_version(self.scorer)
        registered = self.name.partition(":")[0]
        return None if version is None else f"{registered} {version}"


def find_scorer(name: str, settings: Settings) -> NamedScorer:
    """Return the scorer of a name, with what is configured for it.

    Raises:
        UsageError: for an unknown scorer, or one named as a column of the history.
        ImagenError: if it cannot be loaded.
    """
    head = settings.score.aesthetic
    arguments = {
        "clip": settings.find.embedder,
        "aesthetic": None if head is None else str(head),
    }
    found = load_scorer(name, arguments)
    if name in HISTORY_COLUMNS:
        raise UsageError(f"the scorer {name} would replace the column {name}")
    return NamedScorer(name, found)


def score_pictures(
    frame: pd.DataFrame,
    scorer: NamedScorer,
    catalogs: Sequence[Catalog],
    cloud: Cloud | None,
) -> pd.DataFrame:
    """Return the frame with the scorer's column, as `Accessor.score` documents.

    Args:
        frame: needs the columns `id`, `storage_path` and `local_path`.
        scorer: as `find_scorer` gives it.
        catalogs: those of the session; scores are kept beside the one that has the
            picture, otherwise beside the first.
        cloud: where pictures are fetched from that are not on this machine.

    Raises:
        UsageError: for a frame that lacks columns.
        ImagenError: if the scorer lacks what it needs, or gives no numbers.
    """
    import numpy as np

    scores = np.full(len(frame), np.nan)
    locations, texts = locate_pictures(frame), prompts_of(frame)
    if scorer.kept_as is not None:  # by the hash, which the cloud knows of its own
        locations = complete_from_cloud(locations, cloud)
    kept = _KeptScores(scorer, catalogs, locations, texts)
    lacking = np.arange(len(frame))
    if scorer.kept_as is not None:
        found = kept.load()
        scores[[*found]] = [*found.values()]
        lacking = np.setdiff1d(lacking, [*found])
    if not len(lacking):
        return frame.assign(**{scorer.name: scores})
    for batch in decoded_batches(frame.iloc[lacking], cloud, "scoring pictures"):
        places = [int(lacking[position]) for position in batch.positions]
        numbers = scorer.scorer(batch.images, [texts[place] for place in places])
        new = _validated_scores(scorer.name, numbers, len(places))
        scores[places] = new
        if scorer.kept_as is not None:
            kept.add(dict(zip(places, new.tolist(), strict=True)))
    return frame.assign(**{scorer.name: scores})


def _validated_scores(
    name: str, numbers: Sequence[float], count: int
) -> NDArray[np.float64]:
    import numpy as np

    found = np.asarray(numbers, dtype=np.float64)
    if found.shape != (count,):
        raise ImagenError(
            f"the scorer {name} gave numbers of the shape {found.shape} for"
            f" {count} pictures: tell those who wrote it"
        )
    return found


class _KeptScores:
    """The scores of a frame's pictures in the stores of the session's folders."""

    def __init__(
        self,
        scorer: NamedScorer,
        catalogs: Sequence[Catalog],
        locations: Sequence[PictureLocation],
        texts: Sequence[str],
    ) -> None:
        self._kept_as, self._catalogs = scorer.kept_as or "", catalogs
        self._locations, self._texts = locations, texts
        self._prompts_count = reads_prompts(scorer.scorer)
        self._stores = [ScoreStore(catalog.folder) for catalog in catalogs]

    def load(self) -> dict[int, float]:
        """Return the scores that are kept, by the position in the frame."""
        ids = [location.picture.id for location in self._locations]
        hashes = _known_hashes(ids, self._catalogs)
        asked = {}
        for place, location in enumerate(self._locations):
            sha256 = location.picture.sha256 or hashes.get(location.picture.id)
            if sha256:
                asked[place] = self._key(place, sha256)
        found: dict[ScoredPicture, float] = {}
        for store in self._stores:
            found |= store.load(self._kept_as, [*asked.values()])
        return {place: found[key] for place, key in asked.items() if key in found}

    def add(self, scores: Mapping[int, float]) -> None:
        """Keep scores, by the position in the frame; say so if they cannot be kept."""
        by_store: dict[int, dict[ScoredPicture, float]] = {}
        for place, score in scores.items():
            location = self._locations[place]
            sha256 = _hash_of_file(location)
            if sha256 and self._stores:
                home = by_store.setdefault(self._home_of(location), {})
                home[self._key(place, sha256)] = score
        for number, new in by_store.items():
            try:
                self._stores[number].add(self._kept_as, new)
            except StorageError as error:
                print_notice(f"scores are not kept: {error}")

    def _key(self, place: int, sha256: str) -> ScoredPicture:
        text = self._texts[place] if self._prompts_count else ""
        prompt = hashlib.sha256(text.encode()).hexdigest() if text else ""
        return ScoredPicture(sha256, prompt)

    def _home_of(self, location: PictureLocation) -> int:
        """Return the number of the catalog in whose folder the file is, or 0."""
        for number, catalog in enumerate(self._catalogs):
            if location.local and location.local.is_relative_to(catalog.folder):
                return number
        return 0


def _hash_of_file(location: PictureLocation) -> str | None:
    """Return the sha256 of what was looked at: the file's own, whatever its row says."""
    if location.local is None:
        return location.picture.sha256  # checked when it was fetched
    try:
        with location.local.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None  # gone meanwhile


def _known_hashes(ids: Sequence[str], catalogs: Sequence[Catalog]) -> dict[str, str]:
    """Return the sha256 of the pictures' files, by id, as the catalogs have them."""
    found: dict[str, str] = {}
    for catalog in catalogs:
        if catalog.has_any():
            with catalog.reader() as connection:
                for part in _in_parts(ids):
                    marks = ", ".join("?" * len(part))
                    query = f"SELECT id, sha256 FROM images WHERE id IN ({marks})"
                    found |= dict(connection.execute(query, part).fetchall())
    return found


def _in_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
