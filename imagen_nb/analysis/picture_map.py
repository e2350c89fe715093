"""The figure that shows pictures where they lie on a map of what looks alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from imagen_nb.analysis.style import (
    GROUP_COLOURS,
    ink_of,
    label,
    mark_empty,
    titled_axes,
)
from imagen_nb.errors import UsageError
from imagen_nb.frames.mapping.clusters import cluster_numbers, has_vector
from imagen_nb.frames.mapping.naming import cluster_names
from imagen_nb.frames.mapping.projection import UMAP_INSTALL, project
from imagen_nb.frames.schema import prompts_of, require_columns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL.Image import Image

    from imagen_nb.cloud.client import Cloud

_INCHES = (9.0, 9.0)  # width, height
_FEWEST_CELLS, _MOST_CELLS = 6, 24  # of the grid, a side
_CELLS_PER_PICTURE = 2.5  # a map has empty places
_REACH = 2  # cells, that a thumbnail may stand beside its place
_HALF_THUMBNAIL = 0.46  # of a cell
_THUMBNAIL_PIXELS = 96  # of the longer side
_NAME_GAP = 0.6  # cells, of a name above the middle of a picture
_NAME_HEIGHT = 0.035  # of the map: names lie at least so far apart


def draw_map(
    frame: pd.DataFrame,
    vectors: NDArray[np.float32],
    model: str,
    n: int | None,
    layout: str,
    ax: Axes | None,
    cloud: Cloud | None,
) -> Axes:
    """Draw the pictures at the places that `Accessor.map` documents.

    Args:
        frame: needs the columns `id`, `storage_path` and `local_path`.
        vectors: of its pictures, (len(frame), dimensions); NaN or zeros where there is
            none: those are left out.
        model: what the vectors are of; the figure says so.
        n: how many clusters, or None.
        layout: one of `LAYOUTS`.
        ax: the axes to draw on; None makes a new figure.
        cloud: the client that fetches pictures that are not on this machine, or None.
    """
    import numpy as np

    require_columns(frame, "id", "storage_path", "local_path")
    known = np.flatnonzero(has_vector(vectors))
    title = f"{len(known):,} picture{'s' if len(known) != 1 else ''} by their look"
    ax = titled_axes(ax, title, "", "", _INCHES)
    if not len(known):
        return mark_empty(ax)
    shown = frame.iloc[known]
    projection = project(vectors[known], layout)
    places = _in_unit_square(projection.points)
    clusters = _named_clusters(shown, vectors[known], n)
    _prepare_axes(ax, f"{projection.method} of vectors by {label(model)}", clusters)
    _draw_dots(ax, places, clusters.numbers)
    middles = _draw_thumbnails(ax, shown, places, clusters.numbers, cloud)
    _write_names(ax, middles, clusters)
    return ax


@dataclass(frozen=True, slots=True)
class _Clusters:
    """`numbers`: the cluster of each picture; `names`: by number, none without a library."""

    numbers: NDArray[np.int64]
    names: dict[int, str]


def _named_clusters(
    shown: pd.DataFrame, vectors: NDArray[np.float32], n: int | None
) -> _Clusters:
    import numpy as np

    try:
        numbers = cluster_numbers(vectors, n)
    except UsageError:
        if n is not None:  # asked for
            raise
        return _Clusters(np.zeros(len(shown), np.int64), {})
    return _Clusters(numbers, cluster_names(numbers, prompts_of(shown)))


def _in_unit_square(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the points in 0 to 1, either axis as wide as it can be."""
    import numpy as np

    low, high = points.min(axis=0), points.max(axis=0)
    spans = high - low
    flat = spans <= 0  # one picture, or all alike
    scaled = (points - low) / np.where(flat, 1, spans)
    return np.where(flat, 0.5, scaled).astype(np.float64)


def _prepare_axes(ax: Axes, method: str, clusters: _Clusters) -> None:
    hint = "" if clusters.names else f" · names of clusters: {UMAP_INSTALL}"
    ax.set_xlabel(method + hint)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _draw_dots(
    ax: Axes, places: NDArray[np.float64], numbers: NDArray[np.int64]
) -> None:
    colours = [_colour_of(number) for number in numbers.tolist()]
    ax.scatter(places[:, 0], places[:, 1], s=6, c=colours, linewidths=0, zorder=1)


def _colour_of(number: int) -> str:
    return GROUP_COLOURS[number % len(GROUP_COLOURS)]


