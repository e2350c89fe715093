"""What Panel, Gallery and Compare have in common: a widget that speaks with its pages."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from imagen_nb.system.theme import tell_theme
from imagen_nb.widgets.work import use_named_subshells


class PageWidget(anywidget.AnyWidget):
    """A widget whose pages ask by messages and are answered by messages.

    Invariant: bytes that go with a message arrive in every front end. Colab's drops
    them (googlecolab/colab-cdn-widget-manager#33): there they go as text.
    """

    _bytes_as_text = traitlets.Bool(False).tag(sync=True)  # read by wire.js
    _closed = True  # until it is made: ipywidgets closes one that could not be, too

    def __init__(self) -> None:
        super().__init__(_bytes_as_text="google.colab" in sys.modules)
        use_named_subshells([self])

    def send(self, content: Any, buffers: Sequence[bytes] | None = None) -> None:
        """Send a message to every page, with these files."""
        if buffers and self._bytes_as_text:
            texts = [base64.b64encode(each).decode() for each in buffers]
            content, buffers = {**content, "bytes": texts}, None
        super().send(content, buffers)

    def _handle_custom_msg(self, content: Any, buffers: Sequence[Any]) -> None:
        """Hear what a page says of itself, and pass all on as it was meant."""
        if isinstance(content, dict):
            if isinstance(content.get("dark"), bool):
                tell_theme(content["dark"])
            if self._bytes_as_text:
                buffers = [base64.b64decode(text) for text in content.pop("bytes", ())]
        super()._handle_custom_msg(content, buffers)
