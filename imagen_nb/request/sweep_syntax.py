"""Several values in one text: "{red|blue} boat", "1..8,12", "128x128,192x128"."""

from __future__ import annotations

import re

from imagen_nb.errors import UsageError

MAX_SWEEP_PICTURES = 100_000  # pictures in one sweep: more is a slip of the finger
_MAX_DEPTH = 20  # braces within braces


def expand(prompt: str) -> list[str]:
    r"""Return the alternatives in braces, in order: "{red|blue} boat" -> ["red boat", "blue boat"].

    Several groups multiply, the leftmost slowest; groups nest; `\{`, `\|` and `\}` are plain text.
    Raise `UsageError` for a brace without its partner.
    """
    texts, end = _alternatives(prompt, 0, depth=0)
    if end != len(prompt):
        raise UsageError(
            f"'}}' without '{{' at character {end + 1} of the prompt: write \\}}"
        )
    return texts


def _alternatives(text: str, at: int, depth: int) -> tuple[list[str], int]:
    """Return all readings from `at` to the end of this group, and where that is."""
    done: list[str] = []
    current = [""]
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] in ("{", "|", "}"):
            current, at = [prefix + text[at + 1] for prefix in current], at + 2
        elif char == "{":
            if depth == _MAX_DEPTH:
                raise UsageError(
                    f"the prompt has braces more than {_MAX_DEPTH} deep: write \\{{"
                )
            inner, close = _alternatives(text, at + 1, depth + 1)
            if close == len(text):
                raise UsageError(
                    f"'{{' without '}}' at character {at + 1} of the prompt: write \\{{"
                )
            if len(done) + len(current) * len(inner) > MAX_SWEEP_PICTURES:
                raise UsageError(
                    f"the prompt has more than {MAX_SWEEP_PICTURES:,} alternatives: use fewer"
                )
            current = [prefix + choice for prefix in current for choice in inner]
            at = close + 1
        elif char == "}":
            break
        elif char == "|" and depth:
            done, current, at = done + current, [""], at + 1
        else:
            end = next(
                (i for i in range(at + 1, len(text)) if text[i] in "\\{|}"), len(text)
            )
            current, at = [prefix + text[at:end] for prefix in current], end
    return done + current, at


def escape(prompt: str) -> str:
    r"""Return the prompt with its braces as plain text: `expand(escape(prompt)) == [prompt]`."""
    return re.sub(r"([{|}])", r"\\\1", prompt)


def parse_ints(text: str) -> list[int]:
    """ "1..4,12" -> [1, 2, 3, 4, 12]. Raise `UsageError` for anything else."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        try:
            low, high = int(first), int(last if dots else first)
        except ValueError:
            raise UsageError(
                f"expected numbers like 1..8 or 2,4,8, not {text!r}"
            ) from None
        if high < low or high - low >= MAX_SWEEP_PICTURES:
            raise UsageError(
                f"the range {part.strip()} is empty or too long: write it low..high"
            )
        numbers += range(low, high + 1)
    return numbers


def parse_floats(text: str) -> list[float]:
    """ "0,3.5" -> [0.0, 3.5]. Raise `UsageError` for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"expected numbers like 0,3.5, not {text!r}") from None


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """ "128x128,192x128" -> [(128, 128), (192, 128)]. Raise `UsageError` otherwise."""
    sizes = []
    for part in text.split(","):
        width, _, height = part.strip().lower().partition("x")
        try:
            sizes.append((int(width), int(height)))
        except ValueError:
            raise UsageError(
                f"expected sizes like 128x128,192x128, not {text!r}"
            ) from None
    return sizes