def _draw_thumbnails(
    ax: Axes,
    shown: pd.DataFrame,
    places: NDArray[np.float64],
    numbers: NDArray[np.int64],
    cloud: Cloud | None,
) -> dict[int, tuple[float, float]]:
    """Draw pictures in the cells of a grid, each about where it lies.

    Return the middle of each that has room, by its number.
    """
    from imagen_nb.frames.pictures.contact_sheet import load_reduced_images
    from imagen_nb.frames.pictures.locate import complete_from_cloud, locate_pictures

    cells = _cells_a_side(len(shown))
    chosen = dict(_cells_of(places, cells))
    rows = shown.iloc[[*chosen]]
    locations = complete_from_cloud(locate_pictures(rows), cloud)
    images = load_reduced_images(locations, cloud, _THUMBNAIL_PIXELS)
    for (place, middle), image in zip(chosen.items(), images, strict=True):
        _draw_thumbnail(ax, image, middle, cells, _colour_of(int(numbers[place])))
    margin = 0.5 / cells
    ax.set_xlim(-margin, 1 + margin)
    ax.set_ylim(-margin, 1 + margin + 2 * _NAME_HEIGHT)
    ax.set_aspect("equal")
    return chosen


def _cells_a_side(pictures: int) -> int:
    wanted: int = round((pictures * _CELLS_PER_PICTURE) ** 0.5)
    return min(max(wanted, _FEWEST_CELLS), _MOST_CELLS)


def _cells_of(
    places: NDArray[np.float64], cells: int
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield each picture that has room, and the middle of its cell.

    A picture goes to the nearest free cell, at most `_REACH` away from its own. Those in
    the middle of a cell come first.
    """
    import numpy as np

    own = np.minimum((places * cells).astype(int), cells - 1)
    distances = np.linalg.norm(places - (own + 0.5) / cells, axis=1)
    steps = range(-_REACH, _REACH + 1)
    around = np.array([(right, up) for right in steps for up in steps])
    taken: set[tuple[int, int]] = set()
    for number in np.argsort(distances, kind="stable").tolist():
        near = own[number] + around
        gaps = np.linalg.norm((near + 0.5) / cells - places[number], axis=1)
        order = near[np.argsort(gaps, kind="stable")].tolist()
        free = (cell for cell in map(tuple, order) if cell not in taken)
        column, row = next(
            (cell for cell in free if min(cell) >= 0 and max(cell) < cells), (-1, -1)
        )
        if column >= 0:
            taken.add((column, row))
            yield number, ((column + 0.5) / cells, (row + 0.5) / cells)


def _draw_thumbnail(
    ax: Axes, image: Image, middle: tuple[float, float], cells: int, colour: str
) -> None:
    """Draw a picture around its place, as wide and high as it is, with a line around."""
    from matplotlib.patches import Rectangle

    wide, high = (
        _HALF_THUMBNAIL / cells * side / max(image.size) for side in image.size
    )
    x, y = middle
    ax.imshow(image, extent=(x - wide, x + wide, y - high, y + high), zorder=2)
    corner = (x - wide, y - high)
    frame = Rectangle(
        corner, 2 * wide, 2 * high, fill=False, edgecolor=colour, zorder=3
    )
    ax.add_patch(frame)


def _write_names(
    ax: Axes, middles: dict[int, tuple[float, float]], clusters: _Clusters
) -> None:
    """Write each cluster's name above the uppermost of its pictures, no two on each other.

    `middles`: of the pictures that are drawn, by their number.
    """
    cell = 1 / _cells_a_side(len(clusters.numbers))
    tops: dict[int, tuple[float, float]] = {}
    for number in clusters.names:
        own = [at for one, at in middles.items() if clusters.numbers[one] == number]
        if own:
            top = max(y for _, y in own)
            across = [x for x, y in own if y == top]
            tops[number] = (sum(across) / len(across), top + _NAME_GAP * cell)
    order = sorted(tops, key=lambda number: tops[number][1])
    heights = _spread([tops[number][1] for number in order])
    for number, height in zip(order, heights, strict=True):
        x = min(max(tops[number][0], 0.12), 0.88)
        box: Any = {
            "facecolor": ax.get_facecolor(),
            "edgecolor": _colour_of(number),
            "boxstyle": "round,pad=0.25",
            "alpha": 0.85,
        }
        ax.text(
            x,
            height,
            label(clusters.names[number], 40),
            {"ha": "center", "va": "center", "fontsize": 9},
            color=ink_of(ax),
            bbox=box,
            zorder=4,
        )


def _spread(heights: Sequence[float]) -> list[float]:
    """Return rising heights at least `_NAME_HEIGHT` apart, about where they were."""
    spread = [*heights]
    for _ in range(len(spread)):
        for below, above in pairwise(range(len(spread))):
            lacking = _NAME_HEIGHT - (spread[above] - spread[below])
            if lacking > 0:
                spread[below] -= lacking / 2
                spread[above] += lacking / 2
    return spread
