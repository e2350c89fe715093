"""How a picture is called in a message."""

from __future__ import annotations

from imagen_nb.request import Request

_LONGEST = 60  # letters of the prompt


def quoted(request: Request) -> str:
    """The prompt, escaped and cut, and the seed."""
    prompt = request.prompt
    cut = prompt if len(prompt) <= _LONGEST else prompt[: _LONGEST - 1] + "…"
    return f"{cut!r} (seed {request.seed})"
