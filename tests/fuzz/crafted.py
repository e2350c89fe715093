"""Bytes made on purpose, by the reader that is handed them: what random damage seldom finds."""

from __future__ import annotations

import functools
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.fixtures.other_programs.sample import exif_of
from tests.fuzz.mutations import png_chunks, png_of, safetensors_of
from tests.fuzz.readers import READERS, image_file

_DEEP_LISTS = b"[" * 100_000 + b"]" * 100_000
_DEEP_OBJECTS = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def _seed(reader: str) -> Any:
    return json.loads(READERS[reader].seeds[0])


def _sidecar(**fields: Any) -> bytes:
    return json.dumps(_seed("sidecar") | fields).encode()


def _sidecar_with(name: str, text: bytes) -> bytes:
    """A sidecar with a value that is written as no program of ours writes it."""
    return _sidecar(**{name: "HERE"}).replace(b'"HERE"', text)


def _png(*more: tuple[bytes, bytes], **replaced: bytes) -> bytes:
    """A picture of ours with chunks added before its pixels, or replaced by kind."""
    chunks = [(kind, replaced.get(kind.decode(), data)) for kind, data in _own_chunks()]
    return png_of([chunks[0], *more, *chunks[1:]])


def _box(kind: bytes, data: bytes) -> bytes:
    """A box of JUMBF, in which content credentials are."""
    return struct.pack(">I", 8 + len(data)) + kind + data


def _credentials(data: bytes) -> bytes:
    """A picture of ours with this as its content credentials."""
    return _png((b"caBX", data))


def _store(inside: bytes) -> bytes:
    """A store of manifests, which holds this."""
    label = bytes.fromhex("63327061 0011 0010 8000 00aa00389b71") + b"\x03c2pa\0"
    return _box(b"jumb", _box(b"jumd", label) + inside)


