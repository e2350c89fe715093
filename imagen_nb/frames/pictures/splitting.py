"""Sides of a data set, train and test: all pictures of one prompt are on the same side."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from imagen_nb.errors import UsageError

_SIDE_NAME = re.compile(r"[\w][\w-]{0,63}", re.ASCII)  # of a folder, too


def split_by_prompt(prompts: Sequence[str], shares: Mapping[str, float]) -> list[str]:
    """Return the side of each picture, so that no prompt is on two sides.

    Prompts that differ in case and spaces only are one. Which side a prompt is on
    follows from the prompts alone, not from their order: they are sorted by their hash,
    and cut where the shares of pictures are reached. When pictures are added, few
    prompts change sides.

    Args:
        prompts: of each picture.
        shares: of the pictures, by the name of the side; they add up to 1.

    Raises:
        UsageError: if the shares are none, or there are fewer prompts than sides.

    Example:
        >>> split_by_prompt(["a boat", "a house", "A  boat"], {"train": 0.5, "test": 0.5})
        ['test', 'train', 'test']
    """
    _require_shares(shares)
    keys = [" ".join(prompt.split()).casefold() for prompt in prompts]
    counts = Counter(keys)
    if len(counts) < len(shares):
        raise UsageError(
            f"{len(counts)} different prompts cannot be split into {len(shares)} sides:"
            " pictures of one prompt stay together"
        )
    side_of: dict[str, str] = {}
    waiting, names = sorted(counts, key=_hash_of), [*shares]
    reached, wanted = 0, 0.0
    for place, name in enumerate(names):
        wanted += shares[name] * len(prompts)
        needed_later = len(names) - place - 1  # each of the others gets a prompt
        first = True
        while len(waiting) > needed_later and (
            first or not needed_later or reached + counts[waiting[0]] / 2 <= wanted
        ):
            key = waiting.pop(0)
            side_of[key], first = name, False
            reached += counts[key]
    return [side_of[key] for key in keys]


def _require_shares(shares: Mapping[str, float]) -> None:
    if not isinstance(shares, Mapping) or not shares:
        raise UsageError(
            f'split is shares by name, {{"train": 0.9, "test": 0.1}}, not {shares!r}'
        )
    for name, share in shares.items():
        if not isinstance(name, str) or not _SIDE_NAME.fullmatch(name):
            raise UsageError(
                f"a side's name has letters, digits, _ and -, not {name!r}"
            )
        if not isinstance(share, int | float) or not 0 < share <= 1:
            raise UsageError(
                f"the share of {name} is above 0, at most 1, not {share!r}"
            )
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        total = sum(shares.values())
        raise UsageError(f"the shares of split add up to {total:g}, and not to 1")


def _hash_of(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
