"""The vectors that pictures lack: computed in batches, each kept at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import ImagenError, StorageError
from imagen_nb.frames.pictures.batches import PICTURES_PER_BATCH, load_batch
from imagen_nb.frames.pictures.locate import (
    PictureLocation,
    complete_from_cloud,
    locate_pictures,
)
from imagen_nb.frames.plugins.embedders import Embedder, unit_vectors
from imagen_nb.frames.schema import require_columns
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.terminal import in_notebook, print_notice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

_UNREADABLE: dict[Path, set[str]] = {}  # ids by store: not tried again in this process


def store_of(catalog: Catalog, embedder: Embedder) -> VectorStore:
    """Return the store of a folder's vectors by this embedder."""
    return _opened_store(catalog.folder, embedder.model, embedder.dimensions)


@functools.lru_cache(
    maxsize=32
)  # each keeps its files mapped, and where each id stands
def _opened_store(folder: Path, model: str, dimensions: int) -> VectorStore:
    return VectorStore(folder, model, dimensions)


def missing_pictures(catalog: Catalog, store: VectorStore) -> list[PictureLocation]:
    """Return the pictures of a catalog that lack a vector, the newest first.

    Without those that could not be read before by this process.
    """
    if not catalog.has_any():
        return []
    with catalog.reader() as connection:
        rows = connection.execute(
            "SELECT id, path FROM images ORDER BY created_at DESC, id DESC"
        ).fetchall()
    lacking = {*store.missing([id for id, _ in rows])}
    lacking -= _UNREADABLE.get(store.folder, set())
    return [
        PictureLocation(CloudPicture(id, "", None, None), catalog.folder / path)
        for id, path in rows
        if id in lacking
    ]


def embed_missing(
    catalog: Catalog,
    embedder: Embedder,
    *,
    progress: bool | None = None,
    goes_on: Callable[[], bool] = lambda: True,
    batch: int = PICTURES_PER_BATCH,
) -> int:
    """Compute the vectors that the pictures of a catalog lack; return how many.

    Each batch is kept at once: what is interrupted goes on from there. What cannot be
    read is counted in a line on stderr, and not tried again in this process.

    Args:
        catalog: of the pictures; their files are on this machine.
        embedder: what looks at them.
        progress: True or False shows or hides the bar; None is on a terminal and in a
            notebook.
        goes_on: asked before each batch; False ends it.
        batch: how many pictures at once, 32 at most.

    Raises:
        ImagenError: if the embedder lacks its weights, or the folder cannot be written
            to.
    """
    store, count = store_of(catalog, embedder), 0
    locations = missing_pictures(catalog, store)
    batches = _embedded_batches(locations, embedder, None, progress, goes_on, batch)
    for done in batches:
        ids = [locations[place].picture.id for place in done.positions]
        store.add(ids, done.vectors)
        failed = {locations[place].picture.id for place in done.failed}
        _UNREADABLE.setdefault(store.folder, set()).update(failed)
        count += len(ids)
    return count


def vectors_of_frame(
    frame: pd.DataFrame,
    embedder: Embedder,
    catalogs: Sequence[Catalog],
    cloud: Cloud | None,
    *,
    progress: bool | None = None,
    notify: Callable[[str], None] = print_notice,
) -> NDArray[np.float32]:
    """Return the vectors of a frame's pictures: float32, (len(frame), dimensions).

    Each is of length 1; of zeros, where the embedder can say nothing of a picture; of
    NaN, where the picture cannot be had. What the stores lack is computed, and kept in
    the store of the catalog that has the picture, otherwise of the first one.

    Args:
        frame: needs the columns `id`, `storage_path` and `local_path`.
        embedder: what looks at the pictures.
        catalogs: those of the session.
        cloud: where pictures are fetched from that are not on this machine.
        progress: as of `embed_missing`.
        notify: called with a line on pictures that cannot be had.

    Raises:
        UsageError: if the frame lacks columns.
        ImagenError: if the embedder lacks its weights.
    """
    import numpy as np

    require_columns(frame, "id", "storage_path", "local_path")
    stores = [store_of(catalog, embedder) for catalog in catalogs]
    ids = [str(id) for id in frame["id"]]
    vectors = stored_vectors(ids, stores, embedder.dimensions)
    lacking = np.flatnonzero(np.isnan(vectors[:, 0]))
    if not len(lacking):
        return vectors
    locations = complete_from_cloud(locate_pictures(frame.iloc[lacking]), cloud)
    for batch in _embedded_batches(locations, embedder, cloud, progress, notify=notify):
        places = lacking[[*batch.positions]]
        vectors[places] = batch.vectors
        _keep([ids[place] for place in places], batch.vectors, catalogs, stores)
    return _as_kept(vectors, ids, stores)


