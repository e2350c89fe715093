"""What a memory plan is expected to take at its peak, for what is to be drawn.

Pure arithmetic, in GB of 10⁹ bytes; sizes of models are of weights in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan
from imagen_nb.backends.flux.memory.storages import STORAGES
from imagen_nb.backends.flux.models import ModelSizes
from imagen_nb.backends.flux.pipelines import PipelineKind
from imagen_nb.request.request import Request

CONTEXT_GB = 0.5  # what CUDA itself takes of a card
PROCESS_GB = 1.5  # Python, torch and diffusers in RAM
# For one picture of 1024 × 1024 beside the weights. Denoising: diffusers' benchmarks
# dataset, 22.64 GiB for one bf16 forward of a transformer of 23.8 GB. Decoding:
# derekl35's quantization benchmarks, 36.17 GiB peak with 31.45 loaded. Tiled decoding:
# a quarter of that at a time.
DENOISING_GB, DECODING_GB, TILED_GB = 0.6, 5.05, 1.3
# Of the transformer: 0.56 of 23.8 GB in diffusers' group-offload-leaf benchmark.
_LAYER_SHARE = 0.024
# torch's allocator of pinned RAM rounds each tensor up to a power of two: from the
# shapes of FLUX.1 and klein, 1.56 and 1.54 of the weights.
_PINNED_SHARE = 1.56
_EMBEDDING_BYTES = 2 * 7680  # of a token in 16 bits: klein's, the widest
_USUAL_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be drawn, as far as memory depends on it.

    `megapixels`: of the largest picture, `reference_megapixels`: of an image whose
    tokens are denoised beside it. `pictures`: how many there are, 0 for any number.
    `lora_gb`, `prompts_gb`: of LoRAs' files, and of encoded prompts that are kept.
    """

    megapixels: float
    reference_megapixels: float = 0.0
    pictures: int = 0
    lora_gb: float = 0.0
    prompts_gb: float = _USUAL_TOKENS * _EMBEDDING_BYTES / 1e9

    def joined(self, other: Demand) -> Demand:
        """Return what covers both."""
        pictures = max(self.pictures, other.pictures)
        if 0 in (self.pictures, other.pictures):
            pictures = 0
        largest = {
            each.name: max(getattr(self, each.name), getattr(other, each.name))
            for each in fields(self)
        }
        return Demand(**{**largest, "pictures": pictures})


def demand_of(
    requests: Sequence[Request],
    kind: PipelineKind,
    lora_files: Iterable[Path] = (),
    kept_prompts: int = 1,
) -> Demand:
    """Return what these requests ask of memory.

    `kept_prompts`: how many encoded prompts a cache holds at most.
    """
    sizes = [request.width * request.height / 1e6 for request in requests]
    references = [
        size
        for size, request in zip(sizes, requests, strict=True)
        if kind.references and request.init_image is not None
    ]
    texts = {
        (text, one.max_sequence_length)
        for one in requests
        for text in (one.prompt, one.negative_prompt)
    }
    tokens = sorted((length for text, length in texts if text), reverse=True)
    return Demand(
        megapixels=max(sizes),
        reference_megapixels=max(references, default=0.0),
        pictures=len(requests),
        lora_gb=sum(file.stat().st_size for file in lora_files) / 1e9,
        prompts_gb=sum(tokens[:kept_prompts]) * _EMBEDDING_BYTES / 1e9,
    )


def estimate_memory(
    plan: MemoryPlan,
    sizes: ModelSizes,
    machine: Machine,
    demand: Demand | None = None,
) -> MemoryPlan:
    """Return the plan with what it is expected to take of the cards and of RAM.

    `demand`: the model's usual picture by default.
    """
    amounts = _amounts(plan, sizes, demand or Demand(sizes.megapixels))
    peak, second = _peak(plan, amounts), 0.0
    if not machine.gpu_gb:
        gpu, ram = 0.0, max(peak, amounts.loading)
    elif machine.make == "mps":  # the card's memory is the RAM
        gpu, ram = peak, max(peak, amounts.loading)
    else:
        gpu, ram = peak + CONTEXT_GB, _ram_beside_card(plan, amounts)
        if plan.text_encoders == "second-card":
            second = amounts.encoders + CONTEXT_GB
    return replace(
        plan,
        gpu_gb=round(gpu, 2),
        second_gb=round(second, 2),
        ram_gb=round(ram + PROCESS_GB, 2),
    )


