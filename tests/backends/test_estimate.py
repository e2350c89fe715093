"""What a plan is expected to take: from the shapes of the networks, and for what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen_nb.backends.flux.backend import custom
from imagen_nb.backends.flux.memory.choice import replan
from imagen_nb.backends.flux.memory.estimate import Demand, demand_of, estimate_memory
from imagen_nb.backends.flux.memory.machine import gb_as_sold, plan_for
from imagen_nb.backends.flux.memory.plan import MEMORY_PLANS, Machine, MemoryPlan
from imagen_nb.backends.flux.memory.storages import PACKAGES
from imagen_nb.backends.flux.models import FLUX_12B, FLUX_DEV, KLEIN_4B, ModelSizes
from tests.fixtures.backend_calls import request_for

USUAL = Demand(1.05)


@pytest.fixture(autouse=True)
def _no_weights(hub_cache: Path) -> None:
    """The large models are not here: their sizes are the known ones."""


def machine(card: float, ram: float = 64, **more: Any) -> Machine:
    gpu_gb, ram_gb = gb_as_sold(card, ram)
    return Machine(gpu_gb, ram_gb, 8.9, frozenset(PACKAGES), **more)


def encoders_gb(sizes: ModelSizes, **plan: Any) -> float:
    """What the text encoders take, alone on a second card."""
    there = machine(80, second="cuda:1", second_gb=80)
    one = MemoryPlan(text_encoders="second-card", **plan)
    return estimate_memory(one, sizes, there).second_gb - 0.5 - sizes.clip


def true_t5() -> torch.nn.Module:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        d_model=4096,
        d_ff=10240,
        d_kv=64,
        num_heads=64,
        num_layers=24,
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        return T5EncoderModel(config)


def true_qwen() -> torch.nn.Module:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        return Qwen3ForCausalLM(config)


def gb_stored(encoder: torch.nn.Module, linear_bytes: float, wo_bytes: float) -> float:
    """Linear layers in so many bytes a weight, T5's wo and all others apart."""
    words = encoder.get_input_embeddings().weight.numel()  # type: ignore[operator]
    layers = [
        (name, module.weight.numel())
        for name, module in encoder.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"  # tied to the words
    ]
    wo = sum(count for name, count in layers if name.endswith(".wo"))
    linear = sum(count for name, count in layers) - wo
    return (words * 2 + linear * linear_bytes + wo * wo_bytes) / 1e9


class TestShapes:
    """Of the networks as they are built, without their weights."""

    @pytest.mark.parametrize(
        ("quantization", "dtype", "linear_bytes", "wo_bytes"),
        [
            ("none", "bfloat16", 2, 2),
            ("none", "float16", 2, 4),
            ("layerwise", "float16", 2, 4),
            ("nf4", "bfloat16", 0.5625, 2),
            ("nf4", "float16", 0.5625, 4),
            ("int8", "bfloat16", 1, 2),  # transformers 5 would quantize wo, too
            ("int8", "float16", 1, 2),
        ],
    )
    def test_t5_keeps_its_words_and_wo(
        self, quantization: str, dtype: str, linear_bytes: float, wo_bytes: float
    ) -> None:
        known = gb_stored(true_t5(), linear_bytes, wo_bytes)
        found = encoders_gb(FLUX_12B, quantization=quantization, dtype=dtype)
        assert found == pytest.approx(known, rel=0.01)

    @pytest.mark.parametrize(("quantization", "linear_bytes"), [("int8", 1), ("nf4", 0.5625)])
    def test_qwen_keeps_its_words(self, quantization: str, linear_bytes: float) -> None:
        known = gb_stored(true_qwen(), linear_bytes, 2)
        assert encoders_gb(KLEIN_4B, quantization=quantization) == pytest.approx(known, rel=0.01)

    def test_transformers_keeps_wo_in_float32_under_float16_alone(self, dev_folder: Path) -> None:
        from transformers import T5EncoderModel

        for dtype, wo in ((torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)):
            encoder = T5EncoderModel.from_pretrained(dev_folder / "text_encoder_2", dtype=dtype)
            weights = encoder.named_parameters()
            assert {each.dtype for name, each in weights if ".wo." in name} == {wo}

    def test_float16_has_a_vae_in_float32(self) -> None:
        """And what it decodes takes twice as much."""
        plans = [
            estimate_memory(MemoryPlan(dtype=dtype), FLUX_12B, machine(80))
            for dtype in ("bfloat16", "float16")
        ]
        decoding, vae, wo = 5.05 * 1.05, 0.17, 2.01
        apart = plans[1].gpu_gb - plans[0].gpu_gb
        assert apart == pytest.approx(decoding + vae + wo, abs=0.05)


