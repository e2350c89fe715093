"""What people look for: words, pictures of the collection, images; as vectors."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import UsageError
from imagen_nb.frames.finding.computing import store_of, stored_vectors
from imagen_nb.frames.finding.looked_for import query_vector
from imagen_nb.frames.plugins.embedders import Embedder, unit_vectors
from imagen_nb.request.images import decode_input, load_input
from imagen_nb.storage.catalog import Catalog
from imagen_nb.studio.lookup import (
    Original,
    find_original,
    is_frame,
    is_picture,
    load_original_file,
)
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class PlainWords:
    """Words that are neither an id nor a file, whatever they look like."""

    text: str


@dataclass(frozen=True, slots=True)
class LookedFor:
    """What a user looks for, in the words of `Studio.find`."""

    what: Any = None
    without: str | None = None
    like: Any = ()
    unlike: Any = ()

    def direction(
        self, embedder: Embedder, catalogs: Sequence[Catalog], cloud: Cloud | None
    ) -> tuple[NDArray[np.float32], frozenset[str]]:
        """Return a vector of length 1, and the ids of the pictures that are wanted.

        Raises:
            UsageError: if nothing is looked for, or what is no example.
            ImagenError: if a picture cannot be had.
        """
        examples = Examples(embedder, catalogs, cloud)
        wanted = [*several(self.what), *several(self.like)]
        unwanted = [*map(_as_words, several(self.without)), *several(self.unlike)]
        if not wanted and not unwanted:
            raise UsageError(
                "say what to find: words, a picture, or an image; or like= such pictures"
            )
        vectors, named = examples.vectors(wanted)
        return query_vector(vectors, examples.vectors(unwanted)[0]), frozenset(named)


@dataclass(frozen=True, slots=True)
class Examples:
    """Makes vectors of what people look for.

    Attributes:
        embedder: what reads the words and looks at the images.
        catalogs: of the session; their stores have the vectors of most pictures.
        cloud: where pictures are that are not on this machine; None to leave it out.
    """

    embedder: Embedder
    catalogs: Sequence[Catalog]
    cloud: Cloud | None

    def vectors(self, examples: Any) -> tuple[NDArray[np.float32], list[str]]:
        """Return a row of length 1 for each example, and the ids of pictures among them.

        Args:
            examples: one, or any number of them.

        Raises:
            UsageError: for what is no example, or says nothing to the embedder.
            ImagenError: if a picture cannot be had.
        """
        import numpy as np

        found = [self._vector(one) for one in several(examples)]
        rows = np.array([vector for vector, _ in found], np.float32)
        ids = [id for _, id in found if id]
        return rows.reshape(len(found), self.embedder.dimensions), ids

    def _vector(self, example: Any) -> tuple[NDArray[np.float32], str | None]:
        """Return the vector of one example, and its id if it is a recorded picture."""
        if isinstance(example, PlainWords):
            return self._of_text(example.text), None
        if is_picture(example) or _is_sidecar(example):
            original = find_original(example, self.catalogs, self.cloud)
            return self._of_picture(original), str(original.record.id)
        if isinstance(example, str) and not _is_file(example):
            return self._of_text(example), None
        return self._of_image(_load_image(example)), None

    def _of_text(self, text: str) -> NDArray[np.float32]:
        rows = self.embedder.embed_texts([text])
        (vector,) = unit_vectors(rows, self.embedder, 1)
        if not vector.any():
            raise UsageError(
                f"the embedder {self.embedder.model} knows no word of {text!r}:"
                " say it in other words, or give another embedder="
            )
        return _row(vector)

    def _of_picture(self, original: Original) -> NDArray[np.float32]:
        stores = [store_of(catalog, self.embedder) for catalog in self.catalogs]
        id = str(original.record.id)
        (vector,) = stored_vectors([id], stores, self.embedder.dimensions)
        if not (vector != vector).any():
            return _row(vector)
        data = load_original_file(original, self.cloud)
        return self._of_image(_rgb_of_file(data))

    def _of_image(self, image: Image) -> NDArray[np.float32]:
        rows = self.embedder.embed_images([image])
        (vector,) = unit_vectors(rows, self.embedder, 1)
        if not vector.any():
            raise UsageError(
                f"the embedder {self.embedder.model} can say nothing of this picture"
            )
        return _row(vector)


def _as_words(given: Any) -> PlainWords:
    if isinstance(given, PlainWords):
        return given
    if not isinstance(given, str):
        raise UsageError(f"without takes words, not {type(given).__name__}: try unlike")
    return PlainWords(given)


def _row(vector: Any) -> NDArray[np.float32]:
    row: NDArray[np.float32] = vector
    return row


def several(examples: Any) -> Iterator[Any]:
    """Yield the examples: one, those of a list, or the rows of a history."""
    if examples is None:
        return
    if is_frame(examples):
        yield from (row for _, row in examples.iterrows())
    elif _is_one(examples) or not isinstance(examples, Iterable):
        yield examples
    else:
        yield from examples


def _is_one(value: Any) -> bool:
    """Whether an iterable is one example: text, a path, a picture, pixels."""
    if isinstance(value, (str, bytes, os.PathLike)) or is_picture(value):
        return True
    return hasattr(value, "__array_interface__") or hasattr(value, "convert")


def _is_sidecar(value: Any) -> bool:
    return isinstance(value, Path) and value.suffix == ".json"


def _is_file(text: str) -> bool:
    """Whether a text names an image's file. Raises UsageError if that is missing."""
    path = Path(text)
    if path.suffix.lower() not in _SUFFIXES:
        return False
    if absolute_path(path).is_file():
        return True
    if " " in text.strip():
        return False
    raise UsageError(f"there is no file {text}")


def _load_image(given: Any) -> Image:
    if hasattr(given, "convert"):
        image: Image = given.convert("RGB")
        return image
    return _rgb_of_file(load_input("the picture", given).data)


def _rgb_of_file(data: bytes) -> Image:
    from PIL import Image

    decode_input("the picture", data)
    return Image.open(io.BytesIO(data)).convert("RGB")
