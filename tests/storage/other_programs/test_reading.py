"""What pictures of other programs say is read as these programs mean it, and kept whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagen_nb.request.request import MAX_SEED
from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from imagen_nb.storage.other_programs.reading import READERS, read_metadata
from tests.fixtures.other_programs import SAMPLES, Sample, write_sample
from tests.fixtures.other_programs.sample import picture, png_info

EACH = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
KEYS = (
    *("parameters", "prompt", "workflow", "Comment", "Description", "Software", "Dream"),
    *("sd-metadata", "invokeai_metadata", "invokeai_graph", "fooocus_scheme", "metadata"),
    *("exif:UserComment", "exif:ImageDescription", "exif:Make", "exif:Model", "comment"),
)
WORDS = (
    *("prompt", "text", "inputs", "class_type", "nodes", "links", "seed", "steps", "cfg"),
    *("model", "positive", "negative", "images", "latent_image", "loras", "sampler", "sigmas"),
    *("sampler_name", "scheduler", "guider", "noise", "conditioning", "guidance", "lora_name"),
    *("sui_image_params", "image", "v4_prompt", "caption", "uc", "base_model", "performance"),
    *("num_inference_steps", "guidance_scale", "id", "type", "widgets_values", "link", "a", "b"),
    *("KSampler", "SaveImage", "CLIPTextEncode", "StringConcatenate", "string_a", "value"),
)


def read(path: Path) -> ForeignMetadata:
    with Image.open(path) as image:
        return read_metadata(image, path)


def test_the_corpus_has_several_forms_of_each_program() -> None:
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES) >= 60
    programs = [sample.expected["program"] for sample in SAMPLES]
    assert {name for name in programs if programs.count(name) < 2} == set()


@EACH
def test_a_picture_says_what_its_program_meant(sample: Sample, tmp_path: Path) -> None:
    found = read(write_sample(sample, tmp_path))
    assert found == ForeignMetadata(**sample.expected, raw=found.raw)


@EACH
def test_the_texts_are_kept_as_they_were(sample: Sample, tmp_path: Path) -> None:
    raw = read(write_sample(sample, tmp_path)).raw
    assert raw.items() >= sample.chunks.items()
    assert sample.hidden in (None, raw.get("stealth"))


def test_a_picture_is_not_taken_for_the_one_before_it(tmp_path: Path) -> None:
    """A reader that remembers by id() takes a new picture in the place of an old for it."""
    some = [sample for sample in SAMPLES if sample.format != "PNG" or sample.hidden]
    paths = [write_sample(sample, tmp_path / sample.name) for sample in some]
    for _ in range(3):
        for sample, path in zip(some, paths, strict=True):
            assert read(path).prompt == sample.expected.get("prompt", "")


def test_a_seed_that_no_record_holds_stays_in_the_text(tmp_path: Path) -> None:
    for seed, known in ((MAX_SEED, MAX_SEED), (MAX_SEED + 1, None), (-1, None)):
        text = f"a boat\nSteps: 4, Sampler: Euler, Seed: {seed}"
        path = tmp_path / "a.png"
        picture().save(path, pnginfo=png_info({"parameters": text}))
        found = read(path)
        assert (found.seed, found.steps, found.raw["parameters"]) == (known, 4, text)


def test_what_no_database_holds_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    values = {"positive_prompt": "a \0 boat \ud800", "seed": 1}
    picture().save(path, pnginfo=png_info({"invokeai_metadata": json.dumps(values)}))
    found = read(path)
    assert found.prompt == "a \N{REPLACEMENT CHARACTER} boat \N{REPLACEMENT CHARACTER}"
    assert found.raw["invokeai_metadata"] == json.dumps(values)


def test_a_torn_picture_says_what_stands_before_the_tear(tmp_path: Path) -> None:
    path = write_sample(next(s for s in SAMPLES if s.name == "comfyui-default"), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert read(path).program == "comfyui"


def test_a_torn_picture_without_texts_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture().save(path)
    path.write_bytes(path.read_bytes()[:-60])
    found = read(path)
    assert (found.program, found.raw) == ("unknown", {})


def test_reading_loads_nothing_heavy() -> None:
    code = (
        "import sys, imagen_nb.storage.other_programs.reading\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TEXTS = st.one_of(st.text(max_size=60), st.text('{}[]",: \nStepsd123', max_size=60))
WORD = st.one_of(st.sampled_from(WORDS), st.text(max_size=4))
SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORD,
    st.tuples(st.sampled_from("abc"), st.integers(0, 2)).map(list),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORD, inner, max_size=6)),
    max_leaves=20,
)
NODES = st.fixed_dictionaries({"class_type": WORD, "inputs": st.dictionaries(WORD, SIMPLE)})
GRAPHS = st.dictionaries(st.sampled_from("abc"), NODES, max_size=3)


@given(st.dictionaries(st.sampled_from(KEYS), TEXTS, max_size=4))
def test_no_text_in_any_chunk_raises(texts: dict[str, str]) -> None:
    for reader in READERS:
        reader(texts)
    image = Image.new("RGB", (2, 2))
    image.info.update(texts)
    assert read_metadata(image, Path("a.png")).raw.keys() == texts.keys()


@given(st.sampled_from(KEYS), st.one_of(VALUES, GRAPHS))
def test_no_value_in_any_chunk_raises(key: str, value: Any) -> None:
    texts = {key: json.dumps(value), "workflow": json.dumps(value)}
    for reader in READERS:
        found = reader(texts)
        if found is not None:
            found.prompt.encode(), (found.negative_prompt or "").encode()
            json.dumps([found.guidance, found.true_cfg, found.loras], allow_nan=False)
