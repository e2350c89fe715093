"""A proxy between the client and Supabase that answers wrongly, late, or not at all, as told."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

STORAGE_ERROR = b'{"statusCode":"%d","error":"Injected","message":"injected by the test"}'


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    `cut`: "before" the server hears of it, "during" (it hears half of the body), or "after" it has
    done it and before the client hears of that. `hang`: seconds until the connection is cut.
    """

    name: str
    status: int | None = None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: str | None = None
    hang: float = 0.0


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("500", 500, b'{"message":"injected"}'),
        Fault("502 with HTML", 502, b"<html><body>Bad gateway</body></html>"),
        Fault("503", 503, b"unavailable"),
        Fault("429", 429, b"{}", (("Retry-After", "1"),)),
        Fault("503 in the body", 400, STORAGE_ERROR % 503),
        Fault("400", 400, STORAGE_ERROR % 400),
        Fault("401", 401, STORAGE_ERROR % 401),
        Fault("403", 400, STORAGE_ERROR % 403),
        Fault("413", 413, STORAGE_ERROR % 413),
        Fault("hang", cut="before", hang=1.5),
        Fault("cut before", cut="before"),
        Fault("cut during", cut="during"),
        Fault("cut after", cut="after"),
    )
}

Choose = Callable[[str, str], Fault | None]


class FaultProxy:
    """Listens on 127.0.0.1. `choose(method, path)` names the fault of each request, or None.

    `seen` counts what was done to requests; `delay` is added before each answer, in seconds.
    `max_rows` makes every answer as short as a server with that setting (db-max-rows) does.
    """

    max_rows: int | None = None

    def __init__(self, upstream: str, choose: Choose | None = None, delay: float = 0.0) -> None:
        self.upstream = urlsplit(upstream)
        self.choose = choose or (lambda method, path: None)
        self.delay = delay
        self.seen: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.down = False
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.daemon = True
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections end abruptly here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._upstream: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        if self._upstream:
            self._upstream.close()
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what was done is counted."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.proxy.max_rows and self.command == "GET":
            self.path = re.sub(r"(?<=[?&]limit=)\d+", self._at_most, self.path)
        self.proxy.requests.append((self.command, self.path))
        fault = self.proxy.choose(self.command, self.path)
        if self.proxy.down:
            fault = FAULTS["cut before"]
        self.proxy.seen[fault.name if fault else "passed"] += 1
        if self.proxy.delay:
            time.sleep(self.proxy.delay)
        if fault is None:
            self._answer(*self._forward(body))
        elif fault.cut:
            self._cut(fault, body)
        else:
            self._answer(fault.status or 500, [*fault.headers], fault.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _at_most(self, asked: re.Match[str]) -> str:
        return str(min(int(asked[0]), self.proxy.max_rows or 0))

    def _cut(self, fault: Fault, body: bytes) -> None:
        if fault.cut == "during":
            self._send_half(body)
        elif fault.cut == "after":
            self._forward(body)
        time.sleep(fault.hang)
        # Lingering for no time at all makes the close a reset, as a torn connection is.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def _send_half(self, body: bytes) -> None:
        target = self.proxy.upstream
        with socket.create_connection((target.hostname, target.port), 10) as upstream:
            head = [f"{self.command} {self.path} HTTP/1.1"]
            head += [f"{name}: {value}" for name, value in self.headers.items()]
            upstream.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])
            time.sleep(0.05)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target = self.proxy.upstream
        headers = {n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection")}
        for attempt in (1, 2):
            if self._upstream is None:
                self._upstream = http.client.HTTPConnection(target.hostname or "", target.port, 60)
            try:
                self._upstream.request(self.command, self.path, body or None, headers)
                answer = self._upstream.getresponse()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self._upstream.close()  # the server had closed an idle connection
                self._upstream = None
                if attempt == 2:
                    raise
        skipped = ("transfer-encoding", "connection", "content-length", "keep-alive")
        kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in skipped]
        return answer.status, kept, answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
