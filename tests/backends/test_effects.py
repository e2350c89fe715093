"""Memory plans in effect: what a CPU can run is run, with the embedded FLUX, and compared."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from imagen_nb.backends import Drawn, make_backend
from imagen_nb.backends.flux import bench
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.bench import plans_to_time, time_plans, timings_as_markdown
from imagen_nb.backends.flux.drawing import encoders
from imagen_nb.backends.flux.drawing.effects import apply_plan
from imagen_nb.backends.flux.drawing.loading import PAINTING_PARTS, load_pipeline
from imagen_nb.backends.flux.loras import hash_loras
from imagen_nb.backends.flux.memory.choice import PlanChoice, choose_plan
from imagen_nb.backends.flux.memory.machine import this_machine
from imagen_nb.backends.flux.memory.plan import Machine, MemoryPlan
from imagen_nb.backends.flux.models import FLUX_12B, Model
from imagen_nb.backends.tiny import FLUX_TINY, tiny
from imagen_nb.cli import run
from imagen_nb.errors import BackendError
from imagen_nb.storage.record import Record
from imagen_nb.studio.reproduce import drawing_differences
from imagen_nb.studio.studio import Studio
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.gguf_files import write_gguf
from tests.fixtures.lora_files import write_lora
from tests.fixtures.pretended_card import PretendedCard


@dataclass(frozen=True)
class Difference:
    """Between two pictures, of pixels in 0…1."""

    most: float
    mean: float


def difference(one: Drawn, other: Drawn) -> Difference:
    a, b = (np.asarray(drawn.image).astype(float) / 255 for drawn in (one, other))
    apart = np.abs(a - b)
    return Difference(float(apart.max()), float(apart.mean()))


def drawn(**memory: Any) -> Drawn:
    backend = tiny(memory=memory)
    return draw(backend, request_for(backend, "a red boat", steps=6, seed=1))[0]


@pytest.fixture(scope="module")
def plain() -> Drawn:
    return drawn()


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny-Q8_0.gguf", Path(FLUX_TINY.source))


class TestWhatACpuCanRun:
    """The tolerances are of 0…1: of the most different pixel, and of the mean of all."""

    def test_the_plain_plan_is_what_was_drawn_before_there_were_plans(self, plain: Drawn) -> None:
        assert (plain.details["memory_plan"], plain.details["options"]) == ({}, {})

    def test_int8_is_near(self, plain: Drawn) -> None:
        found = drawn(quantization="int8")
        assert found.details["memory_plan"] == {"quantization": "int8"}
        assert 0 < difference(found, plain).mean < 0.005
        assert difference(found, plain).most < 0.15

    def test_layerwise_casting_is_near(self, plain: Drawn) -> None:
        found = difference(drawn(quantization="layerwise"), plain)
        assert 0 < found.mean < 0.015
        assert found.most < 0.4

    def test_a_gguf_file_is_near_and_recorded(self, plain: Drawn, gguf_file: Path) -> None:
        found = drawn(gguf=str(gguf_file))
        assert found.details["memory_plan"] == {"quantization": "gguf", "gguf": str(gguf_file)}
        assert 0 < difference(found, plain).mean < 0.003
        assert difference(found, plain).most < 0.1

    def test_tiles_are_near(self, plain: Drawn) -> None:
        found = difference(drawn(vae_tiling=True), plain)
        assert 0 < found.mean < 0.04  # or it was not tiled at all
        assert found.most < 0.6  # seams: tiles are of 64 pixels here, and of 512 for large models

    def test_slices_are_the_same_but_for_the_last_bits(self) -> None:
        backends = tiny(), tiny(memory={"vae_slicing": True})
        both = [
            draw(one, *(request_for(one, "a red boat", steps=2, seed=seed) for seed in range(3)))
            for one in backends
        ]
        assert max(difference(*pair).most for pair in zip(*both, strict=True)) <= 1.01 / 255

    def test_the_first_block_cache_is_near_and_skips(self, plain: Drawn) -> None:
        found = difference(drawn(first_block_cache=0.2), plain)
        assert 0 < found.mean < 0.015
        assert found.most < 0.4

    def test_a_cache_that_never_skips_changes_nothing(self, plain: Drawn) -> None:
        assert difference(drawn(first_block_cache=1e-9), plain).most == 0

    def test_the_cache_begins_anew_with_each_picture(self) -> None:
        backend = tiny(memory={"first_block_cache": 0.2})
        request = request_for(backend, "a red boat", steps=6)
        first, again = draw(backend, request)[0], draw(backend, request)[0]
        assert difference(first, again).most == 0

    def test_a_cache_can_be_put_into_effect_twice(self) -> None:
        plan = MemoryPlan(dtype="float32", first_block_cache=0.1)
        pipeline = load_pipeline(FLUX_TINY, plan)
        apply_plan(pipeline, plan)
        assert pipeline.transformer.is_cache_enabled

    def test_predicted_steps_are_near(self, plain: Drawn) -> None:
        found = drawn(cache="taylorseer", taylorseer=2)
        assert found.details["memory_plan"] == {"taylorseer": 2}
        assert 0 < difference(found, plain).mean < 0.03
        assert difference(found, plain).most < 0.6

    def test_prediction_begins_anew_with_each_picture(self) -> None:
        backend = tiny(memory={"cache": "taylorseer"})
        request = request_for(backend, "a red boat", steps=6)
        first, again = draw(backend, request)[0], draw(backend, request)[0]
        assert difference(first, again).most == 0

    def test_predicted_steps_are_not_calculated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from diffusers.models.transformers.transformer_flux import FluxTransformerBlock

        calls: list[int] = []
        forward = FluxTransformerBlock.forward

        def counted(module: Any, *given: Any, **named: Any) -> Any:
            calls.append(1)
            return forward(module, *given, **named)

        monkeypatch.setattr(FluxTransformerBlock, "forward", counted)
        drawn()
        whole = len(calls)
        drawn(cache="taylorseer", taylorseer=3)
        assert len(calls) - whole == whole * 4 / 6  # 3 to warm up, then the 5th

    def test_fused_projections_are_the_same_but_for_the_last_bits(self, plain: Drawn) -> None:
        found = drawn(fused_qkv=True)
        assert found.details["memory_plan"] == {"fused_qkv": True}
        assert difference(found, plain).most <= 1.01 / 255

    def test_a_fast_plan_is_near(self, plain: Drawn) -> None:
        """All of it that a CPU can do, but for compiling, which takes a minute (below)."""
        found = drawn(plan="fast", compile=False, fused_qkv=True, first_block_cache=0.2)
        assert found.details["memory_plan"] == {"fused_qkv": True, "first_block_cache": 0.2}
        assert 0 < difference(found, plain).mean < 0.015
        assert difference(found, plain).most < 0.4

    def test_fused_projections_take_no_more(self) -> None:
        def weight(**memory: Any) -> int:
            pipeline = tiny(memory=memory)._loaded.pipeline()
            return sum(_bytes(each) for each in pipeline.transformer.parameters())

        assert weight(fused_qkv=True) == weight()

    def test_float16_is_near_and_its_vae_calculates_in_float32(self, plain: Drawn) -> None:
        backend = tiny(memory={"dtype": "float16"})
        found = draw(backend, request_for(backend, "a red boat", steps=6, seed=1))[0]
        assert backend._loaded.pipeline().vae.dtype == torch.float32
        assert found.details["dtype"] == "float16"
        assert difference(found, plain).mean < 0.01

    def test_what_float16_encodes_goes_through_float32_too(self) -> None:
        """Numbers of FLUX's VAE overflow in float16: black pictures, or none."""
        plan = MemoryPlan(dtype="float16")
        pipeline = load_pipeline(FLUX_TINY, plan)
        inside: list[torch.dtype] = []
        pipeline.vae.encoder.conv_in.register_forward_hook(
            lambda module, given, result: inside.append(result.dtype)
        )
        white = torch.ones(1, 3, 128, 128, dtype=torch.float16)
        latents = pipeline.vae.encode(white).latent_dist.mode()
        assert (inside, latents.dtype) == ([torch.float32], torch.float16)
        assert pipeline.vae.decode(latents).sample.dtype == torch.float32

    @pytest.mark.parametrize("kind", ["schnell", "fill", "kontext", "klein"])
    def test_every_kind_draws_from_an_image_in_float16(
        self, kind: str, request: pytest.FixtureRequest
    ) -> None:
        """What the VAE encodes meets what the transformer has."""
        folder = request.getfixturevalue(f"{kind}_folder")
        image = Image.effect_noise((64, 64), 80)
        found = []
        for dtype in ("float16", "float32"):
            backend = custom(str(folder), memory={"dtype": dtype})
            names = ("init_image", "mask") if backend.limits.takes.needs else ("init_image",)
            options = dict.fromkeys(names, image)
            asked = request_for(backend, width=64, height=64, options=options)
            found += draw(backend, asked)
        assert difference(*found).mean < 0.05

    def test_in_float16_t5_keeps_its_wo_in_float32(self) -> None:
        """As transformers has it, and as the expected memory counts it."""
        encoder = load_pipeline(FLUX_TINY, MemoryPlan(dtype="float16"), PAINTING_PARTS)
        weights = encoder.text_encoder_2.named_parameters()
        assert {each.dtype for name, each in weights if ".wo." in name} == {torch.float32}

    @pytest.mark.parametrize("encoders", ["freed", "offloaded"])
    def test_encoders_that_are_away_change_no_pixel(self, encoders: str, plain: Drawn) -> None:
        assert difference(drawn(text_encoders=encoders), plain).most == 0

    def test_blocks_are_compiled_where_the_plan_says_so(self) -> None:
        pipeline = tiny(memory={"compile": True})._loaded.pipeline()
        for block in pipeline.transformer.transformer_blocks:
            assert block._compiled_call_impl is not None

    @pytest.mark.slow
    @pytest.mark.soak  # a minute of the C++ compiler
    @pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
    @pytest.mark.parametrize("cache", [0.0, 1e-9])
    def test_compiled_blocks_differ_in_the_last_bits_at_most(
        self, plain: Drawn, cache: float
    ) -> None:
        found = drawn(compile=True, first_block_cache=cache)
        assert difference(found, plain).most <= 1.01 / 255

    def test_quantized_weights_take_less(self) -> None:
        def weight(**memory: Any) -> int:
            pipeline = tiny(memory=memory)._loaded.pipeline()
            return sum(_bytes(each) for each in pipeline.transformer.parameters())

        assert weight(quantization="int8") < weight() * 0.5
        assert weight(quantization="layerwise") < weight() * 0.6

    def test_a_gguf_file_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(BackendError, match=r"no file .*none\.gguf.*memory\.gguf"):
            drawn(gguf=str(tmp_path / "none.gguf"))

    def test_a_gguf_file_of_something_else_is_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "other.gguf"
        file.write_bytes(b"no weights")
        with pytest.raises(BackendError, match="cannot load"):
            drawn(gguf=str(file))

    def test_what_needs_a_card_says_so(self) -> None:
        with pytest.raises(BackendError, match="offload model needs a CUDA graphics card"):
            drawn(offload="model")


