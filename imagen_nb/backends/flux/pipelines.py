"""The kinds of FLUX pipelines: a row for each, with the classes of diffusers that draw."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagen_nb.backends.flux.schedulers import SCHEDULER_CONFLICTS
from imagen_nb.request.options import Takes
from imagen_nb.request.request import Request

_WITH_IMAGE, _WITH_IMAGE_AND_MASK = ("init_image",), ("init_image", "mask")


@dataclass(frozen=True, slots=True)
class PipelineKind:
    """One layout of weights, by the class that its model_index.json names.

    `image`, `mask`: the classes that draw from an init image, and where a mask tells. `encoders`:
    the text encoders with their tokenizers, `large` the one worth storing smaller. `shifted`:
    whether decoding begins with the VAE's scaling, which FLUX.2's pipelines do themselves.
    """

    plain: str
    image: str
    mask: str = ""
    takes: Takes = field(default_factory=Takes)
    transformer: str = "FluxTransformer2DModel"
    vae: str = "AutoencoderKL"
    encoders: tuple[str, ...] = (
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
    )
    large: str = "text_encoder_2"
    shifted: bool = True

    def drawer(self, request: Request) -> str:
        """The class that draws a request."""
        if request.mask:
            return self.mask
        return self.image if request.init_image else self.plain

    @property
    def networks(self) -> tuple[str, ...]:
        """The parts with weights."""
        return (
            "transformer",
            "vae",
            *(one for one in self.encoders if "encoder" in one),
        )

    @property
    def others(self) -> tuple[str, ...]:
        """The parts without."""
        return ("scheduler", *(one for one in self.encoders if "tokenizer" in one))


_GUIDANCE_OPTIONS: dict[str, tuple[str, ...]] = {
    "negative_prompt": (),
    "true_cfg": (),
    "scheduler": (),
}
_KINDS_IN_ORDER = (
    PipelineKind(
        plain="FluxPipeline",
        image="FluxImg2ImgPipeline",
        mask="FluxInpaintPipeline",
        takes=Takes(
            {
                "init_image": (),
                "mask": _WITH_IMAGE,
                "strength": _WITH_IMAGE,
                **_GUIDANCE_OPTIONS,
            },
            schedulers=SCHEDULER_CONFLICTS,
        ),
    ),
    PipelineKind(
        plain="FluxFillPipeline",
        image="FluxFillPipeline",
        mask="FluxFillPipeline",
        takes=Takes(
            {"init_image": (), "mask": (), "strength": (), "scheduler": ()},
            needs=_WITH_IMAGE_AND_MASK,
            schedulers=SCHEDULER_CONFLICTS,
            strength=1.0,
        ),
    ),
    PipelineKind(
        plain="FluxKontextPipeline",
        image="FluxKontextPipeline",
        mask="FluxKontextInpaintPipeline",
        takes=Takes(
            {
                "init_image": (),
                "mask": _WITH_IMAGE,
                "strength": _WITH_IMAGE_AND_MASK,
                **_GUIDANCE_OPTIONS,
            },
            schedulers=SCHEDULER_CONFLICTS,
            strength=1.0,
        ),
    ),
    PipelineKind(
        plain="Flux2KleinPipeline",
        image="Flux2KleinPipeline",
        takes=Takes(
            {"init_image": (), "scheduler": ()}, schedulers=SCHEDULER_CONFLICTS
        ),
        transformer="Flux2Transformer2DModel",
        vae="AutoencoderKLFlux2",
        encoders=("text_encoder", "tokenizer"),
        large="text_encoder",
        shifted=False,
    ),
)
PIPELINE_KINDS = {kind.plain: kind for kind in _KINDS_IN_ORDER}
FLUX_1 = PIPELINE_KINDS["FluxPipeline"]
