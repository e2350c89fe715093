"""FluxBackend draws with real, random, tiny pipelines of schnell's and of dev's layout."""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from imagen_nb.backends import Drawn, Step
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.drawing.phases import batches_of
from imagen_nb.backends.flux.drawing.prompts import MAX_CACHED_PROMPTS
from imagen_nb.backends.flux.drawing.watch import Clock, work_of
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request.request import MAX_SEED
from imagen_nb.storage.record import Record
from tests.fixtures import flux_layout
from tests.fixtures.backend_calls import draw, request_for


def pixels(drawn: Drawn) -> np.ndarray[Any, Any]:
    return np.asarray(drawn.image)


def difference(one: Drawn, other: Drawn) -> int:
    """Of the most different pixel, in levels of 255."""
    return int(np.abs(pixels(one).astype(int) - pixels(other).astype(int)).max())


def count_frees(backend: FluxBackend, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows when the pipeline sends offloaded weights home: only on a GPU, called anywhere."""
    freed: list[str] = []
    kind: Any = type(backend._loaded.pipeline())
    free = kind.maybe_free_model_hooks
    monkeypatch.setattr(
        kind, "maybe_free_model_hooks", lambda self: (freed.append("freed"), free(self))
    )
    return freed


class TestPixels:
    def test_the_same_seed_gives_the_same_pixels(self, folder: Path) -> None:
        first, second = custom(str(folder)), custom(str(folder))
        request = request_for(first, seed=11)
        assert difference(draw(first, request)[0], draw(second, request)[0]) == 0

    def test_another_seed_or_prompt_gives_other_pixels(self, schnell_like: FluxBackend) -> None:
        request = request_for(schnell_like, seed=1)
        others = [replace(request, seed=2), replace(request, prompt="a red hat")]
        one, *rest = draw(schnell_like, request, *others)
        assert all(difference(one, other) > 0 for other in rest)

    def test_the_largest_seed_draws(self, schnell_like: FluxBackend) -> None:
        request = request_for(schnell_like, seed=MAX_SEED)
        assert draw(schnell_like, request)[0].request.seed == MAX_SEED

    def test_one_picture_is_the_bare_pipelines_pixel_for_pixel(self, folder: Path) -> None:
        backend = custom(str(folder))
        request = request_for(backend, "a tiny lighthouse", seed=7, width=40, steps=3)
        bare = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
        bare.set_progress_bar_config(disable=True)
        expected = bare(
            request.prompt,
            width=40,
            height=32,
            num_inference_steps=3,
            guidance_scale=request.guidance,
            max_sequence_length=request.max_sequence_length,
            generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]
        assert np.array_equal(pixels(draw(backend, request)[0]), np.asarray(expected))

    def test_a_batch_is_like_its_pictures_one_by_one(self, folder: Path) -> None:
        backend = custom(str(folder))
        requests = [
            request_for(backend, prompt, seed=seed)
            for prompt in ("a boat", "a red hat")
            for seed in range(5)
        ]
        together = draw(backend, *requests)
        alone = [draw(backend, request)[0] for request in requests]
        # Another batch size may round the last bits otherwise: one level of 255 at most.
        assert max(map(difference, together, alone)) <= 1

    def test_guidance_matters_to_dev_only(
        self, schnell_like: FluxBackend, dev_like: FluxBackend
    ) -> None:
        def differs(backend: FluxBackend) -> bool:
            request = request_for(backend, guidance=1.0)
            return difference(*draw(backend, request, replace(request, guidance=9.0))) > 0

        assert differs(dev_like)
        assert not differs(schnell_like)


class TestOrderAndBatches:
    def test_pictures_come_in_the_order_of_their_requests(self, schnell_like: FluxBackend) -> None:
        sizes = [(32, 32), (32, 32), (48, 32), (32, 48), (32, 32)]
        requests = [
            request_for(schnell_like, seed=seed, width=width, height=height)
            for seed, (width, height) in enumerate(sizes)
        ]
        drawn = draw(schnell_like, *requests)
        assert [one.request for one in drawn] == requests
        assert [one.image.size for one in drawn] == sizes

    def test_only_neighbours_that_are_alike_go_together(self, schnell_like: FluxBackend) -> None:
        small, large = request_for(schnell_like), request_for(schnell_like, width=48)
        runs = [small] * 3 + [large] * 2 + [small]
        assert [len(batch) for batch in batches_of(runs, 2)] == [2, 1, 2, 1]

    def test_every_picture_says_how_it_was_drawn(self, schnell_like: FluxBackend) -> None:
        drawn = draw(schnell_like, *(request_for(schnell_like, seed=i) for i in range(9)))
        assert [one.details["batch_size"] for one in drawn] == [8] * 8 + [1]
        assert [one.details["batch_index"] for one in drawn] == [*range(8), 0]
        details = drawn[0].details
        assert details["scheduler"] == "FlowMatchEulerDiscreteScheduler"
        assert (details["dtype"], details["device"], details["loras"]) == ("float32", "cpu", [])
        assert set(details["versions"]) == {"diffusers", "torch", "transformers"}
        assert set(details) <= set(Record.model_fields)

    def test_latency_is_the_pictures_share_of_its_batch(self, schnell_like: FluxBackend) -> None:
        drawn = draw(schnell_like, *(request_for(schnell_like, seed=i) for i in range(8)))
        assert len({one.latency_ms for one in drawn}) == 1
        assert 0 <= drawn[0].latency_ms < 60_000

    def test_the_first_batch_is_given_before_the_second_is_drawn(
        self, schnell_like: FluxBackend
    ) -> None:
        steps: list[Step] = []
        requests = [request_for(schnell_like, width=side) for side in (32, 48)]
        drawing = schnell_like.draw(requests, steps.append, Event())
        next(drawing)
        assert {step.indices for step in steps} == {range(1)}

    def test_nothing_to_draw_is_nothing_drawn(self, schnell_like: FluxBackend) -> None:
        assert draw(schnell_like) == []

    def test_two_threads_draw_with_one_backend(self, schnell_like: FluxBackend) -> None:
        requests = [request_for(schnell_like, seed=seed, steps=4) for seed in (1, 2)]
        alone = [draw(schnell_like, request)[0] for request in requests]
        drawn: dict[int, Drawn] = {}

        def work(index: int) -> None:
            drawn[index] = draw(schnell_like, requests[index])[0]

        threads = [Thread(target=work, args=(index,)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [difference(alone[i], drawn[i]) for i in (0, 1)] == [0, 0]

    def test_a_listener_may_draw_between_pictures(self, schnell_like: FluxBackend) -> None:
        requests = [request_for(schnell_like, seed=seed, width=32 + 4 * seed) for seed in (1, 2)]
        nested = [
            draw(schnell_like, requests[0])[0] for _ in schnell_like.draw(requests, None, Event())
        ]
        assert len(nested) == 2


class TestPrompts:
    def encoded(self, backend: FluxBackend) -> list[int]:
        """A list that grows by the number of prompts of each call of the real T5."""
        calls: list[int] = []
        backend._loaded.pipeline().text_encoder_2.register_forward_hook(
            lambda module, given, result: calls.append(len(given[0]))
        )
        return calls

    def test_each_prompt_is_encoded_once(self, schnell_like: FluxBackend) -> None:
        calls = self.encoded(schnell_like)
        requests = [request_for(schnell_like, seed=seed) for seed in range(10)]
        draw(schnell_like, *requests)
        draw(schnell_like, *requests)
        assert calls == [1]

    def test_each_prompt_is_encoded_by_itself(self, schnell_like: FluxBackend) -> None:
        """Or the last bits of a picture would depend on prompts that no record names."""
        calls = self.encoded(schnell_like)
        prompts = ["a boat", "a hat", "a boat", "a cat"]
        draw(schnell_like, *(request_for(schnell_like, prompt) for prompt in prompts))
        draw(schnell_like, *(request_for(schnell_like, prompt) for prompt in ("a hat", "a dog")))
        assert calls == [1, 1, 1, 1]

    def test_another_sequence_length_is_another_encoding(self, schnell_like: FluxBackend) -> None:
        calls = self.encoded(schnell_like)
        draw(schnell_like, request_for(schnell_like, max_sequence_length=8))
        draw(schnell_like, request_for(schnell_like, max_sequence_length=9))
        assert calls == [1, 1]

    def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago(
        self, schnell_like: FluxBackend
    ) -> None:
        calls = self.encoded(schnell_like)
        prompts = [f"boat {'a' * number}" for number in range(MAX_CACHED_PROMPTS + 1)]
        draw(schnell_like, *(request_for(schnell_like, prompt, steps=1) for prompt in prompts))
        assert len(schnell_like._loaded.prompts._known) == MAX_CACHED_PROMPTS
        calls.clear()
        draw(schnell_like, request_for(schnell_like, prompts[1]))  # the oldest that is still known
        draw(schnell_like, request_for(schnell_like, prompts[0]))  # now known, prompts[2] is not
        draw(schnell_like, request_for(schnell_like, prompts[1]))
        assert calls == [1]
        draw(schnell_like, request_for(schnell_like, prompts[2]))
        assert calls == [1, 1]

    @pytest.mark.parametrize("prompt", ["boat " * 300, "\x1b[31m red \x07", "舟", "שלום 🌊"])
    def test_no_prompt_reaches_a_log(
        self, prompt: str, schnell_like: FluxBackend, logged: list[logging.LogRecord]
    ) -> None:
        draw(schnell_like, request_for(schnell_like, prompt, max_sequence_length=4))
        assert logged == []


class TestProgress:
    def test_every_step_of_every_batch_is_told(self, schnell_like: FluxBackend) -> None:
        steps: list[Step] = []
        requests = [request_for(schnell_like, seed=seed, steps=3) for seed in range(10)]
        draw(schnell_like, *requests, progress=steps.append)
        reported = [(step.indices, step.step, step.steps, step.total) for step in steps]
        first, second = range(8), range(8, 10)
        assert reported == [(batch, n, 3, 10) for batch in (first, second) for n in (1, 2, 3)]

    def test_the_time_left_comes_down_to_none(self, schnell_like: FluxBackend) -> None:
        steps: list[Step] = []
        requests = [request_for(schnell_like, width=width, steps=3) for width in (32, 64)]
        draw(schnell_like, *requests, progress=steps.append)
        assert all(step.seconds_left > 0 for step in steps[:-1])
        assert steps[-1].seconds_left == 0

    def test_a_large_picture_counts_for_more_than_a_small_one(
        self, schnell_like: FluxBackend
    ) -> None:
        small, large = (request_for(schnell_like, width=side, height=side) for side in (16, 64))
        clock = Clock([small, large])
        clock.started -= 10  # seconds ago, and the small one is done: a seventeenth of the work
        clock.done += work_of(small)
        assert clock.seconds_left() == pytest.approx(160, abs=1)

    @pytest.mark.parametrize("kind", [LookupError, RuntimeError, KeyboardInterrupt])
    def test_what_a_listener_raises_passes_and_the_backend_stays_usable(
        self,
        kind: type[BaseException],
        schnell_like: FluxBackend,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(step: Step) -> None:
            raise kind("no such widget")

        request, freed = request_for(schnell_like), count_frees(schnell_like, monkeypatch)
        with pytest.raises(kind, match="no such widget") as error:
            draw(schnell_like, request, progress=broken)
        assert error.traceback[-1].name == "broken"  # whoever wrote it sees where
        assert freed == ["freed"]
        assert len(draw(schnell_like, request)) == 1


class TestCancel:
    def test_it_stops_at_the_next_step_and_the_backend_stays_usable(
        self, schnell_like: FluxBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = request_for(schnell_like, steps=5)
        before = draw(schnell_like, request)[0]
        freed = count_frees(schnell_like, monkeypatch)
        cancel, steps = Event(), list[Step]()

        def listen(step: Step) -> None:
            steps.append(step)
            cancel.set()

        with pytest.raises(Cancelled, match="cancelled"):
            list(schnell_like.draw([request], listen, cancel))
        assert (len(steps), freed) == (1, ["freed"])
        assert difference(before, draw(schnell_like, request)[0]) == 0

    def test_set_beforehand_nothing_is_drawn(self, schnell_like: FluxBackend) -> None:
        cancel, steps = Event(), list[Step]()
        cancel.set()
        with pytest.raises(Cancelled):
            list(schnell_like.draw([request_for(schnell_like)], steps.append, cancel))
        assert steps == []

    def test_pictures_drawn_before_it_are_given(self, schnell_like: FluxBackend) -> None:
        cancel = Event()
        requests = [request_for(schnell_like, width=width) for width in (32, 48)]
        drawing = schnell_like.draw(requests, None, cancel)
        assert next(drawing).image.size == (32, 32)
        cancel.set()
        with pytest.raises(Cancelled):
            next(drawing)

    @pytest.mark.parametrize("kind", [Cancelled, KeyboardInterrupt, RuntimeError])
    def test_the_batchs_tensors_go_though_the_error_is_kept(
        self, kind: type[BaseException], schnell_like: FluxBackend
    ) -> None:
        seen: list[weakref.ref[torch.Tensor]] = []

        def look(module: object, given: object, predicted: tuple[torch.Tensor]) -> None:
            seen.append(weakref.ref(predicted[0]))

        def stop(*given: object) -> None:
            if seen:  # in the second step, when the pipeline holds what the first one left
                raise kind("no such kernel, say")

        transformer = schnell_like._loaded.pipeline().transformer
        hooks = [
            transformer.register_forward_pre_hook(stop),
            transformer.register_forward_hook(look),
        ]
        with pytest.raises((Cancelled, KeyboardInterrupt, BackendError)) as kept:
            draw(schnell_like, request_for(schnell_like), progress=lambda step: None)
        for hook in hooks:
            hook.remove()
        gc.collect()
        assert [reference() for reference in seen] == [None]
        assert "no such kernel" in str(kept.value)


class TestBrokenPictures:
    def test_weights_that_are_not_numbers_are_an_error_with_prompt_and_seed(
        self, tmp_path: Path
    ) -> None:
        pipeline = flux_layout.new_pipeline(guidance_embeds=False)
        torch.nn.init.constant_(pipeline.transformer.proj_out.weight, float("nan"))
        backend = custom(str(flux_layout.saved(tmp_path / "nan", pipeline)))
        with pytest.raises(BackendError, match=r"'a boat' \(seed 11\) came out broken"):
            draw(backend, request_for(backend, seed=11))

    def test_an_all_black_picture_is_an_error(self, tmp_path: Path) -> None:
        pipeline = flux_layout.new_pipeline(guidance_embeds=False)
        torch.nn.init.constant_(pipeline.vae.decoder.conv_out.bias, -100.0)
        backend = custom(str(flux_layout.saved(tmp_path / "black", pipeline)))
        with pytest.raises(BackendError, match="all black"):
            draw(backend, request_for(backend))

    def test_the_pictures_before_a_broken_one_stay_valid(self, dev_like: FluxBackend) -> None:
        good = request_for(dev_like, guidance=3.5)
        drawing = dev_like.draw([good, replace(good, guidance=float("nan"))], None, Event())
        assert isinstance(next(drawing).image, Image.Image)
        with pytest.raises(BackendError, match="came out broken"):
            _ = next(drawing).image

    def test_the_prompt_is_escaped_and_cut_in_the_message(self, dev_like: FluxBackend) -> None:
        request = request_for(dev_like, "\x1b[31mred\n" + "boat " * 100)
        with pytest.raises(BackendError) as error:
            draw(dev_like, replace(request, guidance=float("nan")))
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 250

    def test_what_torch_cannot_do_is_one_line(self, copied: Path) -> None:
        backend = custom(str(copied))  # its own: a pipeline is shared by all who draw with a folder
        # Weights that do not fit one another, as of a pipeline put together by hand.
        backend._loaded.pipeline().transformer.context_embedder = torch.nn.Linear(5, 32)
        with pytest.raises(
            BackendError, match=r"cannot draw 'a boat' \(seed 1\) at 32×32"
        ) as error:
            draw(backend, request_for(backend))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("dtype", "advice"), [("float16", "too large for float16"), ("bfloat16", "fetch the weights")]
)
def test_the_advice_for_a_broken_picture_follows_its_type_of_numbers(
    dtype: str, advice: str, tmp_path: Path
) -> None:
    """Weights of 34 GB are not fetched again because a card has no bfloat16."""
    pipeline = flux_layout.new_pipeline(guidance_embeds=False)
    torch.nn.init.constant_(pipeline.transformer.proj_out.weight, float("nan"))
    folder = flux_layout.saved(tmp_path / "nan", pipeline)
    backend = custom(str(folder), memory={"dtype": dtype})
    with pytest.raises(BackendError, match=advice):
        draw(backend, request_for(backend))
