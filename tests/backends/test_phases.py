"""Where weights move, many pictures go through each phase together: encoded, denoised, decoded."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from hypothesis import given
from hypothesis import strategies as st
from transformers import T5EncoderModel

from imagen_nb.backends import Drawn, Step
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.drawing import card, drawing
from imagen_nb.backends.flux.drawing.loading import load_pipeline
from imagen_nb.backends.flux.drawing.phases import MAX_PICTURES_PER_PART, keep_on_card, parts_of
from imagen_nb.backends.flux.drawing.prompts import MAX_CACHED_PROMPTS
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.pipelines import FLUX_1
from imagen_nb.errors import Cancelled
from imagen_nb.request.request import Request
from tests.fixtures.backend_calls import draw, request_for

APART = {"text_encoders": "freed"}


def letters(number: int) -> str:
    """A prompt of its own: the tokenizers of the tests know letters only."""
    return "boat " + "".join(chr(97 + int(digit)) for digit in str(number))


def bare_request(prompt: str, seed: int, width: int = 64) -> Request:
    """A request of no backend in particular."""
    return Request(
        prompt=prompt,
        seed=seed,
        steps=1,
        width=width,
        height=64,
        guidance=0.0,
        max_sequence_length=16,
        tags=(),
    )


def made(folder: Path, batch: int, **memory: Any) -> FluxBackend:
    return custom(str(folder), memory={"batch": batch, **memory})


def pictures(drawn: list[Drawn]) -> list[bytes]:
    return [one.image.tobytes() for one in drawn]


@pytest.fixture
def phases(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the real networks do, in its order: a word for each call of one."""
    said: list[str] = []
    for kind, method, word in (
        (T5EncoderModel, "forward", "encode"),
        (FluxTransformer2DModel, "forward", "denoise"),
        (AutoencoderKL, "decode", "decode"),
    ):
        plain = getattr(kind, method)

        def called(*given: Any, plain: Any = plain, word: str = word, **named: Any) -> Any:
            said.append(word)
            return plain(*given, **named)

        monkeypatch.setattr(kind, method, called)
    return said


class TestSamePictures:
    @pytest.mark.parametrize("encoders", ["freed", "offloaded"])
    @pytest.mark.parametrize("batch", [1, 3])
    def test_they_are_those_of_one_by_one_bit_for_bit_and_in_order(
        self, folder: Path, batch: int, encoders: str
    ) -> None:
        together = made(folder, batch, text_encoders=encoders)
        requests = [
            request_for(together, prompt, seed=seed)
            for prompt in ("a boat", "a red hat", "a cat")
            for seed in range(3)
        ]
        found = draw(together, *requests)
        plain = made(folder, batch)
        alone = [
            one
            for first in range(0, len(requests), batch)
            for one in draw(plain, *requests[first : first + batch])
        ]
        assert [one.request for one in found] == requests
        assert pictures(found) == pictures(alone)
        places = [(one.details["batch_size"], one.details["batch_index"]) for one in found]
        assert places == [(one.details["batch_size"], one.details["batch_index"]) for one in alone]

    def test_sizes_and_steps_may_change_on_the_way(self, schnell_folder: Path) -> None:
        backend = made(schnell_folder, 2, **APART)
        requests = [
            request_for(backend, width=width, height=height, steps=steps)
            for width, height, steps in ((32, 32, 1), (48, 32, 2), (32, 48, 2), (32, 32, 3))
        ]
        found = draw(backend, *requests)
        assert [one.image.size for one in found] == [(32, 32), (48, 32), (32, 48), (32, 32)]
        assert pictures(found) == pictures(draw(made(schnell_folder, 2), *requests))

    def test_what_another_session_drew_before_changes_nothing(self, schnell_folder: Path) -> None:
        backend = made(schnell_folder, 1, **APART)
        request = request_for(backend, "a boat")
        before = pictures(draw(backend, request))
        draw(backend, request_for(backend, "a cat"))
        assert pictures(draw(backend, request)) == before


