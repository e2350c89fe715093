"""All that reads bytes of others: what a test hands to each, and what valid bytes are.

A reader is a function of the bytes and an empty folder, where it may put them into a file.
"""

from __future__ import annotations

import functools
import io
import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import nbformat
import pandas as pd
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from pydantic import SecretStr

from imagen_nb.backends.flux.lora_files import lora_rows
from imagen_nb.backends.flux.loras import (
    hash_loras,
    loras_of_record,
    parse_lora,
    require_plan_takes_loras,
)
from imagen_nb.backends.flux.memory.machine import weights_gb_in_16_bits
from imagen_nb.backends.flux.memory.plan import MemoryPlan
from imagen_nb.backends.flux.weights import load_json_object
from imagen_nb.backends.replicate.errors import error_of_status
from imagen_nb.batch.jobs.jobs import make_jobs
from imagen_nb.batch.jobs.notebook import Template, load_template
from imagen_nb.batch.results.executed import (
    ExecutionOptions,
    make_failed_notebook,
    outcome_of_notebook,
)
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.config.presets import load_presets, save_preset
from imagen_nb.config.settings import environment_name, load_settings, setting_keys, validate_file
from imagen_nb.errors import ImagenError
from imagen_nb.frames.pictures.locate import PictureLocation, load_image, locate_pictures
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import history_frame, parse_sidecar, parse_tags
from imagen_nb.frames.sources.local import CatalogSource
from imagen_nb.frames.sources.remote import ApiSource
from imagen_nb.request.images import decode_input
from imagen_nb.request.sweep import expanded_prompts
from imagen_nb.request.sweep_syntax import escape, parse_floats, parse_ints, parse_sizes
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.input_files import load_inputs
from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from imagen_nb.storage.other_programs.reading import read_metadata
from imagen_nb.storage.output import PictureFiles, load_png_record, load_record, load_sidecar
from imagen_nb.storage.png import has_pixels_of, png_texts
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from imagen_nb.storage.verification import verify_picture
from imagen_nb.system.thumbnails import encode_webp, image_read_errors
from tests.fixtures.other_programs import SAMPLES, write_sample
from tests.fixtures.other_servers import ID, ROW, SIGNED_IN
from tests.fixtures.replicate_server import TOKEN, Answer, Running, backend_at
from tests.fuzz.answering import answering_server
from tests.fuzz.mutations import mutated, mutated_json, mutated_png, mutated_safetensors

NAME = "2026-05-11-a-boat-11.png"
_SIGNED = Path(__file__).parents[1] / "fixtures" / "signed.png"


@dataclass(frozen=True)
class Reader:
    """`read` is handed bytes such as `strategy` gives; `seeds` are whole ones.

    `examples`: how many the short form of the test tries.
    """

    read: Callable[[bytes, Path], None]
    strategy: st.SearchStrategy[bytes]
    seeds: Sequence[bytes]
    examples: int = 20


def _record(**fields: Any) -> Record:
    usual = {
        "id": ID,
        "prompt": "a boat",
        "backend": "b",
        "model": "m",
        "seed": 11,
        "steps": 4,
        "width": 32,
        "height": 16,
        "created_at": "2026-05-11T12:00:00Z",
        "tags": ["x"],
        "versions": {"imagen_nb": "0.1.0"},
        "options": {"a": [1, 2.5, {"b": None}]},
        "loras": [{"path": "ink.safetensors", "sha256": "0" * 64, "weight": 0.5}],
        "inputs": [{"name": "mask", "file": f"inputs/{'0' * 64}.png", "sha256": "0" * 64}],
        "unsent_tags": [{"tag": "x", "present": True, "made_at": "2026-05-11T12:00:00Z"}],
        "memory_plan": {"quantization": "int8"},
        "storage_path": "2026-05-11/a-boat-11.png",
    }
    return Record(**(usual | fields))