def _as_kept(
    vectors: NDArray[np.float32], ids: Sequence[str], stores: Sequence[VectorStore]
) -> NDArray[np.float32]:
    """Return the vectors as the stores have them, rounded: the same from now on."""
    import numpy as np

    kept = stored_vectors(ids, stores, vectors.shape[1])
    return np.where(np.isnan(kept), vectors, kept)


def stored_vectors(
    ids: Sequence[str], stores: Sequence[VectorStore], dimensions: int
) -> NDArray[np.float32]:
    """Return the vectors of these ids: (len(ids), dimensions), NaN where no store has one."""
    import numpy as np

    found = np.full((len(ids), dimensions), np.nan, np.float32)
    for store in stores:
        lacking = np.flatnonzero(np.isnan(found[:, 0]))
        if len(lacking):
            found[lacking] = store.vectors([ids[place] for place in lacking.tolist()])
    return found


@dataclass(frozen=True, slots=True)
class _EmbeddedBatch:
    """`positions`: of pictures; `vectors`: a row of each; `failed`: of those without."""

    positions: Sequence[int]
    vectors: NDArray[np.float32]
    failed: Sequence[int]


def _embedded_batches(
    locations: Sequence[PictureLocation],
    embedder: Embedder,
    cloud: Cloud | None,
    progress: bool | None = None,
    goes_on: Callable[[], bool] = lambda: True,
    batch: int = PICTURES_PER_BATCH,
    notify: Callable[[str], None] = print_notice,
) -> Iterator[_EmbeddedBatch]:
    """Yield the vectors of pictures, batch by batch; say how many cannot be looked at."""
    if not locations:
        return  # and no bar
    errors: list[ImagenError] = []
    shown = True if progress is None and in_notebook() else progress
    with progress_bar("looking at pictures", shown) as count:
        for start in range(0, len(locations), batch):
            if not goes_on():
                break
            part = locations[start : start + batch]
            loaded = load_batch(part, cloud)
            errors += (one for one in loaded if isinstance(one, ImagenError))
            yield _embedded(start, loaded, embedder)
            count(start + len(part), len(locations))
    if errors:
        notify(
            f"{len(errors)} of {len(locations)} pictures cannot be looked at: {errors[0]}"
        )


def _embedded(
    start: int, loaded: Sequence[Image | ImagenError], embedder: Embedder
) -> _EmbeddedBatch:
    """Return the vectors of the pictures from position `start` on."""
    import numpy as np

    images = {
        start + place: one
        for place, one in enumerate(loaded)
        if not isinstance(one, ImagenError)
    }
    failed = [
        place for place in range(start, start + len(loaded)) if place not in images
    ]
    if not images:
        nothing = np.empty((0, embedder.dimensions), np.float32)
        return _EmbeddedBatch((), nothing, failed)
    vectors = embedder.embed_images([*images.values()])
    return _EmbeddedBatch(
        [*images], unit_vectors(vectors, embedder, len(images)), failed
    )


def _keep(
    ids: Sequence[str],
    vectors: NDArray[np.float32],
    catalogs: Sequence[Catalog],
    stores: Sequence[VectorStore],
) -> None:
    """Keep each vector in the store of the first catalog that has its picture, or the first."""
    homes = [_home_of(id, catalogs) for id in ids]
    for number, store in enumerate(stores):
        places = [place for place, home in enumerate(homes) if home == number]
        if places:
            with telling_what_is_not_kept():
                store.add([ids[place] for place in places], vectors[places])


@contextmanager
def telling_what_is_not_kept() -> Iterator[None]:
    """Say on stderr if vectors cannot be kept; they are computed again the next time."""
    try:
        yield
    except StorageError as error:
        print_notice(f"vectors are not kept: {error}")


def _home_of(id: str, catalogs: Sequence[Catalog]) -> int:
    known = (catalog.has_any() and catalog.get(id) for catalog in catalogs)
    return next((number for number, entry in enumerate(known) if entry), 0)
