"""The scorer `clip`: how well a picture shows what its prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_nb.errors import ImagenError
from imagen_nb.frames.plugins.embedders import Embedder, make_embedder, unit_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


class Agreement:
    """The cosine of a picture's vector and its prompt's, -1 to 1, by an embedder.

    As CLIPScore compares them, without its factor (Hessel et al., "CLIPScore: a
    reference-free evaluation metric for image captioning", EMNLP 2021,
    https://arxiv.org/abs/2104.08718). Each embedder has a scale of its own: 0.3 is much
    for CLIP and little for another; and prompts are not on one scale either.

    NaN for a picture without a prompt, and where the embedder knows nothing of one.

    Example:
        >>> score = clip.of("tiny")
        >>> score([picture.image], ["a red boat"])
    """

    reads_prompts = True

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def version(self) -> str:
        """The embedder's model: other vectors, other cosines."""
        return self._embedder.model

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """Return the cosine of each picture and its prompt."""
        import numpy as np

        of_texts = self._text_vectors(prompts)
        found = self._embedder.embed_images(images)
        of_images = unit_vectors(found, self._embedder, len(images))
        known = of_images.any(axis=1) & of_texts.any(axis=1)
        cosines = np.einsum("pd,pd->p", of_images, of_texts)
        numbers: list[float] = np.where(known, cosines, np.nan).tolist()
        return numbers

    def _text_vectors(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each prompt, of zeros for one that says nothing."""
        import numpy as np

        texts = [*dict.fromkeys(filter(str.strip, prompts))]  # each is read once
        rows = np.zeros((len(prompts), self._embedder.dimensions), np.float32)
        if texts:
            found = self._read(texts)
            vectors = dict(zip(texts, found, strict=True))
            for place, prompt in enumerate(prompts):
                if prompt in vectors:
                    rows[place] = vectors[prompt]
        return rows

    def _read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        read = getattr(self._embedder, "embed_texts", None)
        try:
            if read is None:
                raise NotImplementedError
            return unit_vectors(read(texts), self._embedder, len(texts))
        except NotImplementedError:
            raise ImagenError(
                f"the embedder {self._embedder.model} reads no texts, so that it cannot"
                " compare them with pictures: name another one, as in clip:siglip2-base"
            ) from None


class _Agreements:
    """What the entry point names: makes the scorer of an embedder."""

    def of(self, embedder: str | None) -> Agreement:
        """Return the scorer by the embedder of this name; None is the usual one."""
        return Agreement(make_embedder(embedder))


clip = _Agreements()