@functools.cache
def _kept() -> tuple[bytes, bytes]:
    """A PNG and a sidecar as we write them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        kept = PictureFiles(folder).save(_picture(), _record(), date(2026, 5, 11))
        return kept.path.read_bytes(), kept.sidecar_path.read_bytes()


def _picture() -> Image.Image:
    return Image.linear_gradient("L").resize((32, 16)).convert("RGB")


def image_file(form: str, mode: str = "RGB", **options: Any) -> bytes:
    """A small picture in this format and mode."""
    buffer = io.BytesIO()
    _picture().convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def _read_png(data: bytes, folder: Path) -> None:
    path = folder / NAME
    path.write_bytes(data)
    has_pixels_of(path, _picture())
    record = load_png_record(path)
    assert load_record(path) == record
    _use_record(record, folder)


def _read_any_picture(data: bytes, folder: Path) -> None:
    """What `imagen verify` is handed: a picture, signed or not, or what is called so."""
    path = folder / NAME
    path.write_bytes(data)
    found = verify_picture(path)
    assert all(str(check).isprintable() for check in found.checks)
    json.dumps(asdict(found), default=str).encode()


def _use_record(record: Record, folder: Path) -> None:
    """Do with a record all that is done with those that are not of this session."""
    record.to_row(), png_texts(record), record.decides()
    assert Record.from_sidecar(record.to_sidecar()).id == record.id
    json.dumps(record.to_row(), allow_nan=False).encode()
    with suppress(ImagenError):
        load_inputs(record, [folder])
    with suppress(ImagenError):
        loras_of_record(record.loras)


def _read_sidecar(data: bytes, folder: Path) -> None:
    sidecar = folder / f"{NAME}.json"
    sidecar.write_bytes(data)
    record = load_sidecar(sidecar)
    if record is not None:
        _use_record(record, folder)


def _read_folder(data: bytes, folder: Path) -> None:
    """A folder that somebody handed over: a PNG of theirs, a sidecar of theirs."""
    own, _ = _kept()
    (folder / "2026-05-11-own-1.png").write_bytes(own)
    is_picture = data.startswith(b"\x89PNG")
    (folder / NAME).write_bytes(data if is_picture else own)
    if not is_picture:
        (folder / f"{NAME}.json").write_bytes(data)
    with closing(Catalog(folder)) as catalog:
        with catalog.connection():
            pass  # opening it enters what has a sidecar
        reindex(folder)
        history_frame(CatalogSource([catalog]).load(Query(), sidecar=True))


def _read_input(data: bytes, folder: Path) -> None:
    image = decode_input("init_image", data)
    assert image.image(32, 16).size == image.mask(32, 16).size == (32, 16)


def _read_picture(data: bytes, folder: Path) -> None:
    path = folder / NAME
    path.write_bytes(data)
    (row,) = locate_pictures(
        pd.DataFrame({"id": [ID], "storage_path": ["x.png"], "local_path": [str(path)]})
    )
    assert isinstance(row, PictureLocation)
    encode_webp(load_image(row, None))


def _read_of_others(data: bytes, folder: Path) -> None:
    """A file that another program may have made; Pillow refuses some, or warns, as ever."""
    path = folder / "a"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path, formats=["PNG", "JPEG", "WEBP"])
        except image_read_errors():
            return
    with image:
        _use_metadata(read_metadata(image, path), folder)


def _read_texts_of_others(data: bytes, folder: Path) -> None:
    """The texts of a picture by their names, in JSON; what is no text is JSON itself."""
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError):
        texts = {"parameters": data.decode("utf-8", "replace")}
    image = Image.new("RGB", (2, 2))
    for name, text in texts.items() if isinstance(texts, dict) else ():
        image.info[name] = text if isinstance(text, str) else json.dumps(text)
    _use_metadata(read_metadata(image, folder / "a.png"), folder)


def _read_run(data: bytes, folder: Path) -> None:
    """The first byte says which file of a run of wandb the others are."""
    media = folder / "media" / "images" / f"samples_12_{'d1' * 10}.png"
    media.parent.mkdir(parents=True)
    (folder / "media" / "table").mkdir()
    (folder / "wandb-metadata.json").write_bytes(b"{}")
    (folder / _RUN_FILES.get(data[:1], "config.yaml")).write_bytes(data[1:])
    _use_metadata(read_metadata(Image.new("RGB", (2, 2)), media), folder)


_RUN_FILES = {
    b"s": "wandb-summary.json",
    b"h": "wandb-history.jsonl",
    b"t": "media/table/a.table.json",
}


def _use_metadata(found: ForeignMetadata, folder: Path) -> None:
    """Make a record of it, as adopting does."""
    assert len((found.not_understood or "x").splitlines()) == 1
    record = _record(
        prompt=found.prompt,
        negative_prompt=found.negative_prompt,
        backend=found.program,
        model=found.model,
        seed=found.seed,
        steps=found.steps or 0,
        guidance=found.guidance,
        true_cfg=found.true_cfg,
        scheduler_name=found.sampler,
        strength=found.strength,
        loras=found.loras,
        options={"raw": found.raw},
    )
    names = [lora["name"] for lora in found.loras]
    texts = (found.prompt, found.negative_prompt, found.model, found.sampler, *names)
    assert not any("\0" in (text or "") for text in (*texts, *found.raw, *found.raw.values()))
    _use_record(record, folder)


@functools.cache
def template() -> Template:
    """A notebook whose parameters are of every type."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.ipynb"
        path.write_bytes(_NOTEBOOK)
        return load_template(path)


