"""Hosted FLUX against a server that speaks Replicate's API: what is asked for, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from imagen_nb.backends import Step, made_with
from imagen_nb.backends.replicate.backend import MAX_AT_ONCE, ReplicateBackend, dev, schnell
from imagen_nb.backends.replicate.models import (
    FLUX_DEV_HOSTED,
    FLUX_SCHNELL_HOSTED,
    HOSTED_SIZES,
    HostedModel,
)
from imagen_nb.errors import BackendError, Cancelled, UsageError
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.replicate_server import (
    TOKEN,
    VERSION,
    Answer,
    Replicate,
    Running,
    backend_at,
    drawn,
)


@pytest.fixture
def server() -> Iterator[Replicate]:
    with Running() as state:
        yield state


def only_the_first(prediction: dict[str, Any]) -> dict[str, Any]:
    """The picture of seed 1 is drawn, the others never."""
    return {} if prediction["input"]["seed"] == 1 else {"status": "starting", "output": None}


@pytest.fixture
def backend(server: Replicate) -> ReplicateBackend:
    return backend_at(server)


class TestWhatIsAskedFor:
    def test_dev_is_asked_in_its_own_words(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        requested = {"seed": 11, "steps": 28, "guidance": 3.5, "width": 672, "height": 384}
        draw(backend, request_for(backend, "a boat", **requested))
        (order,) = server.asked("create")
        assert order.path == "/v1/models/black-forest-labs/flux-dev/predictions"
        assert order.body == {
            "input": {
                "prompt": "a boat",
                "seed": 11,
                "num_inference_steps": 28,
                "guidance": 3.5,
                "aspect_ratio": "16:9",
                "megapixels": "0.25",
                "num_outputs": 1,
                "output_format": "png",
                "go_fast": False,
            }
        }
        assert order.headers["cancel-after"] == "1m"

    def test_schnell_has_no_guidance(self, server: Replicate) -> None:
        schnell_there = backend_at(server, FLUX_SCHNELL_HOSTED)
        draw(schnell_there, request_for(schnell_there, steps=4))
        (order,) = server.asked("create")
        assert order.path == "/v1/models/black-forest-labs/flux-schnell/predictions"
        assert "guidance" not in order.body["input"]
        assert order.body["input"]["num_inference_steps"] == 4

    @pytest.mark.parametrize("size", HOSTED_SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_every_size_comes_as_it_was_asked_for(
        self, size: tuple[int, int], backend: ReplicateBackend
    ) -> None:
        (one,) = draw(backend, request_for(backend, width=size[0], height=size[1]))
        assert one.image.size == size == (one.request.width, one.request.height)

    @pytest.mark.parametrize(
        ("row", "fields", "says"),
        [
            (FLUX_DEV_HOSTED, {"width": 1000, "height": 1000}, "nearest is 1024x1024"),
            (FLUX_DEV_HOSTED, {"width": 640, "height": 480}, "nearest is 576x448"),
            (FLUX_DEV_HOSTED, {"width": 2048}, "width must be from 320 to 1536"),
            (FLUX_DEV_HOSTED, {"steps": 51}, "steps must be from 1 to 50"),
            (FLUX_DEV_HOSTED, {"guidance": 12}, "guidance must be from 0 to 10"),
            (FLUX_DEV_HOSTED, {"seed": 0}, "seed must be from 1 to"),
            (FLUX_DEV_HOSTED, {"max_sequence_length": 256}, "must be 512, not 256"),
            (FLUX_SCHNELL_HOSTED, {"steps": 5}, "steps must be from 1 to 4"),
            (FLUX_SCHNELL_HOSTED, {"guidance": 3.5}, "guidance must be 0, not 3.5"),
        ],
    )
    def test_what_cannot_be_asked_for_is_refused(
        self, row: HostedModel, fields: dict[str, object], says: str
    ) -> None:
        with pytest.raises(UsageError, match=says):
            request_for(ReplicateBackend(row), **fields)

    def test_a_size_that_nobody_checked_is_refused_before_anything_is_paid(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        good = request_for(backend)
        with pytest.raises(UsageError, match="nearest is 1024x1024"):
            draw(backend, good, replace(good, width=1008))
        assert server.heard == []


class TestWhatIsGiven:
    def test_the_picture_with_all_that_traces_it(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        (one,) = draw(backend, request_for(backend, seed=3))
        assert one.image.mode == "RGB"
        assert one.image.getpixel((0, 0)) == (3, 0, 200)
        assert one.latency_ms > 0
        assert one.details["options"] == {"go_fast": False} == made_with(backend)["options"]
        versions = one.details["versions"]
        assert (versions["prediction"], versions["hosted model"]) == ("p0", VERSION)
        assert versions["replicate"].startswith("1.")

    def test_many_are_drawn_at_once_and_given_in_order(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.polls = 3
        pictures = draw(backend, *(request_for(backend, seed=n) for n in range(1, 12)))
        assert [one.request.seed for one in pictures] == [*range(1, 12)]
        assert [one.image.getpixel((0, 0))[0] for one in pictures] == [*range(1, 12)]
        assert 1 < server.most_at_once <= MAX_AT_ONCE

    def test_another_size_than_asked_for_is_what_is_recorded(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        other = {"aspect_ratio": "1:1", "megapixels": "0.25", "seed": 1}
        server.will("file", Answer(200, drawn(other)))
        (one,) = draw(backend, request_for(backend))
        assert (one.request.width, one.request.height) == one.image.size == (512, 512)

    def test_webp_is_a_picture_too(self, server: Replicate, backend: ReplicateBackend) -> None:
        asked = {"aspect_ratio": "1:1", "megapixels": "0.25", "seed": 1}
        server.will("file", Answer(200, drawn(asked, "WEBP")))
        (one,) = draw(backend, request_for(backend, width=512, height=512))
        assert one.image.size == (512, 512)

    def test_the_token_goes_to_the_api_and_not_to_the_files(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        draw(backend, request_for(backend))
        assert server.asked("create")[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert all("authorization" not in one.headers for one in server.asked("file"))
        assert len(server.asked("file")) == 1

    def test_progress_hears_of_every_step_of_every_picture(self, backend: ReplicateBackend) -> None:
        steps: list[Step] = []
        draw(backend, *(request_for(backend, seed=n) for n in (1, 2)), progress=steps.append)
        assert [(one.indices.start, one.step) for one in steps] == [(0, 1), (0, 2), (1, 1), (1, 2)]
        assert steps[0].seconds_left > 0
        assert steps[-1].seconds_left == 0


class TestEndings:
    def test_cancel_cancels_at_replicate_and_keeps_what_was_finished(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        cancel = Event()
        server.ending = only_the_first
        pictures = backend.draw([request_for(backend, seed=n) for n in range(1, 9)], None, cancel)
        first = next(pictures)
        cancel.set()
        with pytest.raises(Cancelled):
            list(pictures)
        assert first.image.size == (1024, 1024)
        states = server.states()
        assert states.pop(1) == "succeeded"
        assert set(states.values()) == {"canceled"}
        assert len(states) < 7

    def test_who_stops_listening_cancels_as_well(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.ending = only_the_first
        pictures = backend.draw([request_for(backend, seed=n) for n in (1, 2)], None, Event())
        next(pictures)
        pictures.close()  # type: ignore[attr-defined]
        assert server.states() == {1: "succeeded", 2: "canceled"}

    def test_an_interrupt_cancels_as_well(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        def interrupt(step: Step) -> None:
            raise KeyboardInterrupt

        server.ending = only_the_first
        with pytest.raises(KeyboardInterrupt):
            draw(backend, *(request_for(backend, seed=n) for n in (1, 2)), progress=interrupt)
        assert server.states() == {1: "succeeded", 2: "canceled"}

    def test_a_picture_that_takes_too_long_is_cancelled(self, server: Replicate) -> None:
        server.polls = 10**6
        backend = backend_at(server, timeout=0.2)
        with pytest.raises(BackendError, match=r"within 0\.2 s: try again, or give it longer"):
            draw(backend, request_for(backend))
        assert server.predictions["p0"]["status"] == "canceled"

    def test_the_others_are_cancelled_when_one_cannot_be_drawn(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        def ending(prediction: dict[str, Any]) -> dict[str, Any]:
            bad = prediction["input"]["seed"] == 1
            return {"status": "failed" if bad else "starting", "error": "CUDA out of memory"}

        server.ending = ending
        with pytest.raises(BackendError, match=r"could not draw 'a boat' \(seed 1\): CUDA out"):
            draw(backend, *(request_for(backend, seed=n) for n in (1, 2, 3)))
        states = server.states()
        assert states.pop(1) == "failed"
        assert set(states.values()) <= {"canceled"}


class TestMaking:
    def test_nothing_is_asked_of_anybody_before_drawing(self) -> None:
        started = time.perf_counter()
        for backend in (schnell("x"), dev("x")):
            assert backend.availability().available
            assert backend.limits.sizes
        assert time.perf_counter() - started < 1

    def test_without_a_token_the_reason_says_where_to_get_one(self) -> None:
        state = dev().availability()
        assert not state.available
        assert "set REPLICATE_API_TOKEN" in state.reason
        with pytest.raises(BackendError, match="set REPLICATE_API_TOKEN"):
            draw(dev(), request_for(dev()))

    def test_the_token_may_be_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        assert dev().availability().available

    def test_without_the_library_the_reason_is_the_line_to_type(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imagen_nb.backends.replicate.backend.find_spec", lambda name: None)
        assert dev("x").availability().reason.endswith('pip install "imagen_nb[replicate]"')

    @pytest.mark.parametrize("timeout", [0, -1, True, "60", float("nan"), float("inf")])
    def test_a_timeout_is_seconds(self, timeout: float) -> None:
        with pytest.raises(UsageError, match="timeout must be seconds"):
            dev("x", timeout)

    def test_fast_is_yes_or_no(self) -> None:
        with pytest.raises(UsageError, match="true or false"):
            dev("x", go_fast="no")  # type: ignore[arg-type]
