"""What agents are told of pictures: bounded, without secrets and paths of elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.frames.pictures.locate import PictureLocation, load_image
from imagen_nb.frames.schema import json_rows
from imagen_nb.storage.picture import describe_record
from imagen_nb.storage.record import Record
from imagen_nb.studio.examples import PlainWords
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.secret_text import is_secret_name, scrub_known_keys
from imagen_nb.system.thumbnails import encode_webp

if TYPE_CHECKING:
    from imagen_nb.storage.picture import Picture
    from imagen_nb.studio.library import Library

MAX_ROWS = 200  # of one history
MAX_THUMBNAIL_PIXELS = 512  # of the longer side
_ROW_FIELDS = (
    "id",
    "created_at",
    "prompt",
    "backend",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "latency_ms",
    "cost_usd_estimate",
    "tags",
    "cloud",
)
_MAX_ROW_CHARS = 500  # of a text in a row of a history
_MAX_FACT_CHARS = 20_000  # of a text in a record
_MAX_LIST_ITEMS = 100  # of a list
_USERS_TEXTS = ("prompt", "negative_prompt", "tags")  # what looks like a path is none


def history_answer(
    library: Library, limit: int, conditions: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the newest pictures that meet conditions of `Studio.history`, as rows.

    `more` tells whether there are others than these. Errors are those of
    `Studio.history`.
    """
    frame = library.history(**conditions, limit=limit + 1)
    rows = [*json_rows(frame.drop(columns="sidecar").iloc[:limit])]
    pictures = [_row_answer(library, row, row.get("local_path")) for row in rows]
    return {"pictures": pictures, "more": len(frame) > limit}


def find_answer(
    library: Library,
    words: str | None,
    without: str | None,
    ids: tuple[Sequence[str], Sequence[str]],
    n: int,
    conditions: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the pictures most like what is looked for, as rows with their scores.

    Words are words, and ids are ids: an agent names no file by them. Errors are those
    of `Studio.find`.

    Args:
        library: the session.
        words: what is looked for.
        without: words for what should not be seen.
        ids: of pictures that are like it, and of those that are not.
        n: how many at most.
        conditions: of `Studio.find`.
    """
    like, unlike = ([library.lookup.original(id).record for id in some] for some in ids)
    frame = library.find(
        PlainWords(words) if words else None,
        n,
        without=without or None,
        like=like,
        unlike=unlike,
        **conditions,
    )
    rows = json_rows(frame.drop(columns="sidecar"))
    pictures = [
        _row_answer(library, row, row.get("local_path"))
        | {"score": round(row["score"], 3)}
        for row in rows
    ]
    return {"pictures": pictures}


def picture_answer(library: Library, picture: Picture) -> dict[str, Any]:
    """Return a picture that was drawn as a row, as `history_answer` has them."""
    values = {**picture.record.snapshot(), "cloud": picture.cloud}
    return _row_answer(library, values, str(picture.path))


def facts_answer(library: Library, id: str) -> dict[str, Any]:
    """Return all that is recorded of a picture; errors are those of `Lookup.original`."""
    original = library.lookup.original(id)
    facts = {
        name: _shareable(value, _MAX_FACT_CHARS, name)
        for name, value in original.record.snapshot().items()
    }
    return facts | _path_answer(library, original.path)


def thumbnail_answer(library: Library, id: str, side: int) -> tuple[bytes, str]:
    """Return a picture as WebP, its longer side at most `side` pixels, and a line of it.

    Raises:
        ImagenError: if there is no such picture, or its file cannot be had.
    """
    original = library.lookup.original(id)
    record = original.record
    location = PictureLocation(_in_cloud(record), original.path)
    image = load_image(location, library.reader())
    return encode_webp(image, side), describe_record(record)


def _in_cloud(record: Record) -> CloudPicture:
    return CloudPicture(
        str(record.id), record.storage_path or "", record.sha256, record.bytes
    )


def _row_answer(
    library: Library, values: Mapping[str, Any], path: str | None
) -> dict[str, Any]:
    row = {
        name: _shareable(values.get(name), _MAX_ROW_CHARS, name) for name in _ROW_FIELDS
    }
    return row | _path_answer(library, Path(path) if path else None)


def _path_answer(library: Library, path: Path | None) -> dict[str, Any]:
    """Return the picture's file, if it is in the folder that agents know of."""
    folder = absolute_path(library.settings.output.dir)
    known = path if path and absolute_path(path).is_relative_to(folder) else None
    return {"path": str(known) if known else None}


def _shareable(value: Any, longest: int, name: str) -> Any:
    """Return a JSON value as agents may have it: cut, without secrets and others' paths.

    Of a path outside, its last part is left.
    """
    if is_secret_name(name):
        return None
    if isinstance(value, Mapping):
        return {key: _shareable(item, longest, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shareable(item, longest, name) for item in value[:_MAX_LIST_ITEMS]]
    if not isinstance(value, str):
        return value
    text = value if name in _USERS_TEXTS else scrub_known_keys(_last_part(value))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _last_part(text: str) -> str:
    """Return what a path from the root, a drive or a home ends in; other texts as they are."""
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    if posix.is_absolute() or text.startswith("~/"):
        return f"…/{posix.name}"
    return f"…/{windows.name}" if windows.is_absolute() else text