_PARAMETERS = """prompt: str = None  # what to draw
seed: int | None = None
steps = 4
width, height = 32, 16
strength: float = 0.5
tags: list[str] = []
loud = False
more: dict | None = None
anything = None
"""
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def _notebook(**metadata: Any) -> bytes:
    first = new_code_cell(_PARAMETERS, metadata={"tags": ["parameters"]}, id="a")
    second = new_code_cell("print(prompt)", id="b")
    for cell in (first, second):
        cell.metadata["papermill"] = {}
    notebook = new_notebook(cells=[first, second], metadata=_KERNEL | metadata)
    text: str = nbformat.writes(notebook)
    return text.encode()


_NOTEBOOK = _notebook()


def _jobs_reader(suffix: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        path = folder / f"jobs.{suffix}"
        path.write_bytes(data)
        for job in make_jobs(path, template())[:3]:
            options = ExecutionOptions(template())
            executed = make_failed_notebook(job, options, "not run").text.encode()
            assert outcome_of_notebook(executed) is not None

    return read


def _read_notebook(data: bytes, folder: Path) -> None:
    path = folder / "work.ipynb"
    path.write_bytes(data)
    for job in make_jobs([{}], load_template(path)):
        options = ExecutionOptions(load_template(path))
        make_failed_notebook(job, options, "not run").text.encode()


def _read_executed(data: bytes, folder: Path) -> None:
    executed = folder / "a-0.ipynb"
    executed.write_bytes(data)
    outcome_of_notebook(data)
    outcome_of_notebook(data.decode("utf-8", "replace"))
    BatchFolder(folder)


@functools.cache
def _executed_seeds() -> tuple[bytes, ...]:
    scrap = {"name": "pictures", "data": [{"id": ID, "path": "/x.png"}], "version": 1}
    (job,) = make_jobs([{"prompt": "a boat"}], template())
    failed = json.loads(make_failed_notebook(job, ExecutionOptions(template()), "no").text)
    outputs = [
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"application/scrapbook.scrap.json+json": scrap},
        }
    ]
    failed["cells"][0]["outputs"] = outputs
    return (json.dumps(failed).encode(),)


def _read_configuration(data: bytes, folder: Path) -> None:
    path = folder / "imagen.yaml"
    path.write_bytes(data)
    for problem in validate_file(path):
        assert len(str(problem).splitlines()) == 1
    _use_settings(load_settings(path=path, environ={}))


def _read_presets(data: bytes, folder: Path) -> None:
    path = folder / "imagen-presets.yaml"
    path.write_bytes(data)
    for name, preset in load_presets(path).items():
        save_preset(path, name, preset)