def _bytes(weight: Any) -> int:
    """Of a weight as it is stored: torchao's are made of others."""
    names = weight.__tensor_flatten__()[0] if hasattr(weight, "__tensor_flatten__") else []
    inner = [getattr(weight, name) for name in names]
    return sum(_bytes(each) for each in inner) if inner else weight.numel() * weight.element_size()


class TestSeparateEncoders:
    def test_freed_encoders_and_what_paints_are_never_there_together(self) -> None:
        backend = tiny(memory={"text_encoders": "freed"})
        draw(backend, request_for(backend, "a red boat"))
        painter = backend._loaded.pipeline()
        assert painter.text_encoder is painter.text_encoder_2 is None
        before = weakref.ref(painter.transformer)
        del painter
        there: list[bool] = []
        learn = backend._loaded._encoders.learn  # type: ignore[union-attr]

        def watched(*given: Any) -> None:
            gc.collect()
            there.append(before() is not None)
            learn(*given)

        backend._loaded._encoders.learn = watched  # type: ignore[union-attr,method-assign]
        draw(backend, request_for(backend, "a blue house"))
        assert there == [False]

    def test_a_prompt_that_is_known_loads_nothing(self) -> None:
        backend = tiny(memory={"text_encoders": "freed"})
        draw(backend, request_for(backend, "a red boat"))
        painter = backend._loaded.pipeline()
        draw(backend, request_for(backend, "a red boat", seed=2))
        assert backend._loaded.pipeline() is painter

    def test_offloaded_encoders_are_read_once(self) -> None:
        backend = tiny(memory={"text_encoders": "offloaded"})
        draw(backend, request_for(backend, "a red boat"))
        waiting = backend._loaded._encoders._waiting  # type: ignore[union-attr]
        draw(backend, request_for(backend, "a blue house"))
        assert backend._loaded._encoders._waiting is waiting is not None  # type: ignore[union-attr]

    def test_loras_of_the_transformer_work_with_them(self, tmp_path: Path) -> None:
        lora = write_lora(tmp_path / "ink.safetensors")
        kept, freed = tiny(lora), tiny(lora, {"text_encoders": "freed"})
        prompts = ("a red boat", "a blue house")
        both = [
            [draw(one, request_for(one, prompt))[0] for prompt in prompts] for one in (kept, freed)
        ]
        assert [difference(*pair).most for pair in zip(*both, strict=True)] == [0, 0]


