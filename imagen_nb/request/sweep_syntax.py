"""Several values in one text: "{red|blue} boat", "1..8,12", "128x128,192x128"."""

from __future__ import annotations

import re

from imagen_nb.errors import UsageError

MAX_SWEEP_PICTURES = 100_000  # pictures in one sweep: more is a slip of the finger
_MAX_DEPTH = 20  # braces within braces
_ESCAPED = re.compile(r"\\([{|}])")
_PLAIN_OUTSIDE = re.compile(r"(?:\\[{|}]|[^{}])++")
_PLAIN_INSIDE = re.compile(r"(?:\\[{|}]|[^{|}])++")
_MAX_CHARS = 50_000_000  # of all alternatives together: they are in memory at once


def expand(prompt: str) -> list[str]:
    r"""Return the alternatives in braces, in order: "{red|blue} boat" -> ["red boat", "blue boat"].

    Several groups multiply, the leftmost slowest; groups nest; `\{`, `\|` and `\}` are plain text.
    Raise `UsageError` for a brace without its partner.
    """
    texts, end = _alternatives(prompt, 0, depth=0)
    if end != len(prompt):
        raise _unopened_brace(end)
    return texts


def split_groups(prompt: str) -> list[list[str]]:
    r"""Return the parts of a prompt in order: of a group in braces its alternatives.

    Text between groups is a part with one: "a {red|blue} boat" -> [["a "], ["red", "blue"],
    [" boat"]]. Every choice of one from each part, joined, is one of `expand`, of which
    there may be too many to list. Raise `UsageError` for a brace without its partner.
    """
    parts, at = [], 0
    while at < len(prompt):
        if prompt[at] == "{":
            inner, at = _group(prompt, at, depth=0)
        elif prompt[at] == "}":
            raise _unopened_brace(at)
        else:
            end = _plain_end(prompt, at, depth=0)
            inner, at = [_ESCAPED.sub(r"\1", prompt[at:end])], end
        parts.append(inner)
    return parts


def _unopened_brace(at: int) -> UsageError:
    return UsageError(
        f"'}}' without '{{' at character {at + 1} of the prompt: write \\}}"
    )


def _group(text: str, at: int, depth: int) -> tuple[list[str], int]:
    """Return the alternatives of the group that begins here, and where it has ended."""
    if depth == _MAX_DEPTH:
        raise UsageError(
            f"the prompt has braces more than {_MAX_DEPTH} deep: write \\{{"
        )
    inner, close = _alternatives(text, at + 1, depth + 1)
    if close == len(text):
        raise UsageError(
            f"'{{' without '}}' at character {at + 1} of the prompt: write \\{{"
        )
    return inner, close + 1


def _alternatives(text: str, at: int, depth: int) -> tuple[list[str], int]:
    """Return all readings from `at` to the end of this group, and where that is."""
    done: list[str] = []
    current = [""]
    while at < len(text):
        char = text[at]
        if char == "{":
            inner, at = _group(text, at, depth)
            _require_few(len(done) + len(current) * len(inner))
            current = _combined(current, inner)
        elif char == "}":
            break
        elif char == "|" and depth:
            done += current
            _require_few(len(done) + 1)
            current, at = [""], at + 1
        else:
            end = _plain_end(text, at, depth)
            plain = _ESCAPED.sub(r"\1", text[at:end])
            current, at = _combined(current, [plain]), end
    return done + current, at


def _plain_end(text: str, at: int, depth: int) -> int:
    """Return where the plain text that begins here ends."""
    pattern = _PLAIN_INSIDE if depth else _PLAIN_OUTSIDE
    plain = pattern.match(text, at)
    return plain.end() if plain else at


def _require_few(alternatives: int) -> None:
    if alternatives > MAX_SWEEP_PICTURES:
        raise UsageError(
            f"the prompt has more than {MAX_SWEEP_PICTURES:,} alternatives: use fewer"
        )


def _combined(starts: list[str], ends: list[str]) -> list[str]:
    """Return each start with each end."""
    start_chars, end_chars = sum(map(len, starts)), sum(map(len, ends))
    if start_chars * len(ends) + end_chars * len(starts) > _MAX_CHARS:
        raise UsageError(
            f"the prompt's alternatives have more than {_MAX_CHARS:,} characters: "
            "use fewer, or a shorter text"
        )
    return [start + end for start in starts for end in ends]


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
        if high < low or high - low >= MAX_SWEEP_PICTURES - len(numbers):
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
