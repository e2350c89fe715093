"""Short ways to ask a backend for pictures."""

from __future__ import annotations

from threading import Event

from imagen_nb.backends import Backend, Drawn, Progress
from imagen_nb.request.request import Request, resolve


def request_for(backend: Backend, prompt: str = "a boat", **fields: object) -> Request:
    given = {"steps": 2, "seed": 1} | fields
    return resolve(prompt, defaults=backend.defaults, limits=backend.limits, **given)  # type: ignore[arg-type]


def draw(backend: Backend, *requests: Request, progress: Progress | None = None) -> list[Drawn]:
    return list(backend.draw(requests, progress, Event()))