class TestLoras:
    @pytest.fixture
    def lora(self, tmp_path: Path) -> Path:
        return write_lora(tmp_path / "ink.safetensors")

    def with_lora(self, lora: Path, **memory: Any) -> Drawn:
        backend = tiny(lora, memory)
        return draw(backend, request_for(backend, "a red boat"))[0]

    def test_they_go_with_quantized_weights(self, lora: Path, gguf_file: Path) -> None:
        plain = self.with_lora(lora)
        for memory in ({"quantization": "int8"}, {"gguf": str(gguf_file)}):
            assert difference(self.with_lora(lora, **memory), plain).mean < 0.005

    def test_they_do_not_go_with_fused_projections(self, lora: Path) -> None:
        with pytest.raises(BackendError, match=r"memory\.fused_qkv"):
            self.with_lora(lora, fused_qkv=True)

    def test_they_do_not_go_with_layerwise_casting(self, lora: Path) -> None:
        with pytest.raises(BackendError, match="set another quantization"):
            self.with_lora(lora, quantization="layerwise")

    def test_one_for_the_encoders_needs_them_kept(self, lora: Path, tmp_path: Path) -> None:
        layer = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
        both = load_file(lora) | {
            f"{layer}.lora_A.weight": torch.full((2, 128), 0.1),
            f"{layer}.lora_B.weight": torch.full((128, 2), 0.1),
        }
        save_file(both, tmp_path / "both.safetensors")
        assert self.with_lora(tmp_path / "both.safetensors").details["loras"]
        with pytest.raises(BackendError, match=r'set memory=\{"text_encoders": "kept"\}'):
            self.with_lora(tmp_path / "both.safetensors", text_encoders="freed")


