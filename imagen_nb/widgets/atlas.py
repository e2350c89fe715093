"""The interactive map: pictures handed to embedding-atlas' widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import UsageError
from imagen_nb.frames.mapping.clusters import CLUSTER, add_clusters, has_vector
from imagen_nb.frames.mapping.projection import project
from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.system.markup import one_line
from imagen_nb.widgets.thumbnails import thumbnail

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_ATLAS_COLUMNS = (  # of a history, that the map may colour, filter and search by
    "id",
    "prompt",
    "backend",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "latency_ms",
    "cost_usd_estimate",
    "created_at",
    "cloud",
)
_THUMBNAIL_SIDE = 96  # pixels of the longer side
_MAX_ATLAS_PROMPT_CHARS = 1000


def require_atlas() -> Any:
    """Return the widget's class; raise `UsageError` where it is not installed."""
    try:
        from embedding_atlas.widget import EmbeddingAtlasWidget
    except ImportError:
        raise UsageError(
            'the interactive map needs embedding-atlas: pip install "imagen_nb[map]"'
        ) from None
    return EmbeddingAtlasWidget


def make_atlas(
    widget: Any,
    frame: pd.DataFrame,
    vectors: NDArray[np.float32],
    n: int | None,
    thumbnails: int,
    cloud: Cloud | None,
) -> Any:
    """Return the map of a frame, as `Accessor.atlas` documents.

    `widget`: the class, as of `require_atlas`; `vectors`: of the frame's pictures.
    """
    table = atlas_table(frame, vectors, n)
    small: Any = _small_pictures(frame[has_vector(vectors)], thumbnails, cloud)
    table["picture"] = small
    return widget(
        table.reset_index(drop=True),
        row_id="id" if "id" in table.columns else None,
        x="x",
        y="y",
        image="picture",
        text="prompt" if "prompt" in table.columns else None,
        labels=cluster_labels(table),
    )


def atlas_table(
    frame: pd.DataFrame, vectors: NDArray[np.float32], n: int | None
) -> pd.DataFrame:
    """Return what the map is drawn of: plain columns, x, y, and the cluster.

    Without the pictures that have no vector.
    """
    known = has_vector(vectors)
    shown, rows = frame[known], vectors[known]
    names = [name for name in _ATLAS_COLUMNS if name in shown.columns]
    clusters = add_clusters(shown, rows, n)[CLUSTER]
    table = shown[names].assign(**{CLUSTER: clusters})
    for name in ("id", "backend", "model", "cloud"):
        if name in names:
            table[name] = table[name].astype("str")
    if "prompt" in names:
        table["prompt"] = [
            one_line(one, _MAX_ATLAS_PROMPT_CHARS) if isinstance(one, str) else ""
            for one in table["prompt"]
        ]
    points = project(rows).points
    return table.assign(x=points[:, 0], y=points[:, 1])


def cluster_labels(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the clusters' names at the middles of their pictures."""
    middles = table.groupby(CLUSTER)[["x", "y"]].median()
    return [
        {"x": float(x), "y": float(y), "text": str(name)}
        for name, x, y in middles.itertuples()
    ]


def _small_pictures(
    frame: pd.DataFrame, most: int, cloud: Cloud | None
) -> list[dict[str, bytes] | None]:
    """Return the first pictures as the widget takes them; None for the others."""
    places = complete_from_cloud(locate_pictures(frame.iloc[:most]), cloud)
    made = map_in_threads(
        places,
        lambda place: thumbnail(place, cloud, _THUMBNAIL_SIDE),
        "reading pictures",
    )
    shown = [{"bytes": one} if isinstance(one, bytes) else None for one in made]
    return [*shown, *[None] * (len(frame) - len(shown))]