class TestPhases:
    def test_all_are_encoded_then_denoised_then_decoded(
        self, schnell_folder: Path, phases: list[str]
    ) -> None:
        backend = made(schnell_folder, 1, **APART)
        requests = [request_for(backend, letters(n), steps=2) for n in range(4)]
        draw(backend, *requests)
        assert phases == ["encode"] * 4 + ["denoise"] * 8 + ["decode"] * 4

    def test_where_no_weights_move_each_picture_is_finished_before_the_next(
        self, schnell_folder: Path, phases: list[str]
    ) -> None:
        backend = made(schnell_folder, 1)
        draw(backend, *(request_for(backend, letters(n), steps=1) for n in range(3)))
        assert phases == ["encode", "denoise", "decode"] * 3

    def test_every_step_of_every_batch_is_told(self, schnell_folder: Path) -> None:
        backend, steps = made(schnell_folder, 2, **APART), list[Step]()
        requests = [request_for(backend, letters(n), steps=2) for n in range(4)]
        draw(backend, *requests, progress=steps.append)
        reported = [(step.indices, step.step, step.total) for step in steps]
        assert reported == [(range(first, first + 2), n, 4) for first in (0, 2) for n in (1, 2)]
        assert steps[-1].seconds_left == 0

    def test_the_latency_has_a_share_of_every_phase(self, schnell_folder: Path) -> None:
        backend = made(schnell_folder, 1, **APART)
        found = draw(backend, *(request_for(backend, letters(n)) for n in range(2)))
        assert all(0 < one.latency_ms < 60_000 for one in found)

    def test_the_latency_is_of_work_that_the_card_has_done(
        self, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A card's calls return before it has drawn: here it takes 5 s for each picture."""
        backend = made(schnell_folder, 1, **APART)
        monkeypatch.setattr(drawing, "Stopwatch", SlowCard)
        found = draw(backend, *(request_for(backend, seed=seed) for seed in range(2)))
        assert all(one.latency_ms > 10_000 for one in found)  # denoised, and decoded

    def test_a_cards_own_clock_is_read_once_the_work_is_done(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[str] = []

        class Moment:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self, stream: str) -> None:
                done.append(f"recorded on {stream}")

            def synchronize(self) -> None:
                done.append("waited")

            def elapsed_time(self, other: Moment) -> float:
                done.append("read")
                return 1500.0  # ms

        monkeypatch.setattr(torch.cuda, "Event", Moment)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"that of {device}")
        stopwatch = card.Stopwatch(torch.device("cuda:1"))
        stopwatch.stop()
        assert done == ["recorded on that of cuda:1"] * 2
        assert stopwatch.seconds() == 1.5
        assert done[2:] == ["waited", "read"]


class SlowCard(card.Stopwatch):
    """The clock of a card that is at 5 seconds of work when a call returns."""

    def seconds(self) -> float:
        return super().seconds() + 5