class TestRecords:
    @pytest.fixture
    def studio(self, tmp_path: Path) -> Iterator[Studio]:
        settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path / "out")}}
        with Studio(settings) as made:
            yield made

    def test_the_plan_is_in_the_sidecar_and_what_was_set_in_its_options(
        self, studio: Studio
    ) -> None:
        picture = studio.generate("a red boat", seed=1, steps=2, memory={"quantization": "int8"})
        record = Record.from_sidecar(picture.sidecar_path.read_text())
        assert record.memory_plan == {"quantization": "int8"}
        assert record.options == {"memory": {"quantization": "int8"}}

    def test_a_picture_is_reproduced_with_the_memory_that_it_was_drawn_with(
        self, studio: Studio
    ) -> None:
        picture = studio.generate("a red boat", seed=1, steps=2, memory={"quantization": "int8"})
        again = studio.reproduce(picture)
        assert again.identical
        assert again.record.memory_plan == {"quantization": "int8"}

    def test_a_fast_plan_is_recorded_and_repeated(self, studio: Studio) -> None:
        """What compiles is left out here: it is tested where time is."""
        memory = {"plan": "fast", "compile": False, "cache": "first-block", "fused_qkv": True}
        picture = studio.generate("a red boat", seed=1, steps=4, memory=memory)
        record = Record.from_sidecar(picture.sidecar_path.read_text())
        assert record.memory_plan == {"fused_qkv": True, "first_block_cache": 0.08}
        assert record.options["memory"]["plan"] == "fast"
        again = studio.reproduce(picture)
        assert again.identical
        assert again.record.memory_plan == record.memory_plan

    def test_another_plan_is_a_difference_that_is_said(self, studio: Studio) -> None:
        picture = studio.generate("a red boat", seed=1, steps=2)
        again = studio.reproduce(picture, memory={"quantization": "int8"})
        assert not again.identical
        assert "memory plan was {}, is {'quantization': 'int8'}" in str(again.differs)

    def test_a_picture_before_there_were_plans_differs_in_none(self, studio: Studio) -> None:
        record = studio.generate("a red boat", seed=1, steps=2).record
        old = record.model_copy(update={"memory_plan": None})
        assert drawing_differences(old, {"memory_plan": {"offload": "model"}}) == ()

    def test_what_is_not_known_is_refused_before_anything_is_drawn(self, studio: Studio) -> None:
        with pytest.raises(ValueError, match="it takes plan, device, dtype, quantization"):
            studio.generate("a red boat", memory={"quantize": "int8"})

    def test_every_flux_backend_takes_it(self, schnell_folder: Path) -> None:
        options = {"flux": {"model": str(schnell_folder)}}
        for name in ("flux", "flux-tiny-local", "flux-schnell-local", "flux-dev-local"):
            made = make_backend(name, memory={"batch": 2}, **options.get(name, {}))
            assert made.made_with["options"]["memory"] == {"batch": 2}  # type: ignore[attr-defined]


