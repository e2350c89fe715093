"""Ids as 16 bytes each, many at once, and where in a store each of them stands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ID_BYTES = 16
_NO_ID = b"\xff" * ID_BYTES  # RFC 9562's UUID that no object has
_TEXT_LENGTH = 36
_DASHES = [8, 13, 18, 23]  # where they stand in the text of an id
_DIGITS = [place for place in range(_TEXT_LENGTH) if place not in _DASHES]
# Odd numbers that spread ids which are alike, as those made in a row are.
_SPREAD_FIRST, _SPREAD_SECOND = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F


def ids_as_bytes(ids: Sequence[str]) -> NDArray[np.uint8]:
    """Return ids, texts of UUIDs in any usual form: (count, 16).

    `_NO_ID` for a text that is none, as a frame of another program may have.
    """
    import numpy as np

    text = "".join(ids)
    if text.isascii() and all(len(id) == _TEXT_LENGTH for id in ids):
        letters = np.frombuffer(text.encode(), np.uint8).reshape(-1, _TEXT_LENGTH)
        if (letters[:, _DASHES] == ord("-")).all():
            digits = letters[:, _DIGITS].tobytes().decode()
            with suppress(ValueError):  # some are no digits after all
                data = bytes.fromhex(digits)
                if digits.isalnum():  # fromhex skips spaces
                    return np.frombuffer(data, np.uint8).reshape(-1, ID_BYTES)
    data = b"".join(_bytes_of(id) for id in ids)
    return np.frombuffer(data, np.uint8).reshape(-1, ID_BYTES)


def are_ids(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of these, (count, 16), were ids: (count,)."""
    import numpy as np

    found: NDArray[np.bool_] = (ids != np.uint8(_NO_ID[0])).any(axis=1)
    return found


def _bytes_of(id: str) -> bytes:
    try:
        return UUID(id).bytes
    except ValueError:
        return _NO_ID


def ids_as_texts(ids: NDArray[np.uint8]) -> list[str]:
    """Return the texts of ids, (count, 16), as `str(UUID(…))` gives them."""
    import numpy as np

    digits = np.frombuffer(ids.tobytes().hex().encode(), np.uint8)
    texts = np.full((len(ids), _TEXT_LENGTH), ord("-"), np.uint8)
    texts[:, _DIGITS] = digits.reshape(len(ids), 2 * ID_BYTES)
    joined = texts.tobytes().decode("ascii")
    return [
        joined[at : at + _TEXT_LENGTH] for at in range(0, len(joined), _TEXT_LENGTH)
    ]


class IdIndex:
    """Where ids stand: 12 bytes each, instead of the 200 that a dict takes.

    Invariant: `_keys` are in order, `_order` has beside each the place of its id.
    """

    def __init__(self, ids: NDArray[np.uint8], before: IdIndex | None = None) -> None:
        """`before`: an index of the first of these ids."""
        import numpy as np

        self._ids = ids
        start = len(before._ids) if before else 0
        keys = _keys_of(ids[start:])
        order = np.argsort(keys, kind="stable")
        self._keys, self._order = keys[order], (order + start).astype(np.int32)
        if before:
            places = np.searchsorted(before._keys, self._keys, side="right")
            self._keys = np.insert(before._keys, places, self._keys)
            self._order = np.insert(before._order, places, self._order)

    def places(self, wanted: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the places of ids, (count, 16); -1 for those that are not there."""
        import numpy as np

        keys = _keys_of(wanted)
        found = np.full(len(wanted), -1, np.int64)
        at = np.searchsorted(self._keys, keys)
        left = np.arange(len(wanted))
        while len(left):  # again only where ids share a key
            left = left[at[left] < len(self._keys)]
            left = left[self._keys[at[left]] == keys[left]]
            places = self._order[at[left]]
            same = (self._ids[places] == wanted[left]).all(axis=1)
            found[left[same]] = places[same]
            left = left[~same]
            at[left] += 1
        return found


def _keys_of(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    import numpy as np

    halves = np.ascontiguousarray(ids).view("<u8")
    first = halves[:, 0] * np.uint64(_SPREAD_FIRST)
    return np.asarray(first ^ (halves[:, 1] * np.uint64(_SPREAD_SECOND)), np.uint64)
