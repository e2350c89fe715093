"""Embedders of Hugging Face: CLIP, SigLIP and SigLIP 2, from files on this machine.

After Radford et al., "Learning transferable visual models from natural language
supervision", 2021, https://arxiv.org/abs/2103.00020, and Tschannen et al., "SigLIP 2",
2025, https://arxiv.org/abs/2502.14786.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.failures import short_reason, torch_error
from imagen_nb.backends.flux.libraries import noting_random_weights, quietly
from imagen_nb.backends.flux.memory.machine import default_device
from imagen_nb.errors import BackendError
from imagen_nb.frames.plugins.pretrained_files import PretrainedFiles, require_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


# Nothing is fetched, and no code that lies beside the weights is run.
_OWN_CODE_ONLY = {"local_files_only": True, "trust_remote_code": False}


class PretrainedEmbedder:
    """Vectors of a CLIP or SigLIP model of transformers, on a card if there is one.

    Weights are loaded with the first vector, once for all threads. Texts are cut where
    the model stops reading (77 tokens of CLIP, 64 of SigLIP).

    Attributes:
        model: the id or folder's name, and which weights: commit or digest.
        dimensions: of a vector.

    Example:
        >>> embedder = make_embedder("openai/clip-vit-base-patch32")
        >>> embedder.embed_texts(["a red boat"]).shape
        (1, 512)
    """

    def __init__(self, files: PretrainedFiles) -> None:
        self.dimensions = files.dimensions
        self._files = files
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @functools.cached_property
    def model(self) -> str:
        """The name that vectors are kept under. Reads a folder's files, once."""
        return self._files.space()

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Return a row for each picture: float32, (len(images), dimensions)."""
        if not images:
            return self._no_rows()
        model, processor = self._load()
        with _computing(self._files.source):
            inputs = processor.image_processor(images=[*images], return_tensors="pt")
            return _pooled_rows(model.get_image_features(**inputs.to(model.device)))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each text, likewise."""
        if not texts:
            return self._no_rows()
        model, processor = self._load()
        with _computing(self._files.source):
            inputs = processor.tokenizer(
                [*texts] if self._files.is_clip else [text.lower() for text in texts],
                # SigLIP was trained on texts of lower case, all padded to one length.
                padding=True if self._files.is_clip else "max_length",
                truncation=True,
                max_length=self._files.text_tokens,
                return_tensors="pt",
            ).to(model.device)
            mask = {"attention_mask": inputs["attention_mask"]}
            return _pooled_rows(
                model.get_text_features(
                    input_ids=inputs["input_ids"],
                    **(mask if self._files.is_clip else {}),
                )
            )

    def _no_rows(self) -> NDArray[np.float32]:
        import numpy as np

        return np.zeros((0, self.dimensions), np.float32)

    def _load(self) -> tuple[Any, Any]:
        """Return model and processor, loaded by the first thread that asks."""
        with self._loading:
            if self._loaded is None:
                self._loaded = _load_files(self._files)
            return self._loaded


def pretrained_embedder(source: str) -> PretrainedEmbedder:
    """Return the embedder of a folder or Hugging Face id; loads nothing yet.

    Raises:
        BackendError: if it is not on this machine, with how to fetch it, or is no CLIP
            or SigLIP model.
    """
    return PretrainedEmbedder(require_files(source))


def siglip2_base() -> PretrainedEmbedder:
    """Return SigLIP 2 of Google, base size: the better one for photos and prompts."""
    return pretrained_embedder("google/siglip2-base-patch16-224")


def clip_vit_base_patch32() -> PretrainedEmbedder:
    """Return CLIP of OpenAI, base size: smaller and quicker."""
    return pretrained_embedder("openai/clip-vit-base-patch32")


def _load_files(files: PretrainedFiles) -> tuple[Any, Any]:
    with quietly():
        import torch
        from transformers import AutoModel, AutoProcessor

        try:
            with noting_random_weights() as random:
                model = AutoModel.from_pretrained(
                    files.folder, dtype=torch.float32, **_OWN_CODE_ONLY
                )
            processor = AutoProcessor.from_pretrained(files.folder, **_OWN_CODE_ONLY)
            if random:
                raise ValueError("weights are missing in its files")
            return model.to(default_device()).eval(), processor
        except Exception as error:  # several libraries read files here
            raise BackendError(
                f"cannot load the embedder {files.source} ({short_reason(error)}):"
                " save or fetch it again"
            ) from error


@contextmanager
def _computing(source: str) -> Iterator[None]:
    """Compute without gradients; raise `BackendError` where a card fails."""
    import torch

    try:
        with torch.inference_mode():
            yield
    except RuntimeError as error:
        raise torch_error(error, f"the embedder {source} failed") from error


def _pooled_rows(output: Any) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = output.pooler_output.float().cpu().numpy()
    return rows
