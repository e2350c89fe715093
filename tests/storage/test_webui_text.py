"""What other tools read of a picture, as a program that is not ours reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager
from sd_parsers.data import PromptInfo

from imagen_nb.backends.flux.schedulers import SCHEDULERS
from imagen_nb.storage.png import encode_png, png_texts, read_png
from imagen_nb.storage.record import Record
from imagen_nb.storage.webui_text import webui_text

Make = Callable[..., Record]
Read = Callable[..., PromptInfo]

# As Forge writes it: Sampler, Schedule type, CFG scale, Distilled CFG Scale, Seed, in this order.
DEV = (
    "a tiny lighthouse on a stormy cliff, photo\n"
    "Steps: 4, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, "
    "Seed: 11, Size: 128x96, Model: black-forest-labs/FLUX.1-dev, Version: imagen_nb 0.1.0"
)
EARLIER = DEV.replace(
    "Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale",
    "FlowMatchEulerDiscreteScheduler, CFG scale",
)
DEV_FIELDS = {
    "backend": "flux-dev-local",
    "model": "black-forest-labs/FLUX.1-dev",
    "guidance": 3.5,
    "width": 128,
    "height": 96,
}


@pytest.fixture
def read(make_record: Make, tmp_path: Path) -> Read:
    """What sd-parsers reads of a PNG with this record."""

    def read(**fields: Any) -> PromptInfo:
        path = tmp_path / "picture.png"
        path.write_bytes(encode_png(Image.new("RGB", (8, 8)), make_record(**fields)))
        found = ParserManager().parse(path)
        assert found
        return found

    return read


def settings(found: PromptInfo) -> dict[str, Any]:
    """Sampler, guidance and the like by name."""
    (sampler,) = found.samplers
    return {"sampler": sampler.name, **sampler.parameters, **found.metadata}


def test_the_text_is_forges(make_record: Make) -> None:
    assert webui_text(make_record(**DEV_FIELDS)) == DEV


class TestAnotherProgram:
    def test_reads_what_was_drawn(self, read: Read) -> None:
        found = read(**DEV_FIELDS, negative_prompt="fog, people")
        (sampler,) = found.samplers
        assert sampler.model
        assert sampler.model.name == "black-forest-labs/FLUX.1-dev"
        assert [one.value for one in found.prompts] == [
            "a tiny lighthouse on a stormy cliff, photo"
        ]
        assert [one.value for one in found.negative_prompts] == ["fog, people"]
        told = settings(found)
        assert (told["seed"], told["steps"], told["Size"]) == ("11", "4", "128x96")

    @pytest.mark.parametrize(
        ("fields", "cfg", "distilled"),
        [
            ({"guidance": 3.5}, "1", "3.5"),
            ({"guidance": 3.5, "true_cfg": 4.0}, "4", "3.5"),
            ({"guidance": 0.0}, "1", None),
            ({"guidance": None, "true_cfg": 2.5}, "2.5", None),
            ({"guidance": 7.5, "backend": "sdxl-local"}, "7.5", None),
            (
                {
                    "guidance": 7.5,
                    "backend": "diffusers",
                    "options": {"pipeline": "StableDiffusionPipeline"},
                },
                "7.5",
                None,
            ),
            (
                {"guidance": 3.5, "backend": "diffusers", "options": {"pipeline": "FluxPipeline"}},
                "1",
                "3.5",
            ),
        ],
        ids=[
            "distilled",
            "distilled and true",
            "schnell",
            "true alone",
            "another model",
            "Stable Diffusion by autolog",
            "FLUX by autolog",
        ],
    )
    def test_is_told_which_guidance_it_was(
        self, fields: dict[str, Any], cfg: str, distilled: str | None, read: Read
    ) -> None:
        told = settings(read(**fields))
        assert told["cfg_scale"] == cfg
        assert told.get("Distilled CFG Scale") == distilled

    @pytest.mark.parametrize(
        ("name", "known_as"),
        [
            (None, ("Euler", "Simple")),
            ("euler", ("Euler", "Simple")),
            ("euler-karras", ("Euler", "Karras")),
            ("euler-exponential", ("Euler", "Exponential")),
            ("unipc", ("UniPC", "Simple")),
            ("dpm++", ("DPM++ 2M", "Simple")),
        ],
    )
    def test_knows_the_sampler_by_the_web_uis_name(
        self, name: str | None, known_as: tuple[str, str], read: Read
    ) -> None:
        kind = SCHEDULERS[name].kind if name else "FlowMatchEulerDiscreteScheduler"
        told = settings(read(scheduler_name=name, scheduler=kind))
        assert (told["sampler"], told["scheduler"]) == known_as

    def test_finds_a_sampler_in_a_hosted_picture(self, read: Read) -> None:
        told = settings(read(backend="flux-dev-replicate", scheduler=None))
        assert (told["sampler"], told["scheduler"]) == ("Euler", "Simple")

    def test_is_told_the_class_of_a_sampler_without_a_name(self, read: Read) -> None:
        told = settings(read(backend="diffusers", scheduler="MyScheduler"))
        assert told["sampler"] == "MyScheduler"
        assert "scheduler" not in told


def test_every_scheduler_here_has_a_name_there() -> None:
    kinds = {row.kind for row in SCHEDULERS.values()}
    names = {webui_text(_drawn_with(kind)).split("Sampler: ")[1].split(",")[0] for kind in kinds}
    assert names == {"Euler", "UniPC", "DPM++ 2M"}


def _drawn_with(kind: str) -> Record:
    return Record(prompt="x", backend="flux", seed=1, steps=1, width=64, height=64, scheduler=kind)


@pytest.mark.parametrize(
    "model", ["a, b: c", "x\nSteps: 99, Sampler: Evil, CFG scale: 9", 'with "marks", too']
)
def test_a_models_name_ends_neither_its_value_nor_the_line(model: str, make_record: Make) -> None:
    text = webui_text(make_record(model=model))
    assert text.count("\n") == 1
    assert f"Model: {json.dumps(model)}, Version: " in text


def test_a_picture_with_the_text_of_earlier_versions_is_read(
    make_record: Make, tmp_path: Path
) -> None:
    """We read the record beside the text, which had diffusers' names of samplers."""
    record = make_record(**DEV_FIELDS)
    info = PngInfo()
    for keyword, text in {**png_texts(record), "parameters": EARLIER}.items():
        info.add_text(keyword, text)
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    assert Record.from_sidecar(read_png(path)[1]).decides() == record.decides()
    found = ParserManager().parse(path)
    assert found
    assert settings(found)["cfg_scale"] == "3.5"