class TestFallingBack:
    """The card's memory cannot be filled here: the error is torch's own, put in by hand."""

    def failing(self, backend: FluxBackend, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next `times` calls of the transformer find the card's memory full."""
        from diffusers import FluxTransformer2DModel

        left = [times]
        forward = FluxTransformer2DModel.forward

        def full(module: Any, *given: Any, **named: Any) -> Any:
            if left[0]:
                left[0] -= 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(module, *given, **named)

        monkeypatch.setattr(FluxTransformer2DModel, "forward", full)

    def test_the_next_smaller_plan_goes_on_says_so_once_and_stays(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 1})
        requests = [request_for(backend, "a red boat", seed=seed) for seed in range(4)]
        self.failing(backend, 1, monkeypatch)
        found = draw(backend, *requests)
        assert [one.request for one in found] == requests
        assert {str(one.details["memory_plan"]) for one in found} == {
            "{'vae_tiling': True, 'vae_slicing': True}"
        }
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "too small for the plan whole of flux-tiny-local: this session goes on with" in said
        later = draw(tiny(memory={"batch": 1}), requests[0])[0]
        assert later.details["memory_plan"]["vae_tiling"]
        assert capsys.readouterr().err == ""

    def test_pictures_before_it_are_not_drawn_again(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 1})
        seen: list[int] = []
        requests = [request_for(backend, "a red boat", seed=seed) for seed in range(3)]
        drawing = backend.draw(requests, None, Event())
        seen.append(next(drawing).request.seed)
        self.failing(backend, 1, monkeypatch)
        seen += [one.request.seed for one in drawing]
        assert seen == [0, 1, 2]
        assert "goes on with" in capsys.readouterr().err

    @pytest.mark.parametrize("encoders", ["kept", "freed"])
    def test_the_larger_model_is_gone_before_the_smaller_one_is_loaded(
        self,
        encoders: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        backend = tiny(memory={"batch": 3, "text_encoders": encoders})
        draw(backend, request_for(backend, "a red boat"))
        larger = weakref.ref(backend._loaded.pipeline().transformer)
        there: list[bool] = []
        fall_back = backend._loaded.fall_back

        def watched(pictures: int) -> str:
            said = fall_back(pictures)
            there.append(larger() is not None)
            return said

        backend._loaded.fall_back = watched  # type: ignore[method-assign]
        self.failing(backend, 1, monkeypatch)
        assert len(draw(backend, request_for(backend, "a red boat", seed=2))) == 1
        assert there == [False]
        assert "goes on with" in capsys.readouterr().err

    def test_phases_keep_what_was_denoised_before_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 1, "text_encoders": "freed"})
        requests = [request_for(backend, "a red boat", seed=seed) for seed in range(3)]
        calls: list[int] = []
        from diffusers import FluxTransformer2DModel

        forward = FluxTransformer2DModel.forward

        def full(module: Any, *given: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 3:  # two steps a picture: in the second one
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(module, *given, **named)

        monkeypatch.setattr(FluxTransformer2DModel, "forward", full)
        found = draw(backend, *requests)
        assert [one.request.seed for one in found] == [0, 1, 2]
        assert [one.details["memory_plan"].get("vae_tiling") for one in found] == [None, True, True]
        assert len(calls) == 2 + 1 + 4

    def test_what_is_set_stays_set(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A plan that the user fixed in all that matters has nothing smaller."""
        fixed = {"text_encoders": "freed", "vae_tiling": True, "vae_slicing": True}
        backend = tiny(memory={**fixed, "quantization": "int8"})
        self.failing(backend, 1, monkeypatch)
        with pytest.raises(BackendError, match="out of memory"):
            draw(backend, request_for(backend, "a red boat"))
        assert capsys.readouterr().err == ""


class TestFollowingTheRequest:
    """The embedded model draws; the plan is made as if it were as large as dev."""

    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> FluxBackend:
        from imagen_nb.backends.flux.drawing import loaded

        there = Machine(ram_gb=52.4)  # 49.8 for use

        def planned(row: Model, memory: Any, machine: Any = None, demand: Any = None) -> PlanChoice:
            choice = choose_plan(there, FLUX_12B, MemoryPlan(), memory, demand)
            assert isinstance(choice, PlanChoice)
            return choice

        monkeypatch.setattr(loaded, "plan_for", planned)
        monkeypatch.setattr(loaded, "sizes_of", lambda row: FLUX_12B)
        return tiny(memory={"dtype": "float32", "text_encoders": "freed"})

    def plan(self, backend: FluxBackend, size: int) -> str:
        request = request_for(backend, "a red boat", width=size, height=size, steps=1)
        (found,) = draw(backend, request)
        return str(found.details["memory_plan"].get("vae_tiling", False))

    def test_a_larger_picture_has_a_smaller_plan_which_is_said_once(
        self, backend: FluxBackend, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.plan(backend, 128) == "False"
        assert capsys.readouterr().err == ""
        assert self.plan(backend, 256) == "True"
        said = capsys.readouterr().err
        assert "does not do for what is drawn now: this session goes on with" in said
        assert self.plan(backend, 256) == "True"
        assert capsys.readouterr().err == ""

    def test_loras_have_a_plan_that_takes_them(self, tmp_path: Path) -> None:
        backend = tiny(memory={"plan": "fast", "compile": False})
        loaded, loras = backend._loaded, hash_loras([(write_lora(tmp_path / "a.safetensors"), 1.0)])
        loaded._plan, loaded._machine = MemoryPlan(name="fast", fused_qkv=True), Machine()
        said = loaded.plan_requests([request_for(backend)], loras)
        assert "the plan fast of flux-tiny-local does not do for what is drawn now" in said
        assert not loaded.plan.fused_qkv


class TestBench:
    def test_every_plan_of_a_machine_is_timed(self) -> None:
        here = this_machine()
        rows = list(time_plans(FLUX_TINY, here, steps=1))
        assert [row.plan for row in rows] == [plan.name for plan in plans_to_time(FLUX_TINY, here)]
        assert all(row.next_s > 0 < row.new_prompt_s and not row.error for row in rows)
        table = timings_as_markdown("tiny", here, rows)
        assert table.count("\n| ") == len(rows) + 1

    def test_no_other_plan_draws_for_one_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from diffusers import FluxTransformer2DModel

        forward, failures = FluxTransformer2DModel.forward, [1]

        def full(module: Any, *given: Any, **named: Any) -> Any:
            if failures:
                failures.pop()
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(module, *given, **named)

        monkeypatch.setattr(FluxTransformer2DModel, "forward", full)
        first, second = islice(time_plans(FLUX_TINY, this_machine(), steps=1), 2)
        assert (first.plan, second.plan) == ("whole", "whole-tiled")
        assert "out of memory" in first.error
        assert not second.error

    def test_each_is_drawn_as_its_row_says_whatever_is_free(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the best plan does not fit by now, another one would be timed in its name."""
        recorded: list[dict[str, Any]] = []
        plain = FluxBackend.draw

        def draw_and_look(self: Any, *given: Any) -> Iterator[Drawn]:
            for one in plain(self, *given):
                recorded.append(one.details["memory_plan"])
                yield one

        monkeypatch.setattr(FluxBackend, "draw", draw_and_look)
        PretendedCard(monkeypatch, 10)
        before = Machine(gpu_gb=40, ram_gb=128, capability=9.0)
        row = next(time_plans(FLUX_TINY, before, steps=1))
        assert (row.plan, row.error) == ("whole", "")
        assert recorded == [{}] * 3

    def test_freed_pays_for_its_encoders_with_each_new_prompt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded: list[float] = []
        load = encoders.load_pipeline

        def slow(*given: Any) -> Any:
            loaded.append(time.perf_counter())
            time.sleep(3)
            return load(*given)

        monkeypatch.setattr(encoders, "load_pipeline", slow)
        plans = [MemoryPlan(name="freed", text_encoders="freed", dtype="float32")]
        monkeypatch.setattr(bench, "plans_to_time", lambda *given: plans)
        (row,) = time_plans(FLUX_TINY, Machine(ram_gb=16), steps=1)
        assert len(loaded) == 2
        assert row.new_prompt_s > 3 > row.next_s

    def test_a_plan_that_fails_is_a_row_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Any, *given: Any) -> None:
            raise BackendError("out of memory of the card")

        monkeypatch.setattr(FluxBackend, "draw", full)
        rows = list(time_plans(FLUX_TINY, Machine(ram_gb=16)))
        assert {row.error for row in rows} == {"out of memory of the card"}
        assert "out of memory of the card |" in timings_as_markdown("tiny", Machine(), rows)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
    def test_without_a_card_it_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["bench-gpu"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("imagen: no CUDA graphics card here to time")
        assert said.count("\n") == 1
