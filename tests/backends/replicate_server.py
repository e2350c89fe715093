"""A server that speaks as much of Replicate's API as drawing needs, and errs as it is told."""

from __future__ import annotations

import io
import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from imagen_nb.backends.replicate.api import Pace
from imagen_nb.backends.replicate.backend import ReplicateBackend
from imagen_nb.backends.replicate.models import FLUX_DEV_HOSTED, SIZES, Hosted

QUICK = Pace(poll=0.005, again=0.001, longest=0.002)
TOKEN = "r8_SecretOfTheTests0123456789"
VERSION = "93d72f81bd019dde2bfcba9585a6f74e600b13a43a96eb01a42da54f5ab4df6a"


@dataclass(frozen=True)
class Answer:
    """One answer instead of the usual one. `torn`: after so many bytes of the body, none at all."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    torn: bool = False


@dataclass
class Heard:
    """One request as it came."""

    what: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Replicate:
    """The server's state. `polls`: how often a prediction is asked for before it has ended.

    `script`: by kind of request (create, get, cancel, file), the answers to come before the usual
    ones; `ending`: what a prediction is changed by when it ends.
    """

    polls: int = 1
    script: dict[str, deque[Answer]] = field(default_factory=dict)
    ending: Callable[[dict[str, Any]], dict[str, Any]] = lambda prediction: {}
    heard: list[Heard] = field(default_factory=list)
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    running: int = 0
    most_at_once: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def will(self, what: str, *answers: Answer) -> None:
        self.script[what] = deque(answers)

    def asked(self, what: str) -> list[Heard]:
        return [one for one in self.heard if one.what == what]

    def states(self) -> dict[int, str]:
        """How each picture stands, by its seed."""
        there = self.predictions.values()
        return {one["input"]["seed"]: one["status"] for one in there}

    def answer(self, what: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        with self.lock:
            self.heard.append(Heard(what, path, headers, body))
            if scripted := self.script.get(what):
                return scripted.popleft()
            if what != "file" and headers.get("authorization") != f"Bearer {TOKEN}":
                return Answer(401, {"title": "Unauthenticated", "detail": "Invalid token."})
            usual: Callable[[str, Any], Answer] = getattr(self, f"_{what}")
            return usual(path, body)

    def _create(self, path: str, body: Any) -> Answer:
        name = f"p{len(self.predictions)}"
        self.predictions[name] = {
            "id": name,
            "model": "/".join(path.split("/")[3:5]),
            "version": VERSION,
            "status": "starting",
            "input": body["input"],
            "output": None,
            "logs": "",
            "error": None,
            "metrics": {},
            "created_at": "2026-11-25T08:00:00Z",
            "urls": {},
        }
        self.looks[name] = 0
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        return Answer(201, self.predictions[name])

    def _get(self, path: str, body: Any) -> Answer:
        prediction = self.predictions[path.split("/")[3]]
        name = prediction["id"]
        self.looks[name] += 1
        if prediction["status"] == "starting" and self.looks[name] >= self.polls:
            output = [f"{self.url}/files/{name}.png"]
            prediction.update({"status": "succeeded", "output": output} | self.ending(prediction))
            self.running -= 1
        return Answer(200, prediction)

    def _cancel(self, path: str, body: Any) -> Answer:
        prediction = self.predictions[path.split("/")[3]]
        prediction["status"] = "canceled"
        self.running -= 1
        return Answer(200, prediction)

    def _file(self, path: str, body: Any) -> Answer:
        asked = self.predictions[path.split("/")[2].removesuffix(".png")]["input"]
        return Answer(200, drawn(asked), (("Content-Type", "image/png"),))


def backend_at(
    server: Replicate, row: Hosted = FLUX_DEV_HOSTED, pace: Pace = QUICK, timeout: float = 20
) -> ReplicateBackend:
    """A backend that asks this server, and does not wait long."""
    return ReplicateBackend(row, TOKEN, timeout, base_url=server.url, pace=pace)


def drawn(asked: dict[str, Any], form: str = "PNG") -> bytes:
    """A picture of the size that is asked for, its colour from the seed."""
    wanted = {name: asked[name] for name in ("aspect_ratio", "megapixels")}
    (size,) = [size for size, words in SIZES.items() if words == wanted]
    seed = asked["seed"]
    file = io.BytesIO()
    Image.new("RGB", size, (seed % 256, seed // 256 % 256, 200)).save(file, form)
    return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replicate: Replicate

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("content-length", 0)))
        what = "cancel" if self.path.endswith("/cancel") else "create"
        self._send(what, json.loads(text) if text else None)

    def do_GET(self) -> None:
        self._send("file" if self.path.startswith("/files/") else "get", None)

    def _send(self, what: str, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.replicate.answer(what, self.path, headers, body)
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("Content-Length", str(len(data)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if answer.torn else data)
        self.close_connection = self.close_connection or answer.torn

    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr."""


class Running:
    """The server on a port of this machine, while the block runs."""

    def __enter__(self) -> Replicate:
        state = Replicate()
        handler = type("Handler", (_Handler,), {"replicate": state})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        state.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return state

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