class TestDemand:
    """Peaks follow the request."""

    def gpu_gb(self, demand: Demand, **plan: Any) -> float:
        return estimate_memory(MemoryPlan(**plan), FLUX_12B, machine(80), demand).gpu_gb

    def test_a_larger_picture_takes_more(self) -> None:
        four = self.gpu_gb(Demand(4.2)) - self.gpu_gb(Demand(1.05))
        assert four == pytest.approx(5.05 * 3.15, abs=0.02)

    def test_only_as_many_pictures_are_drawn_together_as_there_are(self) -> None:
        one, all_eight = Demand(1.05, pictures=1), Demand(1.05, pictures=20)
        assert self.gpu_gb(one, batch=8) == self.gpu_gb(one, batch=1)
        assert self.gpu_gb(all_eight, batch=8) > self.gpu_gb(one, batch=8) + 30

    def test_loras_references_and_prompts_take_their_own(self) -> None:
        plain = self.gpu_gb(USUAL, vae_tiling=True)
        assert self.gpu_gb(replace(USUAL, lora_gb=1.5), vae_tiling=True) == plain + 1.5
        assert self.gpu_gb(replace(USUAL, prompts_gb=0.5), vae_tiling=True) > plain + 0.4
        many = replace(USUAL, pictures=16)
        referring = replace(many, reference_megapixels=1.05)
        batch = {"batch": 16, "vae_tiling": True, "vae_slicing": True}
        assert self.gpu_gb(referring, **batch) > self.gpu_gb(many, **batch) + 9

    def test_it_is_read_off_requests(self, tmp_path: Path, kontext_folder: Path) -> None:
        from PIL import Image

        lora = tmp_path / "ink.safetensors"
        with lora.open("wb") as opened:
            opened.truncate(200_000_000)
        backend = custom(str(kontext_folder))
        image = Image.new("RGB", (64, 64))
        small = request_for(backend, "a boat", width=64, height=64)
        large = request_for(backend, "a ship", width=128, height=64, options={"init_image": image})
        found = demand_of([small, large], backend.row.kind, [lora], kept_prompts=1)
        assert found.megapixels == found.reference_megapixels == 128 * 64 / 1e6
        assert (found.pictures, found.lora_gb) == (2, 0.2)
        both = demand_of([small, large], backend.row.kind, kept_prompts=64)
        assert both.prompts_gb == 2 * found.prompts_gb

    def test_what_covers_two_is_the_larger_of_each(self) -> None:
        one, other = Demand(1.0, pictures=3, lora_gb=2), Demand(2.0, pictures=1)
        assert one.joined(other) == Demand(2.0, pictures=3, lora_gb=2)
        assert one.joined(USUAL).pictures == 0  # any number

    def test_a_large_picture_has_a_smaller_plan(self) -> None:
        there = machine(48)
        usual = plan_for(FLUX_DEV, {}, there)
        large = plan_for(FLUX_DEV, {}, there, Demand(4.2, pictures=1))
        assert (usual.plan.name, large.plan.name) == ("whole", "whole-tiled")

    def test_a_plan_that_is_too_small_gives_way_to_the_first_that_is_not(self) -> None:
        there = machine(48)
        choice = plan_for(FLUX_DEV, {}, there)
        plans = [choice.plan, *choice.smaller]
        names = [plan.name for plan in replan(plans, FLUX_12B, there, Demand(4.2))]
        assert names == [plan.name for plan in plans[plans.index(plans[1]) :]]
        everything = replan(plans, FLUX_12B, there, Demand(400.0))
        assert len(everything) == len(plans)  # nothing fits: the one in force is tried


class TestTwoCards:
    def test_what_one_card_cannot_hold_two_can(self) -> None:
        pair = machine(32, second="cuda:1", second_gb=33.0)
        plan = plan_for(FLUX_DEV, {}, pair).plan
        assert plan.name == "two-cards"
        assert (plan.device, plan.encoder_device) == ("", "cuda:1")
        assert plan.gpu_gb < 31 and plan.second_gb < 11  # noqa: PT018
        assert plan.exact

    def test_a_second_card_that_is_too_small_says_so(self) -> None:
        pair = machine(32, second="cuda:1", second_gb=8.0)
        reasons = dict(plan_for(FLUX_DEV, {}, pair).skipped)
        assert reasons["two-cards"] == "takes 10.3 of 8.0 GB on the other"

    def test_without_one_it_is_no_plan(self) -> None:
        reasons = dict(plan_for(FLUX_DEV, {}, machine(32)).skipped)
        assert "second graphics card" in reasons["two-cards"]


class TestGroup:
    def test_pinned_blocks_take_more_ram_and_two_of_them_are_on_the_card(self) -> None:
        pinned, waiting = (
            estimate_memory(MemoryPlan(**MEMORY_PLANS[name]), FLUX_12B, machine(8))
            for name in ("group", "group-slow")
        )
        assert pinned.ram_gb - waiting.ram_gb == pytest.approx(0.56 * 23.8, abs=0.05)
        assert pinned.gpu_gb - waiting.gpu_gb == pytest.approx(0.68, abs=0.02)

    def test_the_ram_decides(self) -> None:
        bare = replace(machine(6, 64), packages=frozenset())
        less = replace(machine(6, 32), packages=frozenset())
        assert plan_for(FLUX_DEV, {}, bare).plan.pinned
        assert not plan_for(FLUX_DEV, {}, less).plan.pinned

    def test_the_largest_block_is_what_the_shapes_say(self) -> None:
        from diffusers import Flux2Transformer2DModel, FluxTransformer2DModel

        with torch.device("meta"):
            flux = FluxTransformer2DModel(patch_size=1, guidance_embeds=True)
            klein = Flux2Transformer2DModel(
                num_layers=5,
                num_single_layers=20,
                attention_head_dim=128,
                in_channels=128,
                num_attention_heads=24,
                joint_attention_dim=7680,
                guidance_embeds=False,
            )
        for transformer, known in ((flux, FLUX_12B), (klein, KLEIN_4B)):
            block = transformer.transformer_blocks[0]
            assert known.block == pytest.approx(gb_of(block), rel=0.01)
            assert known.transformer == pytest.approx(gb_of(transformer), rel=0.01)


def gb_of(module: torch.nn.Module) -> float:
    return sum(each.numel() for each in module.parameters()) * 2 / 1e9
