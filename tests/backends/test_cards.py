"""A card that is full, shared or broken: pretended ones, with errors put in by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any
from weakref import WeakValueDictionary

import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from transformers import T5EncoderModel

from imagen_nb.backends import Step
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.drawing import loaded
from imagen_nb.backends.flux.drawing.drawing import DrawCall
from imagen_nb.backends.tiny import tiny
from imagen_nb.errors import BackendError, Cancelled
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.lora_files import write_lora
from tests.fixtures.pretended_card import PretendedCard

Card = Callable[[float], PretendedCard]
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", RuntimeError)  # since torch 2.8
# As torch 2.13 words them, with the class that it raises.
OTHER_NAMES_OF_FULL = [
    ACCELERATOR_ERROR("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
    MemoryError(),
]
# Each error in the first network, and two in the second: all in both are long.
FULL_IN: list[Any] = [
    *((FluxTransformer2DModel, "forward", error) for error in OTHER_NAMES_OF_FULL),
    *((AutoencoderKL, "decode", error) for error in OTHER_NAMES_OF_FULL[:2]),
    *(
        pytest.param(AutoencoderKL, "decode", error, marks=pytest.mark.soak)
        for error in OTHER_NAMES_OF_FULL[2:]
    ),
]
APART = {"text_encoders": "offloaded"}
BROKEN = ACCELERATOR_ERROR("CUDA error: an illegal memory access was encountered\nmore")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """Makes a card of so many GB."""
    return lambda gb: PretendedCard(monkeypatch, gb)


@pytest.fixture(autouse=True)
def none_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of other tests neither draw here nor take room."""
    monkeypatch.setattr(loaded, "_LOADED_MODELS", WeakValueDictionary())


def fail(
    monkeypatch: pytest.MonkeyPatch, network: type, *errors: BaseException, method: str = "forward"
) -> list[int]:
    """The next calls of a network raise these errors; gives a list of its calls' batch sizes."""
    plain, left, sizes = getattr(network, method), [*errors], list[int]()

    def failing(self: Any, *given: Any, **named: Any) -> Any:
        tensor = given[0] if given else named.get("hidden_states", named.get("input_ids"))
        sizes.append(len(tensor))
        if left:
            error = left.pop(0)
            raise type(error)(*error.args)
        return plain(self, *given, **named)

    monkeypatch.setattr(network, method, failing)
    return sizes


def custom_one(folder: Path, **memory: Any) -> FluxBackend:
    """Draws one picture at a time."""
    return custom(str(folder), memory={"batch": 1, **memory})


def plan_names(backend: FluxBackend) -> str:
    return backend._loaded.plan.name


