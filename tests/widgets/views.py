"""A widget's browser, without one: says what JavaScript says, and hears the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np


class View:
    """A widget's browser: says something, and hears the answer."""

    def __init__(self, gallery: Any) -> None:
        self.gallery = gallery
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        gallery.send = self._hear

    def _hear(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        json.dumps(content)  # what Jupyter does with it
        self.heard.append((content, list(buffers or ())))

    def say(self, kind: str, buffers: Sequence[Any] = (), **more: Any) -> None:
        self.gallery._heard(self.gallery, {"kind": kind, "view": "a view"} | more, buffers)

    def ask(self, kind: str, answer: str, **more: Any) -> tuple[dict[str, Any], list[bytes]]:
        self.heard.clear()
        self.say(kind, **more)
        return self.wait(answer)

    def wait(self, kind: str, count: int = 1) -> tuple[dict[str, Any], list[bytes]]:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = [one for one in self.heard if one[0]["kind"] == kind]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.005)
        raise AssertionError(f"no {kind}: {[one[0] for one in self.heard]}")

    def filter(self, words: str = "", **chosen: list[str]) -> list[int]:
        _, buffers = self.ask("filter", "shown", words=words, chosen=chosen)
        return np.frombuffer(buffers[0], np.int32).tolist()
