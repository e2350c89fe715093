"""The kinds of FLUX pipelines: a row for each, with its classes of diffusers."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagen_nb.backends.flux.schedulers import SCHEDULER_CONFLICTS
from imagen_nb.request.options import AcceptedOptions
from imagen_nb.request.request import Request

_WITH_IMAGE = ("init_image",)
_WITH_IMAGE_AND_MASK = ("init_image", "mask")


@dataclass(frozen=True, slots=True)
class PipelineKind:
    """One layout of weights, with the classes of diffusers that draw with it.

    `plain`: the class that model_index.json names; `image`, `mask`: those that draw
    from an init image, and with a mask. `takes`: the options of a request.
    `transformer`, `vae`: classes of these parts. `encoders`: names of the text encoders
    and tokenizers, `large`: the encoder worth storing in fewer bits. `shifted`: whether
    latents must be scaled before the VAE decodes them, which FLUX.2's pipelines do
    themselves. `references`: whether an init image is denoised beside the picture, with
    as many tokens.
    """

    plain: str
    image: str
    mask: str = ""
    takes: AcceptedOptions = field(default_factory=AcceptedOptions)
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
    references: bool = False

    def drawer(self, request: Request) -> str:
        """Return the name of the class that draws a request."""
        if request.mask:
            return self.mask
        return self.image if request.init_image else self.plain

    @property
    def networks(self) -> tuple[str, ...]:
        """Return the names of the parts with weights."""
        encoders = (name for name in self.encoders if "encoder" in name)
        return ("transformer", "vae", *encoders)

    @property
    def others(self) -> tuple[str, ...]:
        """Return the names of the parts without weights."""
        tokenizers = (name for name in self.encoders if "tokenizer" in name)
        return ("scheduler", *tokenizers)


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
        takes=AcceptedOptions(
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
        takes=AcceptedOptions(
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
        takes=AcceptedOptions(
            {
                "init_image": (),
                "mask": _WITH_IMAGE,
                "strength": _WITH_IMAGE_AND_MASK,
                **_GUIDANCE_OPTIONS,
            },
            schedulers=SCHEDULER_CONFLICTS,
            strength=1.0,
        ),
        references=True,
    ),
    PipelineKind(
        plain="Flux2KleinPipeline",
        image="Flux2KleinPipeline",
        takes=AcceptedOptions(
            {"init_image": (), "scheduler": ()}, schedulers=SCHEDULER_CONFLICTS
        ),
        transformer="Flux2Transformer2DModel",
        vae="AutoencoderKLFlux2",
        encoders=("text_encoder", "tokenizer"),
        large="text_encoder",
        shifted=False,
        references=True,
    ),
)
PIPELINE_KINDS = {kind.plain: kind for kind in _KINDS_IN_ORDER}
FLUX_1 = PIPELINE_KINDS["FluxPipeline"]