class TestBounds:
    def test_however_many_prompts_no_more_wait_than_the_cache_holds(
        self, schnell_folder: Path, phases: list[str]
    ) -> None:
        backend = made(schnell_folder, 8, **APART)
        requests = [
            request_for(backend, letters(n), steps=1) for n in range(MAX_CACHED_PROMPTS * 2 + 3)
        ]
        for _ in backend.draw(requests, None, Event()):
            assert len(backend._loaded.prompts._known) <= MAX_CACHED_PROMPTS
        assert phases.count("encode") == len(requests)
        order = [word for n, word in enumerate(phases) if not n or phases[n - 1] != word]
        assert order == ["encode", "denoise", "decode"] * 3

    def test_what_is_decoded_is_given_back(
        self, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = made(schnell_folder, 1, **APART)
        living: list[weakref.ref[torch.Tensor]] = []
        decode = AutoencoderKL.decode

        def watched(self: Any, latents: torch.Tensor, **named: Any) -> Any:
            living.append(weakref.ref(latents))
            return decode(self, latents, **named)

        monkeypatch.setattr(AutoencoderKL, "decode", watched)
        counts = []
        for _ in backend.draw([request_for(backend, seed=n) for n in range(5)], None, Event()):
            gc.collect()
            counts.append(sum(ref() is not None for ref in living))
        assert counts == [0] * 5

    @given(
        counts=st.lists(st.integers(1, 300), min_size=1, max_size=6),
        batch=st.integers(1, 64),
        prompts=st.integers(1, 200),
    )
    def test_parts_lose_nothing_and_keep_within_the_bounds(
        self, counts: list[int], batch: int, prompts: int
    ) -> None:
        requests = [
            bare_request(f"{n % prompts}", n, width=64 * (1 + side))
            for side, count in enumerate(counts)
            for n in range(count)
        ]
        plan = MemoryPlan(text_encoders="freed", batch=batch)
        found = list(parts_of(requests, plan, FLUX_1))
        assert [one for part in found for group in part for one in group] == requests
        for part in found:
            flat = [one for group in part for one in group]
            assert len(flat) <= MAX_PICTURES_PER_PART
            assert len({one.prompt for one in flat}) <= MAX_CACHED_PROMPTS
            assert all(len(group) <= batch for group in part)

    def test_where_no_weights_move_a_part_is_one_batch(self) -> None:
        requests = [bare_request("a", n) for n in range(5)]
        assert [len(part) for part in parts_of(requests, MemoryPlan(batch=2), FLUX_1)] == [1, 1, 1]


class TestStopping:
    def test_what_was_denoised_before_a_cancel_is_decoded_and_given(
        self, schnell_folder: Path
    ) -> None:
        backend, cancel = made(schnell_folder, 1, **APART), Event()
        requests = [request_for(backend, seed=seed, steps=2) for seed in range(4)]
        given: list[int] = []

        def listen(step: Step) -> None:
            if step.indices.start == 2:
                cancel.set()

        with pytest.raises(Cancelled):
            given.extend(one.request.seed for one in backend.draw(requests, listen, cancel))
        assert given == [0, 1]
        assert len(draw(backend, *requests)) == 4

    @pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
    def test_what_a_listener_raises_passes(
        self, kind: type[BaseException], schnell_folder: Path
    ) -> None:
        def broken(step: Step) -> None:
            raise kind("no such widget")

        backend = made(schnell_folder, 1, **APART)
        with pytest.raises(kind, match="no such widget"):
            draw(backend, request_for(backend), progress=broken)
        assert len(draw(backend, request_for(backend))) == 1


class TestStaying:
    """Model offload needs a card; that its end of a call is held back does not."""

    def test_weights_go_home_after_a_phase_and_not_after_each_call(
        self, schnell_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = load_pipeline(custom(str(schnell_folder)).row, MemoryPlan(dtype="float32"))
        freed: list[str] = []
        monkeypatch.setattr(
            type(pipeline), "maybe_free_model_hooks", lambda self: freed.append("freed")
        )
        with keep_on_card(pipeline, MemoryPlan(offload="model", text_encoders="offloaded")):
            for _ in range(2):
                pipeline(
                    "a boat", width=32, height=32, num_inference_steps=1, max_sequence_length=8
                )
            assert freed == []
        pipeline("a boat", width=32, height=32, num_inference_steps=1, max_sequence_length=8)
        assert freed == ["freed"]

    def test_without_model_offload_nothing_is_held_back(self, schnell_folder: Path) -> None:
        pipeline = load_pipeline(custom(str(schnell_folder)).row, MemoryPlan(dtype="float32"))
        with keep_on_card(pipeline, MemoryPlan()):
            assert "maybe_free_model_hooks" not in vars(pipeline)


def test_pixels_are_the_pipelines_own(schnell_folder: Path) -> None:
    """Decoding apart does what the end of a pipeline's call does."""
    backend = made(schnell_folder, 2, **APART)
    requests = [request_for(backend, "a boat", seed=seed, width=40) for seed in (1, 2)]
    bare = load_pipeline(backend.row, MemoryPlan(dtype="float32"))
    expected = bare(
        ["a boat"] * 2,
        width=40,
        height=32,
        num_inference_steps=2,
        guidance_scale=0.0,
        max_sequence_length=requests[0].max_sequence_length,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in (1, 2)],
    ).images
    found = draw(backend, *requests)
    differences = [
        np.abs(np.asarray(one.image).astype(int) - np.asarray(other).astype(int)).max()
        for one, other in zip(found, expected, strict=True)
    ]
    assert max(differences) <= 1  # the prompts were encoded together there