@dataclass(frozen=True, slots=True)
class _Amounts:
    """GB of the parts and phases of a plan.

    `block`, `layer`: of the largest block and layer of the transformer. `loading`: of
    the transformer in 16 bits, where it is loaded whole before it is stored in fewer.
    `prompts`: of encoded prompts, which stay on the card.
    """

    encoders: float
    transformer: float
    vae: float
    denoising: float
    decoding: float
    block: float
    layer: float
    loading: float
    prompts: float


def _amounts(plan: MemoryPlan, sizes: ModelSizes, demand: Demand) -> _Amounts:
    storage = STORAGES[plan.quantization]
    width = 2.0 if plan.dtype == "float32" else 1.0
    vae_width = 2.0 if plan.vae_dtype == "float32" else 1.0
    per_megapixel = TILED_GB if plan.vae_tiling else DECODING_GB
    together = min(plan.batch, demand.pictures or plan.batch)
    decoded_at_once = 1 if plan.vae_slicing else together
    denoised = demand.megapixels + demand.reference_megapixels
    weights = plan.gguf_gb or sizes.transformer * storage.transformer * width
    return _Amounts(
        encoders=(_large_encoder_gb(plan, sizes) + sizes.clip) * width,
        transformer=weights + demand.lora_gb,
        vae=sizes.vae * vae_width,
        denoising=DENOISING_GB * width * denoised * together,
        decoding=per_megapixel * vae_width * demand.megapixels * decoded_at_once,
        block=sizes.block * storage.transformer * width,
        layer=sizes.transformer * _LAYER_SHARE,
        loading=sizes.transformer * width if storage.loads_whole else 0.0,
        prompts=demand.prompts_gb * width,
    )


def _large_encoder_gb(plan: MemoryPlan, sizes: ModelSizes) -> float:
    """Return what the large text encoder takes, before float32 doubles it.

    No quantization touches its table of words, and bitsandbytes not the layers of T5
    named wo, which transformers keeps in float32 where all else is in float16. torchao
    quantizes these with transformers 5, and did not when the peaks were measured.
    """
    storage = STORAGES[plan.quantization]
    linear = sizes.t5 - sizes.t5_words - sizes.t5_wo
    wide = plan.dtype == "float16" and not storage.by_torchao
    wo = sizes.t5_wo * (2.0 if wide else 1.0)
    return sizes.t5_words + wo + linear * storage.linear


def _peak(plan: MemoryPlan, gb: _Amounts) -> float:
    """Return what it takes where it draws: on the card, or in RAM without one."""
    drawing = max(gb.denoising, gb.decoding) + gb.prompts
    painting = gb.transformer + gb.vae + drawing
    if plan.text_encoders == "second-card" and plan.offload == "none":
        return painting
    if plan.offload == "none":
        return max(gb.encoders, painting) if plan.separate else gb.encoders + painting
    if plan.offload == "model":
        transformer = gb.transformer + gb.denoising
        return max(gb.encoders, transformer, gb.vae + gb.decoding) + gb.prompts
    if plan.offload == "group":  # a block works while the next one comes
        return gb.vae + gb.block * (2 if plan.pinned else 1) + drawing
    return gb.layer + drawing


def _ram_beside_card(plan: MemoryPlan, gb: _Amounts) -> float:
    """Return what it takes of RAM where a card draws."""
    if plan.offload == "none" and plan.text_encoders != "offloaded":
        # One after the other is loaded, and goes to the card.
        return max(gb.encoders, gb.transformer + gb.vae, gb.loading)
    transformer = gb.transformer * (_PINNED_SHARE if plan.pinned else 1.0)
    return max(gb.encoders + transformer + gb.vae, gb.loading)
