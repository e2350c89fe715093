"""Where a plan puts a pipeline. The card is pretended: what it would be asked is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

from imagen_nb.backends.flux.backend import custom
from imagen_nb.backends.flux.drawing import effects, placing
from imagen_nb.backends.flux.drawing.effects import apply_plan, has_full_graphs
from imagen_nb.backends.flux.drawing.encoders import TextEncoders
from imagen_nb.backends.flux.drawing.loaded import LoadedModel
from imagen_nb.backends.flux.drawing.loading import load_pipeline, load_whole_pipeline
from imagen_nb.backends.flux.drawing.placing import place_pipeline
from imagen_nb.backends.flux.drawing.prompts import PromptCache
from imagen_nb.backends.flux.memory.plan import FAST_PLANS, MEMORY_PLANS, MemoryPlan
from imagen_nb.backends.flux.models import Model
from imagen_nb.backends.flux.pipelines import FLUX_1
from tests.fixtures import flux_layout
from tests.fixtures.backend_calls import request_for

CARD = torch.device("cuda")


class PretendedCard:
    """Notes what pipelines are told to do; all weights stay on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved: list[tuple[tuple[str, ...], str]] = []
        self.device_maps: list[str | None] = []
        from_pretrained = DiffusionPipeline.from_pretrained.__func__  # type: ignore[attr-defined]

        def to(pipeline: DiffusionPipeline, device: Any, **named: Any) -> DiffusionPipeline:
            networks = tuple(sorted(placing.networks_of(pipeline)))
            self.moved.append((networks, str(device)))
            return pipeline

        def load(kind: type, *given: Any, **named: Any) -> DiffusionPipeline:
            self.device_maps.append(named.pop("device_map", None))
            loaded: DiffusionPipeline = from_pretrained(kind, *given, **named)
            return loaded

        monkeypatch.setattr(DiffusionPipeline, "to", to)
        monkeypatch.setattr(DiffusionPipeline, "from_pretrained", classmethod(load))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> PretendedCard:
    # models of other tests would have to make room
    monkeypatch.setattr(LoadedModel, "_others_in_memory", lambda model: [])
    return PretendedCard(monkeypatch)


@pytest.fixture
def row(dev_folder: Path) -> Model:
    return custom(str(dev_folder)).row


PAINTER = ("transformer", "vae")
ENCODERS = ("text_encoder", "text_encoder_2")