class TestStopping:
    """Under model offload, whose hooks are accelerate's own here."""

    def offloaded(self, folder: Path) -> FluxBackend:
        return custom(str(folder), memory={"offload": "model", "batch": 1})

    def test_a_cancelled_call_leaves_nothing_on_the_card(
        self, schnell_folder: Path, card: Card
    ) -> None:
        backend, cancel, there = self.offloaded(schnell_folder), Event(), card(24)
        seen: list[list[str]] = []

        def listen(step: Step) -> None:
            seen.append(there.names())
            cancel.set()

        with pytest.raises(Cancelled):
            list(backend.draw([request_for(backend, steps=3)], listen, cancel))
        assert "FluxTransformer2DModel" in seen[0]
        assert there.names() == []

    def test_an_error_while_encoding_leaves_nothing_there_either(
        self, schnell_folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend, there = self.offloaded(schnell_folder), card(24)
        fail(monkeypatch, T5EncoderModel, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            draw(backend, request_for(backend))
        assert there.names() == []


class TestFullWhileEncoding:
    """Where the encoders wait in RAM, and what paints makes room for them."""

    def test_the_next_smaller_plan_goes_on(
        self,
        schnell_folder: Path,
        card: Card,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        card(40)
        backend = custom_one(schnell_folder, **APART)
        fail(monkeypatch, T5EncoderModel, FULL)
        (drawn,) = draw(backend, request_for(backend))
        assert drawn.details["memory_plan"]["offload"] == "model"
        assert "too small for the plan whole of schnell-like" in capsys.readouterr().err

    @pytest.mark.parametrize("offload", ["none", "model"])
    def test_where_nothing_is_smaller_it_is_one_line(
        self, offload: str, schnell_folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        card(40)
        memory = {"text_encoders": "offloaded", "quantization": "none", "offload": offload}
        memory |= {"vae_tiling": True, "vae_slicing": True}
        backend = custom(str(schnell_folder), memory=memory)
        fail(monkeypatch, T5EncoderModel, FULL)
        with pytest.raises(BackendError, match=r"cannot encode .*CUDA out of memory") as error:
            draw(backend, request_for(backend))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no such kernel")])
    def test_what_paints_is_on_the_card_again(
        self,
        error: BaseException,
        schnell_folder: Path,
        card: Card,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Or a prompt that is known would be drawn by the processor."""
        there = card(40)
        backend = custom_one(schnell_folder, **APART)
        draw(backend, request_for(backend, "a boat"))
        fail(monkeypatch, T5EncoderModel, error)
        with pytest.raises((KeyboardInterrupt, BackendError)):
            draw(backend, request_for(backend, "a red hat"))
        assert there.names() == ["AutoencoderKL", "FluxTransformer2DModel"]

    def test_what_no_longer_goes_back_to_the_card_is_in_memory_no_more(
        self, schnell_folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half of it may be there: it is dropped, and a smaller plan goes on."""
        card(40)
        backend = custom_one(schnell_folder, **APART)
        draw(backend, request_for(backend, "a boat"))
        to, failures = FluxPipeline.to, [FULL]

        def full(pipeline: FluxPipeline, *given: Any, **named: Any) -> Any:
            if failures and str(given[0]) == "cuda" and pipeline.transformer is not None:
                raise failures.pop()
            return to(pipeline, *given, **named)

        monkeypatch.setattr(FluxPipeline, "to", full)
        (drawn,) = draw(backend, request_for(backend, "a red hat"))
        assert drawn.details["memory_plan"]["offload"] == "model"


class TestOtherNames:
    @pytest.mark.parametrize(("network", "method", "error"), FULL_IN, ids=lambda it: str(it)[:40])
    def test_a_smaller_plan_goes_on(
        self,
        network: type,
        method: str,
        error: Exception,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        backend = tiny(memory={"batch": 1})
        fail(monkeypatch, network, error, method=method)
        assert len(draw(backend, request_for(backend, "a red boat"))) == 1
        assert "goes on with" in capsys.readouterr().err

    @pytest.mark.parametrize("error", OTHER_NAMES_OF_FULL[:2], ids=["error", "cublas"])
    def test_loading_does_not_blame_the_weights(
        self, error: Exception, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*given: Any, **named: Any) -> Any:
            raise OSError("Unable to load weights from checkpoint file") from error

        backend = custom(str(schnell_folder))
        monkeypatch.setattr(FluxPipeline, "from_pretrained", full)
        with pytest.raises(BackendError, match=r"cannot load .*schnell-like") as raised:
            draw(backend, request_for(backend))
        assert "fetch it again" not in str(raised.value)

    def test_a_full_card_is_no_fault_of_a_lora(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        backend = tiny(write_lora(tmp_path / "ink.safetensors"))
        load, failures = FluxPipeline.load_lora_weights, [FULL]

        def full(*given: Any, **named: Any) -> Any:
            if failures:
                raise failures.pop()
            return load(*given, **named)

        monkeypatch.setattr(FluxPipeline, "load_lora_weights", full)
        drawn = draw(backend, request_for(backend, "a red boat"))
        assert [lora["weight"] for lora in drawn[0].details["loras"]] == [1.0]
        assert "goes on with" in capsys.readouterr().err


class TestBroken:
    """After some errors of CUDA every later call fails, in this process."""

    @pytest.mark.parametrize("network", [FluxTransformer2DModel, T5EncoderModel])
    @pytest.mark.parametrize("memory", [{}, {"text_encoders": "freed"}], ids=["kept", "freed"])
    def test_it_says_restart_the_kernel(
        self, network: type, memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = tiny(memory=memory)
        fail(monkeypatch, network, BROKEN)
        with pytest.raises(BackendError, match=r"illegal memory access.*restart the kernel"):
            draw(backend, request_for(backend, "a red boat"))

    def test_what_cleaning_up_meets_does_not_hide_it(
        self, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(pipeline: FluxPipeline) -> None:
            raise BROKEN

        backend = custom(str(schnell_folder))
        fail(monkeypatch, FluxTransformer2DModel, BROKEN)
        monkeypatch.setattr(FluxPipeline, "maybe_free_model_hooks", broken)
        with pytest.raises(BackendError, match=r"cannot draw 'a boat'.*restart the kernel"):
            draw(backend, request_for(backend))

    def test_later_calls_say_so_too(
        self, schnell_folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*given: Any) -> None:
            raise BROKEN

        card(40)
        backend = custom(str(schnell_folder))
        monkeypatch.setattr(torch.cuda, "mem_get_info", broken)
        with pytest.raises(BackendError, match="restart the kernel"):
            draw(backend, request_for(backend))

    def test_loading_says_so_too(
        self, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*given: Any, **named: Any) -> None:
            raise BROKEN

        backend = custom(str(schnell_folder))
        monkeypatch.setattr(FluxPipeline, "from_pretrained", broken)
        with pytest.raises(BackendError, match="restart the kernel") as error:
            draw(backend, request_for(backend))
        assert "fetch it again" not in str(error.value)


class TestSeveralFallbacks:
    def test_the_batch_is_halved_first_and_nothing_loaded_again(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 8})
        sizes = fail(monkeypatch, FluxTransformer2DModel, FULL, FULL)
        pipeline = backend._loaded.pipeline()
        requests = [request_for(backend, "a red boat", seed=seed, steps=1) for seed in range(9)]
        found = draw(backend, *requests)
        assert [one.request for one in found] == requests
        assert sizes == [8, 4, 2, 2, 2, 2, 1]
        assert [one.details["batch_size"] for one in found] == [2] * 8 + [1]
        assert {str(one.details["memory_plan"]) for one in found} == {"{}"}
        assert backend._loaded.pipeline() is pipeline
        said = capsys.readouterr().err
        assert said.count("\n") == 2
        assert "too small for 8 pictures at once" in said
        assert "this session draws 2 at once" in said

    def test_then_smaller_plans_one_after_the_other(
        self,
        schnell_folder: Path,
        card: Card,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        card(80)
        backend = custom_one(schnell_folder, quantization="none", offload="none")
        fail(monkeypatch, FluxTransformer2DModel, FULL, FULL)
        assert len(draw(backend, request_for(backend))) == 1
        said = capsys.readouterr().err
        plans = [line.rpartition(" ")[2] for line in said.splitlines()]
        assert plans == ["offloaded", "freed"]

    def test_a_smaller_plan_keeps_the_smaller_batch(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 2})
        sizes = fail(monkeypatch, FluxTransformer2DModel, FULL, FULL)
        requests = [request_for(backend, "a red boat", seed=seed, steps=1) for seed in range(2)]
        assert len(draw(backend, *requests)) == 2
        assert sizes == [2, 1, 1, 1]

    def test_decoding_halves_it_too(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 2, "text_encoders": "freed"})
        sizes = fail(monkeypatch, AutoencoderKL, FULL, method="decode")
        requests = [request_for(backend, "a red boat", seed=seed, steps=1) for seed in range(2)]
        assert len(draw(backend, *requests)) == 2
        assert sizes == [2, 1, 1]

    @pytest.mark.parametrize("moment", ["pipeline", "prompts"])
    def test_another_call_may_fall_back_at_any_moment(
        self, moment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To a plan whose painter has no encoders, as one thread's call waits for another's."""
        backend = tiny(memory={"batch": 1, "text_encoders": "freed"})
        expected = draw(backend, request_for(backend, "a red boat"))[0].image.tobytes()
        if moment == "pipeline":
            monkeypatch.setattr(DrawCall, "_is_phased", lambda call: False)
            backend._loaded._drop()
        else:
            denoise = DrawCall._denoise

            def other_waits(call: DrawCall, *given: Any) -> Any:
                assert not backend._loaded.lock.acquire(blocking=False)
                return denoise(call, *given)

            monkeypatch.setattr(DrawCall, "_denoise", other_waits)
        found = draw(backend, request_for(backend, "a red boat"))[0]
        assert found.image.tobytes() == expected

    def test_in_the_end_it_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = tiny(memory={"batch": 2})
        fail(monkeypatch, FluxTransformer2DModel, *[FULL] * 99)
        with pytest.raises(BackendError, match="CUDA out of memory"):
            draw(backend, request_for(backend, "a red boat"))


class TestSharing:
    @pytest.fixture
    def pair(self, schnell_folder: Path, dev_folder: Path) -> tuple[FluxBackend, ...]:
        return custom_one(schnell_folder), custom_one(dev_folder)

    def test_an_idle_model_gives_way_before_the_next_is_planned(
        self, pair: tuple[FluxBackend, ...], card: Card
    ) -> None:
        first, second = pair
        card(48)
        draw(first, request_for(first))
        draw(second, request_for(second))
        assert (plan_names(first), plan_names(second)) == ("whole", "whole")

    def test_and_comes_back_as_it_was(self, pair: tuple[FluxBackend, ...], card: Card) -> None:
        first, second = pair
        there = card(48)
        before = draw(first, request_for(first))[0]
        draw(second, request_for(second))
        again = draw(first, request_for(first))[0]
        assert again.image.tobytes() == before.image.tobytes()
        assert again.details["memory_plan"] == {}
        assert there.names().count("FluxTransformer2DModel") == 1

    def test_where_there_is_room_for_both_none_moves(
        self, pair: tuple[FluxBackend, ...], card: Card
    ) -> None:
        card(96)
        for backend in pair:
            draw(backend, request_for(backend))
        before = [backend._loaded._pipeline for backend in pair]
        for backend in pair:
            draw(backend, request_for(backend, seed=2))
        assert [backend._loaded._pipeline for backend in pair] == before

    def test_one_that_draws_does_not_give_way(
        self, pair: tuple[FluxBackend, ...], card: Card
    ) -> None:
        first, second = pair
        card(48)
        draw(first, request_for(first))
        pipeline = first._loaded._pipeline
        with first._loaded.lock:
            assert plan_names(second) != "whole"
        assert first._loaded._pipeline is pipeline

    def test_what_another_program_holds_moves_none(
        self, pair: tuple[FluxBackend, ...], card: Card
    ) -> None:
        """But for the moment when the second one is planned."""
        first, second = pair
        card(96).taken_gb = 16
        draw(first, request_for(first))
        draw(second, request_for(second))
        pipeline = second._loaded._pipeline
        draw(first, request_for(first, seed=2))
        draw(second, request_for(second, seed=2))
        assert second._loaded._pipeline is pipeline

    def test_a_call_goes_on_though_its_model_gave_way_meanwhile(
        self, schnell_folder: Path, dev_folder: Path, card: Card
    ) -> None:
        first = custom(str(schnell_folder), memory={"text_encoders": "freed", "batch": 1})
        second = custom_one(dev_folder)
        card(48)
        requests = [request_for(first, seed=seed) for seed in range(3)]
        expected = [one.image.tobytes() for one in draw(first, *requests)]
        found = []
        for one in first.draw(requests, None, threading.Event()):
            found.append(one.image.tobytes())
            draw(second, request_for(second))
        assert found == expected

    @pytest.mark.parametrize(("system", "shares"), [("Windows", [0.75]), ("Linux", [])])
    def test_on_windows_torch_gets_no_more_than_there_is(
        self,
        system: str,
        shares: list[float],
        schnell_folder: Path,
        card: Card,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """There the driver would go on in RAM, many times slower, and nothing would fail."""
        set_to: list[float] = []
        monkeypatch.setattr("platform.system", lambda: system)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *given: 0)
        monkeypatch.setattr(
            torch.cuda,
            "set_per_process_memory_fraction",
            lambda share, device: set_to.append(share),
        )
        card(64).taken_gb = 16
        backend = custom(str(schnell_folder))
        draw(backend, request_for(backend))
        assert set_to == shares
