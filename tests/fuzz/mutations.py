"""Strategies that begin with bytes as we write them, and damage these as strangers would."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

DEEP = 3_000
HUGE_NUMBERS = (
    "-1",
    "0",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "2147483648",
    "9223372036854775808",
    "1e308",
    "9" * 400,
    "9" * 5_000,
    "0x" + "f" * 5_000,
    "1.5",
    "0.1e-400",
    "1:1:1:1",
    "true",
    "null",
)
TOKENS = (
    b"\0",
    b"\n",
    b"\r\n",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"|",
    b"\\",
    b"..",
    b"../",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\\ud800",
    b"\\u0000",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"&a ",
    b"*a ",
    b"!!int ",
    b"!!binary ",
    b"<<: ",
    b"---\n",
    b"%YAML 9.9\n",
    b"PAR1",
    b"IEND",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    b"WEBP",
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b"- " * DEEP,
    b"(" * 500,
    b"x" * 10_000,
    *(number.encode() for number in HUGE_NUMBERS),
)
ENCODINGS = ("utf-16", "utf-32", "latin-1", "utf-8-sig", "cp037", "utf-7")


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds, damaged up to five times in the ways of `MUTATIONS`."""

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(0, 5))):
            data = draw(st.sampled_from(MUTATIONS))(draw, data, seeds)
        return data

    return damaged()


def _place(draw: st.DrawFn, data: bytes) -> int:
    """A place in the data; the beginning, where headers are, as often as all the rest."""
    far = len(data)
    return draw(st.one_of(st.integers(0, min(64, far)), st.integers(0, far)))


def _truncated(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: _place(draw, data)]


def _flipped(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, data)
    mask = draw(st.integers(1, 255))
    return data[:at] + bytes(byte ^ mask for byte in data[at : at + 1]) + data[at + 1 :]


def _inserted(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, data)
    token = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)))
    return data[:at] + token + data[at:]


def _overwritten(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, data)
    sizes = st.sampled_from((0, 1, 0x7F, 0x80, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1))
    word = struct.pack(draw(st.sampled_from((">I", "<I"))), draw(sizes))
    return data[:at] + word + data[at + 4 :]


def _cut_out(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at, to = sorted((_place(draw, data), _place(draw, data)))
    return data[:at] + data[to:]


def _repeated(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at, to = sorted((_place(draw, data), _place(draw, data)))
    part = data[at:to][:1_000]
    return data[:to] + part * draw(st.sampled_from((1, 2, 50))) + data[to:]


def _spliced(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def _encoded(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(draw(st.sampled_from(ENCODINGS)), "replace")


MUTATIONS: tuple[Callable[[st.DrawFn, bytes, Sequence[bytes]], bytes], ...] = (
    *(_truncated, _flipped, _flipped, _inserted, _inserted, _overwritten),
    *(_cut_out, _repeated, _spliced, _encoded),
)

_STRANGE_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((-1, 0, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 10**4_000)),
    st.sampled_from((0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"))),
    st.sampled_from(("", " ", "\0", "\ud800", "a\nb", "../../x", "/etc/passwd", "x" * 10_000)),
    st.sampled_from(("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "noon", "NaN")),
    st.text(max_size=12),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=4)), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
    st.sampled_from(([[[[[[]]]]]], {"a": {"a": {"a": []}}}, [{}], [None], [[1]])),
)


@st.composite
def mutated_value(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with some of its parts replaced, removed or named otherwise."""
    for _ in range(draw(st.integers(1, 3))):
        value = _changed_inside(draw, value)
    return value


def _changed_inside(draw: st.DrawFn, value: Any) -> Any:
    """Go down to one part of the value, and change it there."""
    if isinstance(value, dict) and value and draw(st.integers(0, 7)):
        name = draw(st.sampled_from(sorted(value)))
        what = draw(st.integers(0, 9))
        if what == 0:
            return {key: part for key, part in value.items() if key != name}
        if what == 1:
            return value | {draw(st.text(max_size=6)): value[name]}
        return value | {name: _changed_inside(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 7)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _changed_inside(draw, value[at]), *value[at + 1 :]]
    return draw(_STRANGE_VALUES)


def mutated_json(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """The JSON of one of the seeds, whose values are changed; seldom its bytes, too."""
    values = [json.loads(seed) for seed in seeds]
    changed = st.sampled_from(values).flatmap(mutated_value).map(_json_bytes)
    return st.one_of(changed, changed, changed, mutated(seeds))


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def png_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The type and data of each chunk of a whole PNG."""
    chunks, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def png_of(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The PNG of these chunks, with true lengths and checksums."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        checksum = zlib.crc32(kind + data)
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))
    return b"".join(parts)


def mutated_png(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A PNG whose chunks are damaged inside, so that their checksums are right."""

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        chunks = png_chunks(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(chunks) - 1))
            kind, data = chunks[at]
            kinds = st.sampled_from((kind, kind, b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP"))
            wrong = draw(st.sampled_from(MUTATIONS))(draw, data, [data])
            chunks[at : at + 1] = [(draw(kinds), wrong)] * draw(st.sampled_from((0, 1, 1, 1, 2)))
            if not chunks:
                return png_of([])
        return png_of(chunks)

    return st.one_of(damaged(), damaged(), mutated(seeds))


def safetensors_of(header: bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header, and the header's true length before it."""
    return len(header).to_bytes(8, "little") + header + data


def mutated_safetensors(headers: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header is damaged, so that its length is right."""
    whole = [safetensors_of(header, bytes(64)) for header in headers]
    framed = mutated_json(headers).map(lambda header: safetensors_of(header, bytes(64)))
    return st.one_of(framed, framed, mutated(whole))
