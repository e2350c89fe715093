"""The LoRA itself: put into a transformer, taken out, and written as diffusers reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.backends.flux.loras import require_peft

if TYPE_CHECKING:
    from torch import Tensor

_BLOCKS = ("transformer_blocks.", "single_transformer_blocks.")
_PREFIX = "transformer."  # of names in files, as diffusers and `loras=` read them
_ABOUT = "imagen_nb.training"


def add_lora(transformer: Any, rank: int, seed: int) -> None:
    """Put a new LoRA into a transformer and freeze everything else.

    It is in every linear layer of the blocks but for the modulations, in float32, and
    changes nothing yet: A is random, B is 0 (Hu et al. 2021,
    https://arxiv.org/abs/2106.09685). Alpha is the rank, so that its weight is 1.

    Raises:
        BackendError: where peft is not installed.
    """
    require_peft()
    import torch
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    transformer.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        init_lora_weights="gaussian",
        target_modules=trained_layers(transformer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer.add_adapter(config)
    cast_training_params(transformer)


def trained_layers(transformer: Any) -> list[str]:
    """Return the names of the layers that a LoRA goes into."""
    from torch import nn

    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith(_BLOCKS)
        and ".norm" not in name
    ]


def lora_weights(transformer: Any) -> dict[str, Tensor]:
    """Return the LoRA's weights by name, copied to RAM."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(transformer)
    return {name: weights.detach().cpu().clone() for name, weights in state.items()}


def set_lora_weights(transformer: Any, weights: Mapping[str, Tensor]) -> None:
    """Put weights of `lora_weights` into the LoRA of a transformer."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(transformer, dict(weights))


def lora_file(transformer: Any, base: str, trigger: str, about: Any) -> bytes:
    """Return the LoRA as a safetensors file, in the type of numbers of its model.

    Args:
        transformer: that it is in.
        base: what records call the model.
        trigger: what every caption said; "" if they differ.
        about: how it was trained, as JSON values, which are kept in the header.
    """
    from safetensors.torch import save

    header = {"format": "pt", "base_model": base, _ABOUT: json.dumps(about)}
    if trigger:
        header["modelspec.trigger_phrase"] = trigger
    weights = {
        _PREFIX + name: one.to(transformer.dtype).contiguous()
        for name, one in lora_weights(transformer).items()
    }
    return _with_sorted_header(save(weights, header))


def _with_sorted_header(file: bytes) -> bytes:
    """Return a safetensors file with a header in one order: the library's is random.

    The header, JSON, stands behind its length in 8 bytes; positions in it count from
    its end (https://github.com/huggingface/safetensors#format).
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]
