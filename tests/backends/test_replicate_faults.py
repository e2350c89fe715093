"""What Replicate may answer instead: what passes is asked again, the rest is one line, no token."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

import httpx
import pytest
from PIL import Image

from imagen_nb.backends.replicate.backend import ReplicateBackend
from imagen_nb.backends.replicate.models import FLUX_DEV_HOSTED
from imagen_nb.errors import BackendError, Cancelled, ConfigError, UsageError
from imagen_nb.storage.record import Record
from imagen_nb.studio.studio import Studio
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.replicate_server import (
    QUICK,
    TOKEN,
    Answer,
    Replicate,
    Running,
    backend_at,
    drawn,
)

THROTTLED = {"detail": "Request was throttled. Your rate limit resets in ~9s."}
NSFW = "All generated images contained NSFW content. Try running it again with another prompt."


@pytest.fixture
def server() -> Iterator[Replicate]:
    with Running() as state:
        yield state


@pytest.fixture
def backend(server: Replicate) -> ReplicateBackend:
    return backend_at(server)


def png(size: tuple[int, int], colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


class TestWhatPasses:
    @pytest.mark.parametrize("what", ["create", "get", "file"])
    @pytest.mark.parametrize(
        "answers",
        [
            [Answer(500, {"detail": "oh"})] * 3,
            [Answer(502, b"<html>Bad gateway</html>"), Answer(503), Answer(504)],
            [Answer(429, THROTTLED, (("Retry-After", "0"),))] * 9,
            [Answer(200, b"x" * 2000, torn=True)] * 2,
        ],
        ids=["500", "gateways", "429 more often than attempts", "torn"],
    )
    def test_it_is_tried_again_until_it_passes(
        self, what: str, answers: list[Answer], server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.will(what, *answers)
        (one,) = draw(backend, request_for(backend, seed=5))
        assert one.image.getpixel((0, 0)) == (5, 0, 200)
        assert len(server.asked(what)) >= len(answers) + 1

    @pytest.mark.parametrize("what", ["create", "get", "file"])
    @pytest.mark.parametrize(
        ("answer", "seconds"),
        [
            (Answer(429, THROTTLED, (("Retry-After", "7"),)), 7),
            (Answer(429, THROTTLED), 9),  # only the body says so
            (Answer(503, None, (("Retry-After", "4"),)), 4),
        ],
    )
    def test_who_asks_to_be_left_alone_is(
        self, what: str, answer: Answer, seconds: float, server: Replicate
    ) -> None:
        waits: list[float] = []
        pace = replace(QUICK, sleep=lambda event, seconds: waits.append(seconds))
        server.will(what, answer)
        backend = backend_at(server, pace=pace)
        draw(backend, request_for(backend))
        assert [one for one in waits if one >= 1] == [seconds]

    def test_waits_grow_and_differ(self, server: Replicate) -> None:
        waits: list[float] = []
        pace = replace(QUICK, again=1, longest=20, sleep=lambda event, s: waits.append(s))
        server.will("create", *[Answer(500)] * 4)
        backend = backend_at(server, pace=pace, timeout=60)
        draw(backend, request_for(backend))
        grown = waits[:4]
        assert len(set(grown)) == 4
        assert all(0 <= wait <= 2**n for n, wait in enumerate(grown))

    def test_what_does_not_pass_is_one_line_after_some_attempts(
        self, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.will("create", *[Answer(500)] * 99)
        with pytest.raises(BackendError, match=r"is in trouble \(HTTP 500\): try again later"):
            draw(backend, request_for(backend))
        assert len(server.asked("create")) == QUICK.attempts

    def test_nobody_waits_longer_than_the_picture_may_take(self, server: Replicate) -> None:
        server.will("create", Answer(429, THROTTLED, (("Retry-After", "600"),)))
        backend = backend_at(server, timeout=30)
        with pytest.raises(BackendError, match=r"asked too often \(HTTP 429\): try again in 600 s"):
            draw(backend, request_for(backend))

    def test_a_wait_ends_when_it_is_cancelled(self, server: Replicate) -> None:
        cancel = Event()

        def sleep(event: Event, seconds: float) -> None:
            cancel.set()
            assert event.wait(10)  # the real one, which ends by being told

        server.will("create", Answer(429, THROTTLED, (("Retry-After", "8"),)))
        backend = backend_at(server, pace=replace(QUICK, sleep=sleep))
        with pytest.raises(Cancelled):
            list(backend.draw([request_for(backend)], None, cancel))

    def test_a_server_that_is_not_there_is_one_line(self) -> None:
        backend = ReplicateBackend(
            FLUX_DEV_HOSTED, TOKEN, 5, base_url="http://127.0.0.1:9", pace=QUICK
        )
        with pytest.raises(BackendError, match=r"Replicate cannot be reached \(.*refused"):
            draw(backend, request_for(backend))

    def test_an_answer_that_never_comes_is_one_line(
        self, server: Replicate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hang(transport: object, request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("The read operation timed out")

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", hang)
        backend = backend_at(server)
        with pytest.raises(BackendError, match=r"cannot be reached .*timed out"):
            draw(backend, request_for(backend))


REFUSALS = {
    "wrong token": (
        Answer(401, {"detail": "Invalid token."}),
        "refuses the token: check REPLICATE",
    ),
    "no credit": (
        Answer(402, {"title": "Insufficient credit"}),
        "out of credit: buy some at https",
    ),
    "no right": (Answer(403, {"detail": "no"}), "may not run this model"),
    "no model": (Answer(404, {"detail": "Not found"}), "no such model"),
    "other inputs": (Answer(422, {"detail": "input.seed: bad"}), "it says: input.seed: bad"),
    "no JSON": (Answer(201, b"<html>"), "the answer is not Replicate's"),
    "other JSON": (Answer(201, {"hello": 1}), "the answer is not Replicate's"),
    "a list": (Answer(201, [1]), "the answer is not Replicate's"),
    "null": (Answer(201, b"null"), "the answer is not Replicate's"),
    "an argument of its own": (
        Answer(201, {"__pydantic_self__": 1}),
        "the answer is not Replicate's",
    ),
    "an id that is no text": (
        Answer(201, {"id": "\ud800", "status": "starting", "version": "v", "model": "m"}),
        "the answer is not Replicate's",
    ),
    "a redirect": (Answer(302, None, (("Location", "/login"),)), "the answer is not Replicate's"),
    "a list of an error": (Answer(400, [1]), "the answer is not Replicate's"),
    "null of an error": (Answer(400, b"null"), "the answer is not Replicate's"),
    "JSON without end": (Answer(201, b"[" * 100_000), "the answer is not Replicate's"),
}
FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "unsafe": ({"status": "failed", "error": NSFW}, "safety checker refuses 'a boat'"),
    "failed": ({"status": "failed", "error": "CUDA\nout of memory\x1b[31m"}, "CUDA out of memory?"),
    "failed without a word": ({"status": "failed"}, "no reason given"),
    "cancelled by somebody": ({"status": "canceled"}, "was cancelled at Replicate"),
    "no output": ({"output": None}, "gives no picture"),
    "an empty list": ({"output": []}, "gives no picture"),
    "strange output": ({"output": [{"a": 1}]}, "gives no picture"),
    "no address": ({"output": ["ftp://x/y.png"]}, "no address of Replicate's"),
    "no URL": ({"output": ["http://x:port/y.png"]}, "no address of Replicate's"),
    "no host": ({"output": ["http://a..b/y.png"]}, "no address of Replicate's"),
    "no port": ({"output": [f"http://x:{10**21}/y.png"]}, "no address of Replicate's"),
    "no text": ({"output": ["http://x/\ud800.png"]}, "no address of Replicate's"),
}
FILES = {
    "gone": (Answer(404), "HTTP 404"),
    "no picture": (Answer(200, b"<html>hello</html>"), "no whole picture"),
    "empty": (Answer(200, b""), "no whole picture"),
    "half a picture": (Answer(200, png((1024, 1024))[:1500]), "no whole picture"),
    "another format": (Answer(200, b"GIF89a" + b"\0" * 50), "no whole picture"),
    "a giant": (Answer(200, png((5000, 5000))), "no whole picture"),
    "black": (Answer(200, png((1024, 1024), "black")), "all black"),
}


class TestOneLine:
    def refused(self, backend: ReplicateBackend) -> str:
        with pytest.raises(BackendError) as raised:
            draw(backend, request_for(backend))
        assert str(raised.value).isprintable()
        return str(raised.value)

    @pytest.mark.parametrize(("answer", "says"), REFUSALS.values(), ids=REFUSALS)
    def test_of_a_refusal(
        self, answer: Answer, says: str, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.will("create", answer)
        assert says in self.refused(backend)
        assert len(server.asked("create")) == 1

    @pytest.mark.parametrize(("ending", "says"), FAILURES.values(), ids=FAILURES)
    def test_of_a_prediction_that_failed(
        self, ending: dict[str, Any], says: str, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.ending = lambda prediction: ending
        assert says in self.refused(backend)

    @pytest.mark.parametrize(("answer", "says"), FILES.values(), ids=FILES)
    def test_of_a_file_that_is_no_picture(
        self, answer: Answer, says: str, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.will("file", answer)
        assert says in self.refused(backend)

    def test_of_a_file_without_end(
        self, server: Replicate, backend: ReplicateBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("imagen_nb.backends.replicate.api._MAX_FILE_BYTES", 1000)
        assert "more than 1000 bytes" in self.refused(backend)


class TestFaultsOfThisPackage:
    """An error that our own code raises is no answer of a server's: it keeps its name."""

    @pytest.mark.parametrize("kind", [AttributeError, TypeError, KeyError, ValueError])
    @pytest.mark.parametrize(
        ("function", "what"), [("refuse_throttled", "create"), ("error_of_status", "file")]
    )
    def test_it_comes_out_as_it_is(
        self,
        kind: type[Exception],
        function: str,
        what: str,
        server: Replicate,
        backend: ReplicateBackend,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(*given: object) -> None:
            raise kind("a name that is none")

        monkeypatch.setattr(f"imagen_nb.backends.replicate.api.{function}", broken)
        server.will(what, Answer(404))
        with pytest.raises(kind, match="a name that is none") as raised:
            draw(backend, request_for(backend))
        assert raised.traceback[-1].name == "broken"


def own(error: BaseException) -> TracebackType | None:
    """Where it came from, without the frames of this test, which know the token."""
    frame = error.__traceback__
    while frame and "/imagen_nb/backends/" not in frame.tb_frame.f_code.co_filename:
        frame = frame.tb_next
    return frame


class TestToken:
    """It shows nowhere, though the server should say it."""

    def spoken(self, error: BaseException, backend: object) -> str:
        frames = traceback.TracebackException.from_exception(
            error.with_traceback(own(error)), capture_locals=True
        )
        return "".join(frames.format()) + repr(error) + repr(backend) + str(vars(backend))

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(401, {"detail": f"Bearer {TOKEN} is no token", "title": TOKEN}),
            Answer(400, {"title": f"{TOKEN}"}),
            Answer(500, {"detail": TOKEN}),
            Answer(201, {"id": TOKEN, "status": TOKEN}),
        ],
    )
    def test_in_no_error(
        self, answer: Answer, server: Replicate, backend: ReplicateBackend
    ) -> None:
        server.will("create", *[answer] * 9)
        with pytest.raises(BackendError) as raised:
            draw(backend, request_for(backend))
        assert TOKEN not in self.spoken(raised.value, backend)

    @pytest.mark.parametrize("kind", [RuntimeError, AssertionError, TypeError, Exception])
    @pytest.mark.parametrize("said", [f"bad header: Bearer {TOKEN}", repr(f"{TOKEN}".encode())])
    def test_in_no_error_that_the_client_does_not_document(
        self,
        kind: type[Exception],
        said: str,
        backend: ReplicateBackend,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(transport: object, request: httpx.Request) -> httpx.Response:
            raise kind(said)

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", broken)
        with pytest.raises(BackendError, match=rf"client failed \({kind.__name__}: .*…") as raised:
            draw(backend, request_for(backend))
        assert TOKEN not in self.spoken(raised.value, backend)

    def test_in_no_cause_of_such_an_error(
        self, backend: ReplicateBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(transport: object, request: httpx.Request) -> httpx.Response:
            raise RuntimeError("cannot send") from ValueError(f"Bearer {TOKEN}")

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", broken)
        with pytest.raises(BackendError, match=r"client failed \(RuntimeError: cannot") as raised:
            draw(backend, request_for(backend))
        assert TOKEN not in self.spoken(raised.value, backend)

    def test_in_no_error_of_making_the_client(
        self, backend: ReplicateBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(token: str, **options: object) -> None:
            raise RuntimeError(f"no token: {token}")

        monkeypatch.setattr("replicate.client.Client", broken)
        with pytest.raises(
            BackendError, match=r"client failed \(RuntimeError: no token: …"
        ) as raised:
            draw(backend, request_for(backend))
        assert TOKEN not in self.spoken(raised.value, backend)

    def test_in_no_failure(self, server: Replicate, backend: ReplicateBackend) -> None:
        server.ending = lambda prediction: {"status": "failed", "error": f"bad {TOKEN}"}
        with pytest.raises(BackendError, match=r"bad …$"):
            draw(backend, request_for(backend))

    @pytest.mark.parametrize("token", [f"{TOKEN}\nX-Other: 1", f"{TOKEN}é", f"a {TOKEN}"])
    def test_not_when_it_is_none(self, token: str, server: Replicate) -> None:
        backend = ReplicateBackend(FLUX_DEV_HOSTED, token, base_url=server.url)
        with pytest.raises(BackendError, match="letters that none has") as raised:
            draw(backend, request_for(backend))
        assert TOKEN not in self.spoken(raised.value, backend)
        assert server.heard == []

    @pytest.mark.parametrize("control", ["\n", "\x07", "\0", "\x85"])
    def test_not_when_a_control_character_is_in_the_backends_mapping(
        self, control: str, server: Replicate, studio_at: Callable[..., Studio]
    ) -> None:
        mapping = {"type": "flux-dev-replicate", "api_token": f"{TOKEN}{control}x"}
        with pytest.raises(ConfigError, match="is text without control characters") as raised:
            studio_at(server, backend=mapping)
        assert TOKEN not in str(raised.value)
        assert server.heard == []

    @pytest.mark.parametrize("control", ["\n", "\x07", "\0", "\x85"])
    def test_a_control_character_in_it_is_said_before_anything_is_drawn(self, control: str) -> None:
        state = ReplicateBackend(FLUX_DEV_HOSTED, f"{TOKEN}{control}x").availability()
        assert not state.available
        assert "letters that none has: copy it from https" in state.reason
        assert TOKEN not in state.reason

    @pytest.mark.parametrize("token", [[TOKEN], {"a": TOKEN}, 12, True])
    def test_what_is_no_text_is_refused(self, token: Any) -> None:
        with pytest.raises(UsageError, match="api_token is text") as raised:
            ReplicateBackend(FLUX_DEV_HOSTED, token)
        assert TOKEN not in str(raised.value)

    def test_spaces_around_it_are_not_part_of_it(self, server: Replicate) -> None:
        backend = ReplicateBackend(FLUX_DEV_HOSTED, f" {TOKEN}\n", base_url=server.url, pace=QUICK)
        assert len(draw(backend, request_for(backend))) == 1

    def test_in_no_log(
        self, server: Replicate, backend: ReplicateBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server.will("get", Answer(503))
        draw(backend, request_for(backend))
        assert "HTTP Request: POST" in caplog.text  # they do log
        assert TOKEN not in caplog.text

    def test_in_no_file_and_no_history(
        self, server: Replicate, studio_at: Callable[..., Studio], capfd: pytest.CaptureFixture[str]
    ) -> None:
        studio = studio_at(server)
        picture = studio.generate("a boat", seed=5, width=512, height=512)
        written = [one.read_bytes() for one in picture.path.parent.rglob("*") if one.is_file()]
        said = capfd.readouterr()
        shown = repr(studio) + repr(studio.settings) + str([*studio.settings.shown()])
        shown += studio.history(sidecar=True).to_json(date_format="iso") + said.out + said.err
        assert len(written) >= 3  # picture, sidecar, catalog
        assert all(TOKEN.encode() not in one for one in written)
        assert TOKEN not in shown


class TestStudio:
    def test_the_sidecar_says_what_drew_and_what_it_cost(
        self, server: Replicate, studio_at: Callable[..., Studio]
    ) -> None:
        picture = studio_at(server).generate("a boat", seed=5, width=512, height=512)
        record = Record.from_sidecar(picture.sidecar_path.read_text())
        assert record.backend == "flux-dev-replicate"
        assert record.options == {"go_fast": False}
        assert record.versions["prediction"] == "p0"
        assert record.cost_usd_estimate == 0.025

    def test_the_price_may_be_configured(
        self, server: Replicate, studio_at: Callable[..., Studio]
    ) -> None:
        studio = studio_at(server, cost={"prices": {"flux-dev-replicate": 0.5}})
        picture = studio.generate("a boat", seed=5, width=512, height=512)
        assert picture.record.cost_usd_estimate == 0.5

    def test_a_picture_of_today_is_not_paid_twice(
        self, server: Replicate, studio_at: Callable[..., Studio]
    ) -> None:
        studio = studio_at(server)
        first = studio.generate("a boat", seed=5, width=512, height=512)
        second = studio.generate("a boat", seed=5, width=512, height=512, again=False)
        assert second.path == first.path
        assert len(server.asked("create")) == 1

    def test_reproduce_says_nothing_when_the_pixels_are_the_same(
        self, server: Replicate, studio_at: Callable[..., Studio], capfd: pytest.CaptureFixture[str]
    ) -> None:
        studio = studio_at(server)
        again = studio.reproduce(studio.generate("a boat", seed=5, width=512, height=512))
        assert again.identical is True
        assert again.differs == ()
        assert "reproduce" not in capfd.readouterr().err

    def test_reproduce_says_that_hosted_pixels_may_differ(
        self, server: Replicate, studio_at: Callable[..., Studio], capfd: pytest.CaptureFixture[str]
    ) -> None:
        studio = studio_at(server)
        picture = studio.generate("a boat", seed=5, width=512, height=512)
        other = {"aspect_ratio": "1:1", "megapixels": "0.25", "seed": 6}
        server.will("file", Answer(200, drawn(other)))
        again = studio.reproduce(picture)
        assert again.identical is False
        assert "other pixels, and Replicate says of no seed" in capfd.readouterr().err

    def test_a_panel_takes_the_sides_together(
        self, server: Replicate, studio_at: Callable[..., Studio]
    ) -> None:
        from imagen_nb.widgets.controls import Controls
        from imagen_nb.widgets.form import Form

        form = Form(prompt="a boat")
        controls = Controls(form, studio_at(server))
        assert form.backend == "flux-dev-replicate"
        form.width, form.height = 1344, 768
        assert controls.problems() == {}
        form.width = 1300
        said = controls.problems()
        assert set(said) == {"width", "height"}
        assert "nearest is 1344x768" in said["width"]

    @pytest.mark.slow
    def test_ctrl_c_at_the_command_cancels_at_replicate(
        self, server: Replicate, registered: Path, tmp_path: Path
    ) -> None:
        server.polls = 10**6
        code = "from imagen_nb.cli import main; main()"
        command = ["generate", "a boat", "--backend", "flux-schnell-replicate"]
        where = {"REPLICATE_API_TOKEN": TOKEN, "REPLICATE_BASE_URL": server.url}
        path = os.pathsep.join([str(registered), os.environ.get("PYTHONPATH", "")])
        running = subprocess.Popen(
            [sys.executable, "-c", code, *command, "--output", str(tmp_path / "out")],
            env={**os.environ, **where, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            # Tests in the background of a shell ignore Ctrl-C, and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            until(lambda: server.asked("get"))
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=120)
        finally:
            running.kill()
            running.wait()
        assert running.returncode == 130
        assert b"interrupted" in said
        assert TOKEN.encode() not in said
        assert [one["status"] for one in server.predictions.values()] == ["canceled"]


def until(condition: Callable[[], object]) -> None:
    """Wait for it, as long as a busy machine may need."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")
