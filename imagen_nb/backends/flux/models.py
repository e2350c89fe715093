"""The FLUX models known by name: one row each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from imagen_nb.backends.flux.pipelines import FLUX_1, PIPELINE_KINDS, PipelineKind
from imagen_nb.request.request import Defaults, Limits
from imagen_nb.system.paths import expand_user


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Sizes of a model's parts, in GB of 10⁹ bytes when stored in 16 bits.

    `t5`: the large text encoder, `clip`: all others. `t5_words`: of its table of words,
    `t5_wo`: of its layers named wo, which transformers keeps apart in T5. `block`: of
    the transformer's largest block. `megapixels`: of its usual picture.
    """

    transformer: float
    t5: float
    clip: float
    vae: float
    t5_words: float = 0.0
    t5_wo: float = 0.0
    block: float = 0.0
    megapixels: float = 1.05


# All models of FLUX.1; and FLUX.2 klein, which has Qwen3 instead of T5 and CLIP.
FLUX_12B = ModelSizes(
    transformer=23.8,
    t5=9.52,
    clip=0.25,
    vae=0.17,
    t5_words=0.26,
    t5_wo=2.01,
    block=0.68,
)
KLEIN_4B = ModelSizes(
    transformer=7.75, t5=8.05, clip=0.0, vae=0.17, t5_words=0.78, block=0.49
)
SCHNELL_DEFAULTS = Defaults(
    steps=4, guidance=0.0, width=1024, height=1024, max_sequence_length=256
)
DEV_DEFAULTS = Defaults(
    steps=28, guidance=3.5, width=1024, height=1024, max_sequence_length=512
)


@dataclass(frozen=True, slots=True)
class Model:
    """One model: where its weights are and how it draws.

    `source`: a folder of diffusers layout or a Hugging Face id. `title`: what records
    call the model, where that is not the id or the folder's name. `download_gb`: size
    of the download, 0 when not known; `memory_gb`: size of the weights as they are
    drawn with. `batch`: pictures denoised together, 1 where one picture keeps the
    machine busy. `cpu_dtype`: what a CPU calculates with; a GPU takes bfloat16.
    `pipeline`: the class of diffusers that the weights are for. `sizes`: of its parts,
    where they are not on this machine to be measured. `fetched_without`: pattern of
    files that need no download, as they hold the same weights in another layout.
    """

    name: str
    source: str
    defaults: Defaults
    limits: Limits
    licence: str = ""
    title: str = ""
    download_gb: float = 0.0
    memory_gb: float = 0.0
    gated: bool = False
    batch: int = 1
    cpu_dtype: str = "float32"
    pipeline: str = FLUX_1.plain
    sizes: ModelSizes = FLUX_12B
    fetched_without: str = "flux1-*"

    @property
    def kind(self) -> PipelineKind:
        """Return how pipelines of its class draw."""
        return PIPELINE_KINDS[self.pipeline]

    @property
    def folder(self) -> Path | None:
        """Return the folder that `source` names, None for a Hugging Face id.

        Raise `UsageError` when it is in the home of an unknown user.
        """
        path = expand_user(self.source)
        return path if path.is_absolute() or path.exists() else None

    @property
    def recorded(self) -> str:
        """Return what records call the model: never a path of this machine."""
        return self.title or (self.folder.name if self.folder else self.source)


_NON_COMMERCIAL_LICENCE = "FLUX.1 [dev] Non-Commercial License"
# In float32, the fast type of most CPUs, these would need 67 GB: they stay in bfloat16.
FLUX_SCHNELL = Model(
    name="flux-schnell-local",
    source="black-forest-labs/FLUX.1-schnell",
    defaults=SCHNELL_DEFAULTS,
    limits=Limits(64, 2048, 16, max_sequence_length=256),
    licence="Apache-2.0",
    download_gb=34.1,
    memory_gb=33.7,
    gated=True,  # since April 2025, though the licence is free
    cpu_dtype="bfloat16",
)
FLUX_DEV = replace(
    FLUX_SCHNELL,
    name="flux-dev-local",
    source="black-forest-labs/FLUX.1-dev",
    defaults=DEV_DEFAULTS,
    limits=Limits(64, 2048, 16),
    licence=_NON_COMMERCIAL_LICENCE,
)
FLUX_KREA = replace(
    FLUX_DEV,
    name="flux-krea-dev-local",
    source="black-forest-labs/FLUX.1-Krea-dev",
    defaults=replace(DEV_DEFAULTS, guidance=4.5),
)
FLUX_FILL = replace(
    FLUX_DEV,
    name="flux-fill-dev-local",
    source="black-forest-labs/FLUX.1-Fill-dev",
    pipeline="FluxFillPipeline",
    defaults=replace(DEV_DEFAULTS, steps=50, guidance=30.0),
)
FLUX_KONTEXT = replace(
    FLUX_DEV,
    name="flux-kontext-dev-local",
    source="black-forest-labs/FLUX.1-Kontext-dev",
    pipeline="FluxKontextPipeline",
    defaults=replace(DEV_DEFAULTS, guidance=2.5),
)
FLUX_KLEIN = replace(  # distilled: guidance does nothing, and 1 is what its card says
    FLUX_SCHNELL,
    name="flux2-klein-local",
    source="black-forest-labs/FLUX.2-klein-4B",
    pipeline="Flux2KleinPipeline",
    defaults=Defaults(
        steps=4, guidance=1.0, width=1024, height=1024, max_sequence_length=512
    ),
    limits=Limits(64, 2048, 16, max_guidance=1.0),
    gated=False,
    download_gb=16.0,
    memory_gb=16.0,
    sizes=KLEIN_4B,
    fetched_without="flux-2-klein-*",
)
LOCAL_MODELS = (FLUX_SCHNELL, FLUX_DEV, FLUX_KREA, FLUX_FILL, FLUX_KONTEXT, FLUX_KLEIN)


def short_name(row: Model) -> str:
    """Return what people call a model: schnell for flux-schnell-local."""
    return row.name.split("-")[1]