def _read_environment(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        name, _, value = line.partition("=")
        with suppress(ImagenError):
            environ = {"XDG_CONFIG_HOME": str(folder), name: value}
            _use_settings(load_settings(environ=environ))


def _use_settings(settings: Any) -> None:
    repr(settings), [*settings.shown()], settings.backend_choice()


def _read_safetensors(data: bytes, folder: Path) -> None:
    path = folder / "ink.safetensors"
    path.write_bytes(data)
    (row,) = lora_rows(folder)
    json.dumps(row)
    weights_gb_in_16_bits(folder)
    loras = hash_loras([(path, 1.0)])
    require_plan_takes_loras(MemoryPlan(text_encoders="freed"), loras)


def _read_weights_index(data: bytes, folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_bytes(data)
    load_json_object(path)


@functools.cache
def _cloud() -> Cloud:
    url = answering_server().url
    return Cloud(Account(url, SecretStr("k"), owner=UUID(ID)), attempts=1)


@functools.cache
def _cloud_that_signs_in() -> Cloud:
    url = answering_server().url
    return Cloud(Account(url, SecretStr("k"), "me@here", SecretStr("p")), attempts=1)


def _read_answer(data: bytes, folder: Path) -> None:
    """The first byte is the status: most are fine, the others are errors."""
    server = answering_server()
    server.status, server.body = _STATUSES.get(data[:1], 200), data[1:]
    cloud = _cloud()
    requests: tuple[Callable[[], object], ...] = (
        lambda: cloud.paths([ID]),
        lambda: cloud.update({"tags": []}, [("id", f"eq.{ID}")], "id,tags"),
        lambda: cloud.insert([{"id": ID, "storage_path": "x.png"}]),
        lambda: cloud.signed_urls(["x.png"]),
        lambda: cloud.object_info("x.png"),
        lambda: cloud.upload("x.png", b"png"),
        lambda: cloud.insert_error_code("images", {"id": ID}),
        lambda: cloud.read(f"{server.url}/x", 1_000),
        lambda: history_frame(ApiSource(cloud).load(Query(limit=2), sidecar=True)),
        lambda: _cloud_that_signs_in().owner(),
    )
    for request in requests:
        with suppress(ImagenError):
            request()


_STATUSES = {b"4": 400, b"1": 401, b"3": 403, b"0": 404, b"9": 409, b"6": 413, b"5": 500}
_ROW = ROW | {"prompt_hash": "", "tags": ["a"], "sidecar": {"a": 1}}
_ANSWERS = [
    [_ROW],
    [{"path": "x.png", "error": None, "signedURL": "/sign/x"}],
    {"size": 3, "etag": '"0123"', "id": ID, "version": "1", "name": "x.png"},
    {"code": "42501", "message": "no", "details": None, "hint": None},
    {"statusCode": "409", "error": "Duplicate", "message": "The resource already exists"},
    json.loads(SIGNED_IN),
    {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"},
]
_ANSWER_SEEDS = [json.dumps(answer).encode() for answer in _ANSWERS]


def _with_status(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    statuses = st.sampled_from((b"2", b"2", *_STATUSES))
    return st.tuples(statuses, strategy).map(lambda pair: pair[0] + pair[1])


@functools.cache
def _replicate() -> Any:
    return Running().__enter__()


def _read_replicate(data: bytes, folder: Path) -> None:
    """What comes instead of the prediction, and of the file that it names."""
    server, kind = _replicate(), data[:1]
    server.script.clear()
    status = _STATUSES.get(kind, 200)
    if kind == b"f":
        server.will("file", *[Answer(200, data[1:])] * 9)
    else:
        server.will("create", *[Answer(status, data[1:])] * 9)
    backend = backend_at(server, timeout=0.2)
    server.predictions.clear()
    for _ in backend.draw([_request()], None, _never()):
        pass
    error_of_status(status, data[1:].decode("utf-8", "replace"), SecretStr(TOKEN))


def _request() -> Any:
    from imagen_nb.request.request import resolve

    backend = backend_at(SimpleNamespace(url="http://127.0.0.1:9"))  # type: ignore[arg-type]
    return resolve("a boat", defaults=backend.defaults, limits=backend.limits, seed=1)


def _never() -> Any:
    from threading import Event

    return Event()


_PREDICTION = {
    "id": "p0",
    "model": "black-forest-labs/flux-dev",
    "version": "v",
    "status": "succeeded",
    "input": {},
    "output": ["http://127.0.0.1:9/x.png"],
    "logs": "",
    "error": None,
    "metrics": {},
    "created_at": "2026-11-25T08:00:00Z",
    "urls": {},
}
_PROBLEM = {"title": "Too many", "detail": "Your rate limit resets in ~9s.", "status": 429}
_PREDICTIONS = [json.dumps(one).encode() for one in (_PREDICTION, _PROBLEM)]


def _read_prompt(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_ints, parse_floats, parse_sizes):
        with suppress(ImagenError):
            parse(text)
    parse_lora(text)
    with suppress(ImagenError):
        assert expanded_prompts(escape(text)) == [text]
    expanded_prompts(text)


def _read_frame_values(data: bytes, folder: Path) -> None:
    """Cells of a frame that was in a file meanwhile."""
    text = data.decode("utf-8", "replace")
    parse_sidecar(text), parse_tags(text)
    locate_pictures(
        pd.DataFrame({"id": [text], "storage_path": [text], "local_path": [text], "sidecar": text})
    )


def _pngs() -> tuple[bytes, ...]:
    return (
        _kept()[0],
        image_file("PNG", "RGBA"),
        image_file("PNG", "P"),
        image_file("PNG", "1"),
        image_file("PNG", exif=_orientation(6)),
    )


def _images() -> tuple[bytes, ...]:
    return (
        *_pngs(),
        image_file("JPEG"),
        image_file("JPEG", "CMYK"),
        image_file("JPEG", progressive=True, exif=_orientation(6)),
        image_file("WEBP", lossless=True),
        image_file("WEBP", exif=_orientation(8)),
    )


def _orientation(turned: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turned
    return exif.tobytes()


_TABLE = [{"prompt": "a boat", "seed": 7, "tags": ["x"]}, {"prompt": "{a|b}", "strength": 0.5}]
_GRID = {"prompts": ["{red|blue} boat"], "seeds": "1..3", "sizes": "128x192", "steps": [1, 2]}
_CSV = (
    b'\xef\xbb\xbfprompt,seed,strength,tags,loud,more\n"a boat, red",7,1,"a, b",yes,"{""a"": 1}"\n',
    b"job\tprompt\tseed\nboat-1\ta boat\t7\n",
)
_YAML = (
    b"prompts:\n  - '{red|blue} boat'\nseeds: 1..8\nsizes: 128x128,192x128\nsteps: [1, 2]\n",
    b"- &a {prompt: a, seed: 1}\n- {<<: *a, seed: 2}\n- prompt: 2026-05-11\n  steps: 4\n",
)
_CONFIGURATIONS = (
    b"backend: auto\nsteps: 4\ntags: [a, b]\noutput:\n  dir: pictures\n  cloud_sync: off\n"
    b"supabase:\n  url: https://x.supabase.co\n  key: k\n  exit_seconds: 5\n",
    b"backend: {type: flux, model: /models/mine, api_token: t}\nmemory: {quantization: int8}\n"
    b"cost:\n  prices: {flux-dev-replicate: 0.025}\n  watts: nvml\nowner_user_id: "
    + ID.encode()
    + b"\npreview: on\n",
)
_CONFIGURATION_VALUES = [
    json.dumps(value).encode()
    for value in (
        {"backend": {"type": "flux", "model": "m"}, "steps": 4, "guidance": 1.5, "tags": ["a"]},
        {"output": {"dir": "x"}, "supabase": {"url": "https://x.co", "exit_seconds": 1}},
        {"memory": {"batch": 1, "dtype": "float32", "vae_tiling": True}, "preview": "on"},
        {"cost": {"prices": {"a": 1.0}, "watts": 3}, "replicate": {"timeout": 3}, "width": 32},
        {"provenance": {"c2pa": True, "certificate": "a.pem", "private_key": "b.pem"}},
    )
]
_PRESETS = [
    b"fast:\n  backend: flux-tiny-local\n  steps: 4\n  loras: [[ink.safetensors, 0.5]]\n",
    b"wide:\n  width: 144\n  height: 112\n  tags: [sea]\n  true_cfg: 2.5\nplain: {}\n",
]
_ENVIRONMENT = b"\n".join(
    f"{environment_name(key)}={value}".encode()
    for key, value in zip(
        setting_keys(), ["1", "a", "{a: 1}", "on", "[a, b]", "0.5", ID] * 9, strict=False
    )
)
_HEADERS = [
    json.dumps(header).encode()
    for header in (
        {
            "__metadata__": {
                "ss_tag_frequency": json.dumps({"a": {"boat": 3, "sea": 1}}),
                "modelspec.architecture": "flux-1-dev/lora",
            },
            "text_encoder.a": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]},
            "b": {"dtype": "F32", "shape": [8], "data_offsets": [32, 64]},
        },
        {"__metadata__": {"modelspec.trigger_phrase": "ink"}},
    )
]
_PROMPTS = (
    "{red|blue|{light|dark} green} boat, \\{photo\\}",
    "1..8,12",
    "0,3.5",
    "128x128,192x128",
    "me/boats:0.5",
    "a " * 200,
)


@functools.cache
def _of_others() -> tuple[bytes, ...]:
    """One file of each format and program; the hidden ones are large for what they say."""
    import tempfile

    some = {(s.format, s.expected["program"]): s for s in SAMPLES if not s.hidden and not s.path}
    with tempfile.TemporaryDirectory() as folder:
        return tuple(write_sample(each, Path(folder)).read_bytes() for each in some.values())


def _texts_of_others() -> list[bytes]:
    """The texts of each sample; what is JSON in them as values, to be changed inside."""

    def inside(text: str) -> Any:
        with suppress(ValueError):
            return json.loads(text)
        return text

    return _json_seeds(
        *({key: inside(text) for key, text in each.chunks.items()} for each in SAMPLES)
    )


def _runs() -> tuple[list[bytes], list[bytes]]:
    """The files of runs: those in YAML, those in JSON."""
    letters = {name: letter for letter, name in _RUN_FILES.items()}
    files = [pair for sample in SAMPLES for pair in sample.beside.items()]
    yaml = [text.encode() for name, text in files if name.endswith(".yaml")]
    found = []
    for name, text in files:
        for end, letter in letters.items():
            if name.endswith(end.rpartition("/")[2].removeprefix("a.")):
                found.append(letter + text.splitlines()[0].encode())
    return yaml, found


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(_TABLE).to_parquet(buffer)
    return buffer.getvalue()


def _json_seeds(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def _make_readers() -> dict[str, Reader]:
    sidecars, pngs = [_kept()[1]], _pngs()
    signed = [_SIGNED.read_bytes(), pngs[0], image_file("JPEG"), image_file("WEBP")]
    tables = _json_seeds(_TABLE, _GRID)
    texts = [prompt.encode() for prompt in _PROMPTS]
    lines = [b"\n".join(_json_seeds(*_TABLE))]
    both = st.one_of(mutated_json(sidecars), mutated_png(pngs[:1]))
    yaml = st.one_of(mutated(_YAML), mutated_json(tables))
    settings = st.one_of(mutated(_CONFIGURATIONS), mutated_json(_CONFIGURATION_VALUES))
    predictions = st.one_of(
        _with_status(mutated_json(_PREDICTIONS)), mutated(_images()[:2]).map(b"f".__add__)
    )
    others, of_others = _of_others(), _texts_of_others()
    yaml_of_runs, json_of_runs = _runs()
    letters = st.sampled_from((b"s", b"h", b"t"))
    runs = st.one_of(
        mutated(yaml_of_runs).map(b"c".__add__),
        st.tuples(letters, mutated_json([seed[1:] for seed in json_of_runs])).map(b"".join),
    )
    return {
        "png": Reader(_read_png, mutated_png(pngs), pngs),
        "signed picture": Reader(_read_any_picture, mutated_png(signed), signed),
        "sidecar": Reader(_read_sidecar, mutated_json(sidecars), sidecars, 80),
        "folder": Reader(_read_folder, both, [*sidecars, pngs[0]], 8),
        "input image": Reader(_read_input, st.one_of(mutated(_images()), mutated_png(pngs)), pngs),
        "picture": Reader(_read_picture, st.one_of(mutated(_images()), mutated_png(pngs)), pngs),
        "jobs.csv": Reader(_jobs_reader("csv"), mutated(_CSV), _CSV),
        "jobs.tsv": Reader(_jobs_reader("tsv"), mutated(_CSV), _CSV, 20),
        "jobs.jsonl": Reader(_jobs_reader("jsonl"), st.one_of(mutated(lines), yaml), lines),
        "jobs.yaml": Reader(_jobs_reader("yaml"), yaml, [*_YAML, *tables]),
        "jobs.parquet": Reader(_jobs_reader("parquet"), mutated([_parquet()]), [_parquet()]),
        "notebook": Reader(_read_notebook, mutated_json([_NOTEBOOK]), [_NOTEBOOK], 20),
        "executed notebook": Reader(
            _read_executed, mutated_json(_executed_seeds()), _executed_seeds()
        ),
        "imagen.yaml": Reader(_read_configuration, settings, _CONFIGURATIONS),
        "presets": Reader(_read_presets, st.one_of(mutated(_PRESETS), yaml), _PRESETS, 30),
        "environment": Reader(_read_environment, mutated([_ENVIRONMENT]), [_ENVIRONMENT], 10),
        "safetensors": Reader(_read_safetensors, mutated_safetensors(_HEADERS), []),
        "weights index": Reader(_read_weights_index, mutated_json(_HEADERS), _HEADERS),
        "answer of Supabase": Reader(
            _read_answer, _with_status(mutated_json(_ANSWER_SEEDS)), _ANSWER_SEEDS, 15
        ),
        "answer of Replicate": Reader(_read_replicate, predictions, [b"2" + _PREDICTIONS[0]], 10),
        "picture of others": Reader(
            _read_of_others, st.one_of(mutated_png(others[:1]), mutated(others)), others
        ),
        "texts of others": Reader(_read_texts_of_others, mutated_json(of_others), of_others, 120),
        "run of wandb": Reader(_read_run, runs, [b"c" + yaml_of_runs[0], *json_of_runs]),
        "prompt": Reader(_read_prompt, mutated(texts), texts),
        "frame": Reader(_read_frame_values, mutated_json(sidecars), sidecars),
    }


READERS = _make_readers()
