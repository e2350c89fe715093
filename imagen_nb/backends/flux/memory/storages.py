"""The ways to store weights: the share that each takes, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass

FP8_CAPABILITY = 8.9  # CUDA compute capability from which a card calculates in float8


@dataclass(frozen=True, slots=True)
class Storage:
    """A way to store weights.

    `transformer`: the share that the transformer takes of its size in 16 bits;
    `linear`: that linear layers of the large text encoder take, whose other weights
    stay as they are. `package`, `capability`, `cuda`: the package, compute capability
    and CUDA card that it needs. `float8`: it needs a device that knows this type.
    `loads_whole`: whether the transformer is in RAM in 16 bits first. `by_torchao`:
    weights are quantized one by one while they are loaded, where they are put.
    """

    transformer: float
    linear: float = 1.0
    package: str = ""
    capability: float = 0.0
    cuda: bool = False
    float8: bool = False
    loads_whole: bool = False
    by_torchao: bool = False


# By arithmetic: 8 bits are half of 16; NF4 has 4, and 32 for each 64 weights (their
# scale: `bnb_4bit_use_double_quant` is off). Layerwise casting: as in diffusers'
# benchmarks dataset. A GGUF file counts with its own size.
STORAGES = {
    "none": Storage(1.0),
    "fp8": Storage(
        0.5, 0.5, "torchao", FP8_CAPABILITY, cuda=True, float8=True, by_torchao=True
    ),
    "fp8-dynamic": Storage(
        0.5,
        0.5,
        "torchao",
        FP8_CAPABILITY,
        cuda=True,
        float8=True,
        loads_whole=True,
        by_torchao=True,
    ),
    "int8": Storage(0.5, 0.5, "torchao", by_torchao=True),
    "layerwise": Storage(0.68, loads_whole=True, float8=True),
    "nf4": Storage(0.28125, 0.28125, "bitsandbytes", cuda=True),
    "gguf": Storage(0.0, package="gguf"),
}
PACKAGES = {  # how to install them
    "torchao": 'pip install "imagen_nb[quant]"',
    "gguf": 'pip install "imagen_nb[quant]"',
    "bitsandbytes": "pip install bitsandbytes",
}