def _deep_boxes(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        label = bytes.fromhex("63326d61 0011 0010 8000 00aa00389b71") + b"\x03a\0"
        data = _box(b"jumb", _box(b"jumd", label) + data)
    return data


def _signed_with(kind: bytes, old: bytes, new: bytes) -> bytes:
    """The signed picture with something else of the same length in its credentials."""
    chunks = png_chunks(READERS["signed picture"].seeds[0])
    assert len(old) == len(new)
    assert any(old in data for name, data in chunks if name == kind)
    return png_of(
        [(name, data.replace(old, new) if name == kind else data) for name, data in chunks]
    )


def _half_a_profile() -> bytes:
    """Pillow reads it after the pixels, and stumbles."""
    *chunks, end = _own_chunks()
    return png_of([*chunks, (b"iCCP", b"p\0"), end])


def _own_chunks() -> list[tuple[bytes, bytes]]:
    return png_chunks(READERS["png"].seeds[0])


def _header(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)


@functools.cache
def _packed(size: int) -> bytes:
    """So many zeros, packed; a row of zeros is a black one without a filter."""
    packer, block = zlib.compressobj(1), bytes(2**20)
    parts = [packer.compress(block[: size - at]) for at in range(0, size, len(block))]
    return b"".join(parts) + packer.flush()


@functools.cache
def _blank_png(side: int, kind: int = 6) -> bytes:
    """A whole PNG of so many black pixels a side, with the record of a picture of ours."""
    packed = _packed(side * (1 + side * {2: 3, 6: 4}[kind]))
    texts = [chunk for chunk in _own_chunks() if chunk[0] in (b"tEXt", b"iTXt")]
    header = (b"IHDR", _header(side, side, kind=kind))
    return png_of([header, *texts, (b"IDAT", packed), (b"IEND", b"")])


def _aliases(levels: int, width: int = 10) -> bytes:
    """YAML of a few lines that stands for width**levels values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{names}]")
    return "\n".join(lines).encode()


_STRANGE_YAML: dict[str, bytes] = {
    "an alias that holds itself": b"prompt: &a [*a]",
    "a mapping that holds itself": b"more: &a {x: *a}",
    "a list that holds itself": b"&a [*a]",
    "a whole number that is none": b"steps: !!int ''",
    "a number that is none": b"guidance: !!float ''",
    "a truth that is none": b"loud: !!bool maybe",
    "a time that is none": b"prompt: !!timestamp noon",
    "a day that is none": b"prompt: 2026-02-31",
    "a zone that is none": b"prompt: 2026-02-01 10:00:00 +99:99",
    "a number of sixty parts": b"steps: " + b":".join([b"1"] * 400) + b".5",
    "a number of many digits": b"steps: " + b"9" * 5_000,
    "a hexadecimal number of many digits": b"steps: 0x" + b"f" * 5_000,
    "binary that is none": b"prompt: !!binary x",
    "a set": b"prompt: !!set {a, b}",
    "pairs": b"prompt: !!pairs [a: 1]",
    "a key that is a list": b"? [a, b]\n: 1",
    "a key that is an alias": b"a: &a [1]\n? *a\n: 1",
    "an object of Python's": b"prompt: !!python/object/apply:os.system ['touch /tmp/x']",
    "several documents": b"a: 1\n---\nb: 2\n",
    "a tag that is none": b"!x y",
    "a NUL": b"prompt: a\0b",
    "half a character": b'prompt: "\\ud800"',
    "half a character in a list": b'[{"prompt": "\\ud800"}]',
    "half a character as a name": b'[{"\\ud800": 1}]',
    "a merge of nothing": b"<<: 3\nprompt: a",
    "deep lists": b"prompt: " + b"[" * 5_000,
    "deep JSON": _DEEP_LISTS,
    "deep objects": _DEEP_OBJECTS,
    "deep sequences": b"- " * 5_000,
    "a million values in ten lines": _aliases(6),
    "a billion values in ten lines": _aliases(9) + b"\nprompt: *a8\ntags: *a8\nbackend: *a8",
    "a billion options": _aliases(9) + b"\nbackend: {type: flux, model: *a8}",
    "a billion jobs": b"x: &x\n  {}\n".replace(b"x: &x\n  {}\n", b"")
    + b"- &a0 {prompt: a}\n- &a1 {anything: [*a0, *a0]}\n"
    + b"".join(b"- &a%d {anything: [*a%d, *a%d]}\n" % (n, n - 1, n - 1) for n in range(2, 40)),
}
_STRANGE_JOBS: dict[str, Any] = {
    "a whole number beyond floats": [{"strength": 10**400}],
    "a number beyond all": [{"strength": float("inf")}],
    "a whole number of thousands of digits": [{"seed": 10**4_200}],
    "half a character": [{"prompt": "\ud800"}],
    "half a character in a list": [{"tags": ["\ud800"]}],
    "half a character as a key": [{"more": {"\ud800": 1}}],
    "half a character as a job": [{"prompt": "a", "job": "\ud800"}],
    "a NUL": [{"prompt": "a\0b"}],
    "a job's name that is a list": [{"job": ["a"], "prompt": "a"}],
    "a job's name with a folder": [{"job": "../../forbidden", "prompt": "a"}],
    "a parameter with lines": [{"a\nb": 1}],
    "many seeds": {"seeds": ",".join(["0..99999"] * 2_000)},
    "many sizes": {"sizes": ",".join(["1x1"] * 200_000)},
    "a size of many digits": {"sizes": "9" * 5_000 + "x1"},
    "a prompt of many alternatives": {"prompts": "{a|b}" * 16 + "x" * 50_000},
    "a prompt that is deep": {"prompts": "{" * 5_000},
    "an empty list": {"prompts": []},
    "values that are a mapping": {"prompts": {"a": 1}},
}


def _notebook(**changes: Any) -> bytes:
    return json.dumps(_seed("notebook") | changes).encode()


def _notebook_of(source: Any, **changes: Any) -> bytes:
    first, second = _seed("notebook")["cells"]
    return _notebook(cells=[first | {"source": source} | changes, second])


def _executed(**values: Any) -> bytes:
    notebook = _seed("executed notebook")
    notebook["metadata"]["imagen"] |= values
    return json.dumps(notebook).encode()


def _glued(data: Any) -> bytes:
    notebook = _seed("executed notebook")
    scrap = {"name": "pictures", "data": data}
    output = {"data": {"application/scrapbook.scrap.json+json": scrap}}
    notebook["cells"][0]["outputs"] = [output]
    return json.dumps(notebook).encode()


def _answer(value: Any, status: bytes = b"2") -> bytes:
    return status + json.dumps(value).encode()


def _row(**fields: Any) -> bytes:
    rows = json.loads(READERS["answer of Supabase"].seeds[0])
    return _answer([rows[0] | fields])


def _prediction(**fields: Any) -> bytes:
    prediction = json.loads(READERS["answer of Replicate"].seeds[0][1:])
    return _answer(prediction | fields)


def _texts(**texts: str) -> bytes:
    """Texts of a picture by their names."""
    return json.dumps(texts).encode()


def _foreign_chunks() -> list[tuple[bytes, bytes]]:
    return png_chunks(image_file("PNG"))


def _foreign_png(*more: tuple[bytes, bytes]) -> bytes:
    """A picture without texts of its own, with chunks added before its pixels."""
    first, *others = _foreign_chunks()
    return png_of([first, *more, *others])


CRAFTED: dict[str, dict[str, Callable[[], bytes] | bytes]] = {
    "png": {
        "nothing": b"",
        "a signature": b"\x89PNG\r\n\x1a\n",
        "no chunks": png_of([]),
        "a text that unpacks to half a gigabyte": lambda: _png(
            (b"zTXt", b"imagen_nb\0\0" + _packed(2**29))
        ),
        "a profile that unpacks to half a gigabyte": lambda: _png(
            (b"iCCP", b"x\0\0" + _packed(2**29))
        ),
        "half a profile": _half_a_profile,
        "many texts": lambda: _png(
            *[(b"tEXt", b"x%d\0" % n + b"x" * 1_000) for n in range(90_000)]
        ),
        "a size beyond all": lambda: _png(IHDR=_header(2**31 - 1, 2**31 - 1)),
        "no size": lambda: _png(IHDR=_header(0, 0)),
        "half a header": lambda: _png(IHDR=b"\0\0"),
        "a hundred million pixels": lambda: _blank_png(10_000),
        "pixels that unpack to half a gigabyte": lambda: _png(IDAT=_packed(2**29)),
        "a record that is deep": lambda: _png(
            (b"tEXt", b"imagen_nb\0" + _DEEP_LISTS), tEXt=b"x\0y"
        ),
        "a record of NaN": lambda: _png(tEXt=b"imagen_nb\0" + _sidecar_with("guidance", b"NaN")),
        "a record of the last day": lambda: _png(
            tEXt=b"imagen_nb\0" + _sidecar(created_at="9999-12-31T23:59:59Z")
        ),
        "a record of the first day": lambda: _png(
            tEXt=b"imagen_nb\0" + _sidecar(created_at="0001-01-01T00:00:00Z")
        ),
        "half a character": lambda: _png(tEXt=b"imagen_nb\0" + _sidecar(prompt="\ud800")),
        "a text before a keyword": lambda: _png((b"tEXt", b""), (b"iTXt", b""), (b"zTXt", b"")),
        "frames that are none": lambda: _png((b"acTL", b""), (b"fcTL", b""), (b"fdAT", b"")),
    },
    "signed picture": {
        "nothing": b"",
        "credentials of nothing": lambda: _credentials(b""),
        "credentials of NULs": lambda: _credentials(bytes(1_000)),
        "a box beyond all": lambda: _credentials(b"\xff\xff\xff\xffjumb" + bytes(64)),
        "a box of 64 bits": lambda: _credentials(b"\0\0\0\1jumb" + b"\xff" * 8 + bytes(64)),
        "a store of nothing": lambda: _credentials(_store(b"")),
        "deep boxes": lambda: _credentials(_store(_deep_boxes(2_000))),
        "many boxes": lambda: _credentials(_store(_deep_boxes(1) * 50_000)),
        "deep CBOR": lambda: _credentials(_store(_box(b"cbor", b"\x81" * 1_000_000 + b"\0"))),
        "credentials twice": lambda: _png((b"caBX", _store(b"")), (b"caBX", _store(b""))),
        "another program": lambda: _signed_with(b"caBX", b"imagen_nb", b"\x1b[2Jxxxxx"),
        "another time": lambda: _signed_with(b"caBX", b"2026-05-11", b"9999-99-99"),
        "a record of NaN": lambda: _png(tEXt=b"imagen_nb\0" + _sidecar_with("guidance", b"NaN")),
        "a hundred million pixels": lambda: _blank_png(10_000),
        "a WebP of nothing": b"RIFF\4\0\0\0WEBP",
        "a JPEG of nothing": b"\xff\xd8\xff",
    },
    "sidecar": {
        "nothing": b"",
        "NULs": bytes(1_000),
        "UTF-16": lambda: READERS["sidecar"].seeds[0].decode().encode("utf-16"),
        "deep lists": _DEEP_LISTS,
        "deep options": lambda: _sidecar_with("options", b'{"a":' + b"[" * 190 + b"]" * 190 + b"}"),
        "NaN": lambda: _sidecar_with("guidance", b"NaN"),
        "an infinite price": lambda: _sidecar_with("cost_usd_estimate", b"Infinity"),
        "NaN in the options": lambda: _sidecar_with("options", b'{"a": NaN}'),
        "1e999": lambda: _sidecar_with("guidance", b"1e999"),
        "a whole number of many digits": lambda: _sidecar_with("batch_size", b"9" * 4_000),
        "too many digits": lambda: _sidecar_with("batch_size", b"9" * 5_000),
        "options of many digits": lambda: _sidecar_with("options", b'{"a": %s}' % (b"9" * 5_000)),
        "steps of 64 bits": lambda: _sidecar(steps=2**63 - 1),
        "half a character": lambda: _sidecar(prompt="\ud800"),
        "half a character in an option": lambda: _sidecar(options={"a": "\ud800"}),
        "a year of five digits": lambda: _sidecar(created_at="12026-01-01T00:00:00Z"),
        "a time in seconds": lambda: _sidecar(created_at=1e18),
        "an input outside": lambda: _sidecar(
            inputs=[{"name": "mask", "file": "../forbidden", "sha256": "0" * 64}]
        ),
        "an input with a NUL": lambda: _sidecar(inputs=[{"name": "mask", "file": "inputs/\0.png"}]),
        "a LoRA with a NUL": lambda: _sidecar(loras=[{"path": "a\0.safetensors"}]),
        "a LoRA without a path": lambda: _sidecar(loras=[{}]),
        "a LoRA whose weight is a text": lambda: _sidecar(
            loras=[{"path": "a.safetensors", "weight": "much"}]
        ),
        "a LoRA whose weight is a list": lambda: _sidecar(
            loras=[{"path": "a.safetensors", "weight": []}]
        ),
        "a LoRA whose weight is beyond numbers": lambda: _sidecar(
            loras=[{"path": "a.safetensors", "weight": 10**400}]
        ),
        "a LoRA that is a device": lambda: _sidecar(loras=[{"path": "/dev/zero"}]),
        "a LoRA that is a long name": lambda: _sidecar(loras=[{"path": "x" * 5_000}]),
        "sixty million characters": lambda: _sidecar(prompt="x" * 60_000_000),
    },
    "folder": {
        "sixty million characters": lambda: _sidecar(prompt="x" * 60_000_000),
        "half a profile": _half_a_profile,
        "a hundred million pixels": lambda: _blank_png(10_000),
        "NaN": lambda: _sidecar_with("cost_usd_estimate", b"NaN"),
        "half a character": lambda: _sidecar(tags=["\ud800"]),
        "the last day": lambda: _sidecar(created_at="9999-12-31T23:59:59Z"),
        "the first day": lambda: _sidecar(created_at="0001-01-01T00:00:00Z"),
        "a path outside": lambda: _sidecar(storage_path="../../forbidden"),
        "a path with a NUL": lambda: _sidecar(storage_path="\0"),
        "options of many digits": lambda: _sidecar_with("options", b'{"a": %s}' % (b"9" * 5_000)),
    },
    "input image": {
        "nothing": b"",
        "half a profile": _half_a_profile,
        "a hundred million pixels": lambda: _blank_png(10_000),
        "a size beyond all": lambda: _png(IHDR=_header(2**31 - 1, 2**31 - 1)),
        "a text that unpacks to half a gigabyte": lambda: _png(
            (b"zTXt", b"x\0\0" + _packed(2**29))
        ),
        "EXIF that is none": lambda: _png((b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")),
        "EXIF in circles": lambda: _png((b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\x08")),
        "a rotation that is a text": lambda: _png(
            (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abcd\0\0\0\0")
        ),
        "a JPEG of 65,500 pixels a side": lambda: _jpeg_header(65_500, 65_500),
        "a WebP of 16,383 pixels a side": lambda: _webp_header(16_383),
        "a palette of nothing": lambda: _png(IHDR=_header(32, 16, kind=3)),
    },
    "picture": {
        "nothing": b"",
        "half of JPEG's EXIF": image_file("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05"),
        "half a profile": _half_a_profile,
        "a hundred million pixels": lambda: _blank_png(10_000),
        "a WebP of 16,383 pixels a side": lambda: _webp_header(16_383),
        "EXIF that is none": lambda: _png((b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")),
    },
    "jobs.csv": {
        "nothing": b"",
        "a field of a megabyte": b"prompt\n" + b"x" * 1_000_000,
        "an open quotation mark": b'prompt\n"' + b"a\n" * 10_000,
        "a NUL": b"prompt\na\0b\n",
        "deep JSON": b"tags\n" + b"[" * 50_000,
        "JSON of many digits": b'tags\n"[' + b"9" * 5_000 + b']"',
        "half a character in JSON": b'tags\n"[""\\ud800""]"',
        "a number beyond all": b"strength\n1e999\n",
        "no number": b"strength\nnan\n",
        "other digits": "seed\n١٢\n".encode(),
        "many digits": b"seed\n" + b"9" * 5_000,
        "UTF-16": "prompt\na\n".encode("utf-16"),
        "many columns": b",".join(b"c%d" % n for n in range(5_000)) + b"\n1\n",
    },
    "jobs.jsonl": {
        "deep lists": _DEEP_LISTS,
        "deep objects": _DEEP_OBJECTS,
        "one line after another": b"{}\n" * 1_000,
        **{
            name: json.dumps(rows[0]).encode()
            for name, rows in _STRANGE_JOBS.items()
            if isinstance(rows, list)
        },
    },
    "jobs.yaml": {
        **_STRANGE_YAML,
        **{name: json.dumps(value).encode() for name, value in _STRANGE_JOBS.items()},
        "a hexadecimal seed of many digits": b"- seed: 0x" + b"f" * 5_000,
    },
    "jobs.parquet": {
        "nothing": b"",
        "magic alone": b"PAR1PAR1",
        "a footer longer than the file": b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
        "a text that is none": lambda: _parquet_of_bytes(b"a \xff boat"),
    },
    "notebook": {
        "no Python, and no language": lambda: _notebook_of(
            "steps D 4", metadata={"tags": ["parameters"]}
        ).replace(b'"language"', b'"x"'),
        "no language": lambda: _notebook().replace(b'"language"', b'"x"'),
        "a language of nobody": lambda: _notebook().replace(b'"python"', b'"pytbon"'),
        "nothing": b"",
        "a list": b"[]",
        "deep lists": _DEEP_LISTS,
        "deep cells": b'{"cells":' + _DEEP_LISTS + b"}",
        "a cell of the first version that is none": b'{"cells": [{"cell_type": null}]}',
        "cells without ids": lambda: _notebook_of_ids(None, None),
        "cells of one id": lambda: _notebook_of_ids("a", "a"),
        "version 3": lambda: _notebook(nbformat=3),
        "version 99": lambda: _notebook(nbformat=99),
        "version a": lambda: _notebook(nbformat="a"),
        "no cells": lambda: _notebook(cells=None),
        "cells that are texts": lambda: _notebook(cells=["a"]),
        "metadata that are a list": lambda: _notebook(metadata=[]),
        "a kernel that is a list": lambda: _notebook(metadata={"kernelspec": []}),
        "a kernel whose name is a list": lambda: _notebook(
            metadata={"kernelspec": {"name": ["a"]}}
        ),
        "tags that are a number": lambda: _notebook_of("a = 1", metadata={"tags": 3}),
        "tags that are null": lambda: _notebook_of("a = 1", metadata={"tags": None}),
        "tags that are mixed": lambda: _notebook_of(
            "a = 1", metadata={"tags": ["parameters", 3, None]}
        ),
        "a source that is a number": lambda: _notebook_of(3),
        "a source that is null": lambda: _notebook_of(None),
        "a NUL in the source": lambda: _notebook_of("a = 1\0"),
        "half a character in the source": lambda: _notebook_of("a = '\ud800'"),
        "deep parentheses": lambda: _notebook_of("a = " + "(" * 500),
        "a deep expression": lambda: _notebook_of("a = " + "-" * 5_000 + "1"),
        "a deep sum": lambda: _notebook_of("a: " + "int|" * 5_000 + "str = 1"),
        "a deep attribute": lambda: _notebook_of("a: " + "x." * 5_000 + "str = 1"),
        "a number of many digits": lambda: _notebook_of("a = " + "9" * 5_000),
        "a set that cannot be": lambda: _notebook_of("a = {[]: 1}"),
        "a type in a comment": lambda: _notebook_of("a = 1  # type: ((((("),
        "a deep type in quotes": lambda: _notebook_of("a: '" + "-" * 5_000 + "1' = 1"),
        "a type in quotes in itself": lambda: _notebook_of("a: \"'\\'int\\''\" = 1"),
    },
    "executed notebook": {
        "nothing": b"",
        "deep lists": _DEEP_LISTS,
        "deep objects": _DEEP_OBJECTS,
        "a job that is a list": lambda: _executed(job=[1]),
        "a key that is a mapping": lambda: _executed(key={"a": 1}),
        "a status that is a number": lambda: _executed(status=3),
        "an error of lines": lambda: _executed(error="a\nb"),
        "pictures that are a number": lambda: _glued(3),
        "pictures that are texts": lambda: _glued("abc"),
        "pictures whose ids are lists": lambda: _glued([{"id": [], "path": {}}]),
        "not UTF-8": b"\xff\xfe\x00",
    },
    "imagen.yaml": {
        **_STRANGE_YAML,
        "nothing": b"",
        "UTF-16": "steps: 4\n".encode("utf-16"),
        "a folder with a NUL": b'output: {dir: "a\\0b"}',
        "half a character in a folder": b'output: {dir: "\\ud800"}',
        "a home of nobody's": b"output: {dir: ~nobody-at-all/x}",
        "an address with a bracket": b"supabase: {url: 'http://[', key: k}",
        "steps of many digits": b"steps: 0x" + b"f" * 5_000,
        "prices of many digits": b"cost: {prices: {a: 0x" + b"f" * 5_000 + b"}}",
        "a backend of NaN": b"backend: {type: flux, model: .nan}",
        "keys of all kinds": b"1: 2\n~: 3\n2026-05-11: 4\n[a]: 5\n",
        "a key of many digits": b"0x" + b"f" * 5_000 + b": 1",
        "many keys": b"\n".join(b"k%d: 1" % n for n in range(5_000)),
    },
    "environment": {
        "deep YAML": b"IMAGEN_COST_PRICES=" + b"[" * 5_000,
        "no YAML": b"IMAGEN_COST_PRICES={a: !!int ''}",
        "a truth that is none": b"IMAGEN_COST_PRICES={a: !!bool maybe}",
        "a time that is none": b"IMAGEN_COST_PRICES={a: !!timestamp noon}",
        "a mapping that holds itself": b"IMAGEN_COST_PRICES=&a {b: *a}",
        "half a character": b"IMAGEN_TAGS=\xff,\xfe",
        "half a character in a key": b"SUPABASE_KEY=\xff",
        "many digits": b"IMAGEN_STEPS=" + b"9" * 5_000,
        "a number beyond all": b"IMAGEN_GUIDANCE=1e999",
    },
    "safetensors": {
        "nothing": b"",
        "a length beyond all": b"\xff" * 8 + b"{}",
        "a length of a hundred megabytes": (100_000_000).to_bytes(8, "little") + b"{}",
        "deep lists": lambda: safetensors_of(_DEEP_LISTS),
        "deep objects": lambda: safetensors_of(_DEEP_OBJECTS),
        "not UTF-8": lambda: safetensors_of(b"\xff\xfe\x00"),
        "a list": lambda: safetensors_of(b"[]"),
        "metadata that are a list": lambda: safetensors_of(b'{"__metadata__": []}'),
        "tags that are deep": lambda: safetensors_of(
            json.dumps({"__metadata__": {"ss_tag_frequency": "[" * 50_000}}).encode()
        ),
        "tags that are counted beyond all": lambda: safetensors_of(
            b'{"__metadata__": {"ss_tag_frequency": "{\\"a\\": {\\"b\\": 1e999}}"}}'
        ),
        "a shape beyond all": lambda: safetensors_of(b'{"a": {"shape": [%s]}}' % (b"9" * 4_000)),
        "a shape that is a text": lambda: safetensors_of(b'{"a": {"shape": "ab"}}'),
        "half a character": lambda: safetensors_of(b'{"__metadata__": {"base_model": "\\ud800"}}'),
        "lines": lambda: safetensors_of(b'{"__metadata__": {"base_model": "a\\nb"}}'),
    },
    "weights index": {
        "nothing": b"",
        "deep lists": _DEEP_LISTS,
        "deep objects": _DEEP_OBJECTS,
        "many digits": b'{"a": ' + b"9" * 5_000 + b"}",
        "not UTF-8": b"\xff",
    },
    "answer of Supabase": {
        "nothing": b"2",
        "deep lists": b"2" + _DEEP_LISTS,
        "many digits": b"2[" + b"9" * 5_000 + b"]",
        "not UTF-8": b"2\xff\xfe",
        "half a character": lambda: _row(prompt="\ud800"),
        "half a character in a sidecar": lambda: _row(sidecar={"a": "\ud800"}),
        "an id with half a character": lambda: _row(id="\ud800"),
        "a path that is a number": lambda: _row(storage_path=3),
        "the last day": lambda: _row(created_at="9999-12-31T23:59:59-14:00"),
        "an error that is a list": lambda: _answer([1], b"4"),
        "an error whose message is an object": lambda: _answer(
            {"message": {"a": 1}, "code": ["x"], "statusCode": {}}, b"4"
        ),
        "a session without a user": lambda: _answer({"access_token": "t", "expires_in": 1}),
        "a session of no time": lambda: _answer({"access_token": "t", "expires_in": "NaN"}),
        "an error of half a character": lambda: _answer({"message": "\ud800", "code": "1"}, b"4"),
        "a size beyond all": lambda: _answer({"size": 1e999}),
    },
    "answer of Replicate": {
        "nothing": b"2",
        "deep lists": b"2" + _DEEP_LISTS,
        "half a character": lambda: _prediction(id="\ud800"),
        "an error of half a character": lambda: _prediction(status="failed", error="\ud800"),
        "an error that is an object": lambda: _prediction(status="failed", error={"a": ["b"]}),
        "an output that is a file": lambda: _prediction(output=["file:///etc/passwd"]),
        "an output that is no address": lambda: _prediction(output="http://[::1"),
        "an output with a NUL": lambda: _prediction(output="http://127.0.0.1/\0"),
        "an output of half a character": lambda: _prediction(output="http://\ud800/"),
        "an output of many characters": lambda: _prediction(output="http://" + "x" * 100_000),
        "an output that is a number": lambda: _prediction(output=3),
        "an output at a port beyond all": lambda: _prediction(output="http://127.0.0.1:99999/"),
        "a file that is a PNG of many pixels": lambda: b"f" + _blank_png(4_000),
        "a file that is a text": b"fabc",
    },
    "picture of others": {
        "nothing": b"",
        "many texts": lambda: _foreign_png(
            *[(b"tEXt", b"x%d\0" % n + b"x" * 1_000) for n in range(10_000)]
        ),
        "texts after the pixels that unpack": lambda: png_of(
            [*_foreign_chunks()[:-1], (b"zTXt", b"a\0\0" + _packed(2**29)), (b"IEND", b"")]
        ),
        "a hundred million pixels": lambda: _blank_png(10_000),
        "forty million pixels": lambda: _blank_png(6_300),
        "half of JPEG's EXIF": image_file("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05"),
        "EXIF that is none": lambda: _foreign_png((b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")),
        "half a profile": _half_a_profile,
        "frames that are none": lambda: _foreign_png((b"acTL", b""), (b"fcTL", b"")),
        "deep lists": lambda: _foreign_png((b"tEXt", b"prompt\0" + _DEEP_LISTS)),
        "a comment of odd length": lambda: image_file(
            "JPEG", exif=exif_of({"UserComment": "x" * 21}, "utf-8")
        ),
    },
    "texts of others": {
        "deep lists in a prompt": lambda: _texts(prompt=_DEEP_LISTS.decode()),
        "deep objects in a prompt": lambda: _texts(prompt=_DEEP_OBJECTS.decode()),
        "deep lists in an infotext": lambda: _texts(
            parameters="x\nSteps: 4, Seed: 1, Hashes: " + _DEEP_LISTS.decode()[:45_000]
        ),
        "an infotext of many digits": _texts(
            parameters=f"x\nSteps: {'9' * 5_000}, Seed: {'9' * 5_000}, CFG scale: 1e999, Size: x"
        ),
        "JSON of many digits": _texts(invokeai_metadata='{"seed": ' + "9" * 5_000 + "}"),
        "numbers that are none": _texts(
            invokeai_metadata='{"seed": NaN, "steps": Infinity, "cfg_scale": -1e999, "width": true}'
        ),
        "other digits": _texts(parameters="x\nSteps: ١٢, Seed: ٣, CFG scale: ４, Size: x"),
        "half a character": _texts(invokeai_metadata='{"positive_prompt": "\\ud800", "seed": 1}'),
        "a NUL": _texts(invokeai_metadata='{"positive_prompt": "\\u0000", "model": "\\u0000"}'),
        "many lists": lambda: _texts(prompt='{"a": [' + "[], " * 600_000 + "[]]}"),
        "more than is read": lambda: _texts(prompt='{"a": "' + "x" * 6_000_000 + '"}'),
        "many nodes": lambda: _texts(
            prompt=json.dumps(
                {
                    str(n): {"class_type": "SaveImage", "inputs": {"images": [str(n + 1), 0]}}
                    for n in range(50_000)
                }
            )
        ),
        "many LoRAs": lambda: _texts(
            parameters=" ".join(f"<lora:{n}:1>" for n in range(20_000)) + "\nSteps: 4, Seed: 1"
        ),
        "many lines of settings": lambda: _texts(parameters="\n".join(["a: b, Seed" * 4_500] * 30)),
        "a name of two lines": b'{"a\\nb\\u2028c": "x"}',
        "a node that links to itself": _texts(
            prompt='{"a": {"class_type": "x", "inputs": {"images": ["a", 0], "text": ["a", 0]}}}'
        ),
        "texts joined from themselves": _texts(
            prompt=json.dumps(
                {
                    "s": {"class_type": "SaveImage", "inputs": {"images": ["k", 0]}},
                    "k": {
                        "class_type": "K",
                        "inputs": {"seed": 1, "steps": 1, "scheduler": "x", "positive": ["t", 0]},
                    },
                    "t": {"class_type": "T", "inputs": {"clip": 1, "text": ["j", 0]}},
                    "j": {
                        "class_type": "StringConcatenate",
                        "inputs": {"string_a": ["j", 0], "string_b": ["j", 0]},
                    },
                }
            )
        ),
    },
    "run of wandb": {
        "deep lists": b"s" + _DEEP_LISTS,
        "deep YAML": b"c" + b"- " * 5_000,
        "aliases": lambda: b"c" + _aliases(9),
        "columns that are none": b't{"columns": [[], {}, null], "data": [[{"path": []}]]}',
        "captions of other lengths": b's{"a": {"filenames": ["x"], "captions": []}}',
    },
    "prompt": {
        "many seeds": b",".join([b"0..99999"] * 2_000),
        "many alternatives of a long prompt": b"{a|b}" * 16 + b"x" * 50_000,
        "many alternatives in one": b"{" + b"a|" * 300_000 + b"a}",
        "many braces": b"{" * 100_000,
        "many empty alternatives": b"{||||}" * 30,
        "backslashes": b"\\" * 100_001 + b"{",
        "many sizes": b",".join([b"1x1"] * 500_000),
        "a range beyond all": b"0.." + b"9" * 4_000,
        "a range of negatives": b"-9..-1",
        "many digits": b"9" * 5_000,
        "other digits": "١..٢".encode(),
        "half a character": b"\xff",
    },
    "frame": {
        "deep lists": _DEEP_LISTS,
        "deep objects": _DEEP_OBJECTS,
        "many digits": b"[" + b"9" * 5_000 + b"]",
        "bytes of many digits": b'{"bytes": %s}' % (b"9" * 4_000),
        "half a character": b'{"sha256": "\\ud800"}',
        "a NUL": b"\0",
    },
}


def _jpeg_header(width: int, height: int) -> bytes:
    """A JPEG that says how large it is, and has nothing else."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0\2\x11\1\3\x11\1"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + bytes(100)


def _webp_header(side: int) -> bytes:
    """A WebP with a canvas of so many pixels a side, and one frame that is torn."""
    canvas = struct.pack("<I", side - 1)[:3] * 2
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def _notebook_of_ids(*ids: str | None) -> bytes:
    """The notebook, its cells with these ids; None for none."""
    notebook = _seed("notebook")
    for cell, id in zip(notebook["cells"], ids, strict=True):
        cell.pop("id", None)
        if id is not None:
            cell["id"] = id
    return json.dumps(notebook).encode()


def _parquet_of_bytes(value: bytes) -> bytes:
    """A column of text that holds these bytes."""
    prompts = pa.array([value]).cast(pa.string(), safe=False)
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"prompt": prompts}), buffer)
    return buffer.getvalue()


def crafted_bytes(reader: str, name: str) -> bytes:
    """The bytes of one case; the large ones are packed only here."""
    data = CRAFTED[reader][name]
    return data if isinstance(data, bytes) else data()