class TestQuantizing:
    """By torchao, on the card: a CPU takes 1,000 seconds for the large models."""

    @pytest.mark.parametrize("quantization", ["int8", "fp8"])
    def test_weights_go_to_the_card_as_they_are_quantized(
        self, quantization: str, row: Model, card: PretendedCard
    ) -> None:
        plan = MemoryPlan(dtype="bfloat16", quantization=quantization, device="cuda")
        load_whole_pipeline(row, plan)
        assert card.device_maps == ["cuda", "cuda"]

    def test_what_is_not_quantized_so_is_read_as_before(
        self, row: Model, card: PretendedCard
    ) -> None:
        load_whole_pipeline(row, MemoryPlan(device="cuda"))
        load_whole_pipeline(row, MemoryPlan(quantization="layerwise", device="cuda"))
        load_whole_pipeline(row, MemoryPlan(quantization="int8", device="cpu"))
        assert set(card.device_maps) == {None}

    def test_with_model_offload_each_half_is_quantized_there_and_waits_in_ram(
        self, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The card is too small for both halves."""
        offloaded: list[tuple[str, ...]] = []

        def offload(pipeline: DiffusionPipeline, device: torch.device) -> None:
            offloaded.append(tuple(sorted(placing.networks_of(pipeline))))

        monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", offload)
        load_whole_pipeline(row, MemoryPlan(device="cuda", **MEMORY_PLANS["int8-offloaded"]))
        assert card.device_maps == ["cuda", "cuda"]
        assert card.moved == [
            (PAINTER, "cuda"),
            (PAINTER, "cpu"),
            (ENCODERS, "cuda"),
            (ENCODERS, "cpu"),
        ]
        assert offloaded == [(*ENCODERS, *PAINTER)]

    @pytest.mark.parametrize("offload", ["group", "sequential"])
    def test_where_the_card_has_no_room_it_is_left_out(
        self, offload: str, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(placing._PLACE_ON_CARD, offload, lambda *given: None)
        load_whole_pipeline(row, MemoryPlan(quantization="int8", offload=offload, device="cuda"))
        assert card.device_maps == [None]

    def test_on_another_card_that_one_is_the_current_one_meanwhile(
        self, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        current: list[str] = []

        class Current:
            def __init__(self, device: torch.device) -> None:
                current.append(str(device))

            def __enter__(self) -> None: ...

            def __exit__(self, *given: object) -> None: ...

        monkeypatch.setattr(torch.cuda, "device", Current)
        load_whole_pipeline(row, MemoryPlan(quantization="int8", device="cuda:1"))
        assert (card.device_maps, current) == (["cuda", "cuda"], ["cuda:1", "cuda:1"])

    def test_dynamic_float8_fuses_first_and_quantizes_the_blocks_layer_by_layer_on_the_card(
        self, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torchao.quantization

        chosen: list[str] = []
        devices: list[str] = []

        def quantize(model: torch.nn.Module, config: Any, filter_fn: Any, device: Any) -> None:
            devices.append(f"{device} {type(config).__name__}")
            parts = model.named_modules()
            chosen.extend(name for name, module in parts if filter_fn(module, name))

        monkeypatch.setattr(torchao.quantization, "quantize_", quantize)
        plan = MemoryPlan(device="cuda", **FAST_PLANS["fast"] | {"attention": "native"})
        load_pipeline(row, plan, row.kind.encoders)
        assert card.device_maps == [None]
        assert devices == ["cuda Float8DynamicActivationFloat8WeightConfig"]
        assert "transformer_blocks.0.attn.to_qkv" in chosen
        assert not [name for name in chosen if name.endswith((".to_q", "x_embedder", "proj_out."))]
        assert all("transformer_blocks." in name for name in chosen)


class TestGroups:
    def test_pinned_blocks_come_by_a_stream_and_are_pinned_once(
        self, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from diffusers import ModelMixin

        pinned: list[torch.Tensor] = []
        asked: list[dict[str, Any]] = []

        def pin(tensor: torch.Tensor) -> torch.Tensor:
            pinned.append(tensor)
            return tensor.clone()

        monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
        monkeypatch.setattr(
            ModelMixin, "enable_group_offload", lambda module, **named: asked.append(named)
        )
        monkeypatch.setattr(
            diffusers.hooks, "apply_group_offloading", lambda module, **named: asked.append(named)
        )
        monkeypatch.setattr(torch.nn.Module, "to", lambda module, *given, **named: module)
        pipeline = load_pipeline(row, MemoryPlan(dtype="float32", device="cpu"))
        place_pipeline(pipeline, MemoryPlan(**MEMORY_PLANS["group"]), CARD)
        weights = [*pipeline.transformer.parameters(), *pipeline.transformer.buffers()]
        assert len(pinned) == len(weights)
        transformer, *encoders = asked
        assert transformer["offload_type"] == "block_level"
        assert transformer["use_stream"] is True
        assert not transformer.get("low_cpu_mem_usage")  # would pin anew at each use
        assert [each["offload_type"] for each in encoders] == ["leaf_level", "leaf_level"]
        assert not any(each.get("use_stream") for each in encoders)

    def test_blocks_that_the_card_waits_for_draw_the_same_pixels(self, row: Model) -> None:
        """The CPU stands for the card, and diffusers' own hooks move to and from it."""
        plain, grouped = (
            load_pipeline(row, MemoryPlan(dtype="float32", device="cpu")) for _ in range(2)
        )
        placing._PLACE_ON_CARD["group"](
            grouped, MemoryPlan(**MEMORY_PLANS["group-slow"]), torch.device("cpu")
        )
        one, other = (
            pipeline(
                "a boat",
                width=64,
                height=64,
                num_inference_steps=2,
                output_type="pt",
                generator=torch.Generator().manual_seed(1),
                max_sequence_length=16,
            ).images
            for pipeline in (plain, grouped)
        )
        assert torch.equal(one, other)

    @pytest.mark.parametrize("offload", ["model", "sequential"])
    def test_offload_goes_to_the_card_that_is_named(
        self, offload: str, row: Model, card: PretendedCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        name = {"model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
        monkeypatch.setattr(
            DiffusionPipeline, name[offload], lambda pipeline, device: asked.append(str(device))
        )
        load_pipeline(row, MemoryPlan(dtype="float32", offload=offload, device="cuda:1"))
        assert asked == ["cuda:1"]


class TestTwoCards:
    def test_the_encoders_go_to_one_and_the_painter_to_the_other(
        self, row: Model, card: PretendedCard
    ) -> None:
        plan = MemoryPlan(
            dtype="float32", text_encoders="second-card", device="cuda", encoder_device="cuda:1"
        )
        encoders = TextEncoders(row, plan)
        load_pipeline(row, plan, row.kind.encoders)
        for prompt in ("a boat", "a house"):
            encoders.learn(PromptCache(), [request_for(custom(row.source), prompt)])
        assert set(card.moved) == {(PAINTER, "cuda"), (ENCODERS, "cuda:1")}
        assert len(card.device_maps) == 2  # they stay: the second prompt loads nothing

    def test_what_one_encoded_is_given_to_the_other(self, row: Model) -> None:
        """The device of the second is meta, where a tensor has no values but is somewhere."""
        backend = custom(row.source)
        request, cache = request_for(backend), PromptCache()
        pipeline = load_pipeline(row, MemoryPlan(dtype="float32", device="cpu"))
        cache.learn(pipeline, [request])

        class Painter:
            _execution_device = torch.device("meta")
            transformer = pipeline.transformer

        arguments = cache.encoded(Painter(), [request])  # type: ignore[arg-type]
        assert {tensor.device.type for tensor in arguments.values()} == {"meta"}

    def test_the_painter_does_not_make_room(self, dev_folder: Path, card: PretendedCard) -> None:
        backend = custom(str(dev_folder), memory={"dtype": "float32"})
        loaded = backend._loaded
        loaded._plan = MemoryPlan(
            dtype="float32", text_encoders="second-card", device="cuda", encoder_device="cuda:1"
        )
        loaded.pipeline()
        loaded.encode([request_for(backend)])
        assert (PAINTER, "cpu") not in card.moved


class TestCompiling:
    @pytest.mark.parametrize(
        ("plan", "full"),
        [
            ({}, True),
            ({"offload": "model"}, True),
            ({"quantization": "int8"}, True),
            ({"quantization": "fp8-dynamic"}, True),
            ({"quantization": "layerwise"}, False),
            ({"offload": "group"}, False),
            ({"offload": "sequential"}, False),
            ({"first_block_cache": 0.1}, False),
            ({"taylorseer": 3}, False),
        ],
    )
    def test_a_block_is_one_graph_where_nothing_cuts_it(
        self, plan: dict[str, Any], full: bool
    ) -> None:
        assert has_full_graphs(MemoryPlan(**plan)) is full

    @pytest.mark.parametrize(
        "plan",
        [
            {},
            {"offload": "group"},
            pytest.param({"quantization": "layerwise"}, marks=pytest.mark.soak),
            pytest.param({"first_block_cache": 0.1}, marks=pytest.mark.soak),
            pytest.param({"taylorseer": 2}, marks=pytest.mark.soak),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
    def test_what_the_compiler_is_told_holds(
        self, plan: dict[str, Any], row: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """torch's own tracing of the blocks as they are; only code is not generated."""
        compile_with(monkeypatch, "eager")
        whole = MemoryPlan(dtype="float32", compile=True, device="cpu", **plan)
        pipeline = load_pipeline(row, whole)
        if whole.offload == "group":
            placing._PLACE_ON_CARD["group"](pipeline, whole, torch.device("cpu"))
        pipeline(
            "a boat",
            width=64,
            height=64,
            num_inference_steps=3,
            max_sequence_length=16,
            output_type="latent",
        )

    @pytest.mark.parametrize(
        ("drawn", "compiled"),
        [
            ([(64, 1), (96, 1), (128, 1)], [2, 2, 0]),
            pytest.param(
                [(64, 1), (96, 1), (128, 1), (192, 1), (64, 1), (64, 2), (96, 2)],
                [2, 2, 0, 0, 0, 2, 0],
                marks=pytest.mark.soak,
            ),
        ],
        ids=["sizes", "batches"],
    )
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
    def test_sizes_compile_twice_and_each_batch_size_once(
        self,
        drawn: list[tuple[int, int]],
        compiled: list[int],
        row: Model,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As docs/models.md says; for each of the two kinds of blocks."""
        from torch._dynamo.testing import CompileCounter

        torch._dynamo.reset()
        counter = CompileCounter()
        compile_with(monkeypatch, counter)
        pipeline = load_pipeline(row, MemoryPlan(dtype="float32", compile=True, device="cpu"))
        counts = []
        for side, pictures in drawn:
            before = counter.frame_count
            pipeline(
                ["a boat"] * pictures,
                width=side,
                height=side,
                num_inference_steps=1,
                max_sequence_length=16,
                output_type="latent",
            )
            counts.append(counter.frame_count - before)
        assert counts == compiled


def compile_with(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    from diffusers import ModelMixin

    compiled = ModelMixin.compile_repeated_blocks

    def compile_blocks(module: Any, **named: Any) -> None:
        compiled(module, backend=backend, **named)

    monkeypatch.setattr(ModelMixin, "compile_repeated_blocks", compile_blocks)


class TestAttention:
    def test_cudnn_is_for_this_transformer_alone(self) -> None:
        """And of torch: what diffusers would download is never asked for."""
        transformer = flux_layout.new_transformer(guidance_embeds=True)
        before = _AttentionBackendRegistry.get_active_backend()
        effects._use_cudnn_attention(transformer)
        backends = {
            module.processor._attention_backend
            for module in transformer.modules()
            if hasattr(module, "processor")
        }
        assert backends == {AttentionBackendName._NATIVE_CUDNN}
        assert _AttentionBackendRegistry.get_active_backend() == before

    def test_a_plan_without_it_leaves_all_as_it_is(self, row: Model) -> None:
        pipeline = load_pipeline(row, MemoryPlan(dtype="float32", device="cpu"))
        processors = [
            module.processor
            for module in pipeline.transformer.modules()
            if hasattr(module, "processor")
        ]
        assert {processor._attention_backend for processor in processors} == {None}


def test_a_plan_is_put_into_effect_without_a_card(row: Model) -> None:
    plan = MemoryPlan(dtype="float32", **MEMORY_PLANS["group"], device="cpu")
    pipeline = load_pipeline(row, plan)
    apply_plan(pipeline, plan)
    assert pipeline._execution_device.type == "cpu"
    assert row.kind == FLUX_1
