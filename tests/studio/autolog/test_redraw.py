"""What autolog recorded is drawn again bit for bit where that can be, and else says why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers import FluxPipeline, StableDiffusionPipeline

import imagen_nb as im
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.backends.tiny import WEIGHTS
from imagen_nb.errors import BackendError
from imagen_nb.studio.studio import Studio
from tests.fixtures.own_pipelines import FAST, bare, seeded

Records = Callable[[], list[im.Record]]


class TestAlike:
    @pytest.mark.parametrize(
        "more",
        [
            {"generator": (7,)},
            {"generator": (7,), "output_type": "np"},
            {"generator": (7,), "guidance_scale": 2.0, "true_cfg_scale": 1.0},
            {"generator": (7, 8, 9), "num_images_per_prompt": 3},
            {"generator": (7,), "max_sequence_length": 512, "num_inference_steps": 1},
        ],
    )
    def test_what_a_plain_call_drew(
        self,
        more: dict[str, Any],
        logging: Studio,
        flux: FluxPipeline,
        records: Records,
        tmp_path: Path,
    ) -> None:
        flux("a red boat at sunset", **FAST | more | {"generator": seeded(*more["generator"])})
        im.autolog(disable=True)
        for record in records():
            again = logging.reproduce(record, output=tmp_path / "again", progress=False)
            assert again.identical is True
            assert again.differs == ()
            assert again.record.backend == "flux"

    def test_from_the_png_alone_with_weights_in_a_home(
        self, logging: Studio, records: Records, tmp_path: Path, capsys: Any
    ) -> None:
        folder = shutil.copytree(WEIGHTS, Path.home() / "models" / "small")
        with quietly():
            pipeline = bare(FluxPipeline.from_pretrained(folder))
        pipeline("a red boat", generator=seeded(3), **FAST)
        (record,) = records()
        assert (record.model, record.options["model"]) == ("small", "~/models/small")
        path = logging.catalog().get(record.id).path
        moved = Path(shutil.copy(path, tmp_path / "alone.png"))
        with Studio({"output": {"dir": str(tmp_path / "other")}}, background=False) as other:
            assert other.reproduce(moved, progress=False).identical is True

    def test_one_thing_changed(self, logging: Studio, flux: FluxPipeline, records: Records) -> None:
        flux("a red boat", generator=seeded(3), **FAST)
        (record,) = records()
        like = logging.generate(like=record, steps=1, progress=False)
        assert (like.record.seed, like.record.steps, like.record.backend) == (3, 1, "flux")
        other = logging.generate(like=record, backend="flux-tiny-local", height=64, progress=False)
        assert (other.record.seed, other.record.width) == (3, 64)


class TestRefused:
    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ({}, r"no seed draws it \(the generator: none was given\)"),
            (
                {"generator": (5,), "num_images_per_prompt": 2},
                "the generator: one for all pictures",
            ),
            ({"generator": (5,), "negative_prompt": "dark"}, r"more than .* \(negative_prompt\)"),
            ({"generator": (5,), "prompt_2": "a house"}, r"more than .* \(arguments\)"),
            ({"generator": (5,), "sigmas": [1.0, 0.5]}, r"more than .* \(arguments\)"),
            ({"generator": (5, 6), "prompt": ["a boat", "a house"]}, r"more than .* \(prompts\)"),
        ],
    )
    def test_what_is_not_a_plain_call(
        self, more: dict[str, Any], why: str, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        generator = seeded(*more["generator"]) if more else None
        flux(**{"prompt": "a boat", **FAST, **more, "generator": generator})
        for what in (lambda r: logging.reproduce(r), lambda r: logging.generate(like=r)):
            with pytest.raises(BackendError, match=why) as caught:
                what(records()[-1])
            assert "\n" not in str(caught.value)
            assert "call the pipeline itself again" in str(caught.value)

    def test_another_pipeline(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", num_inference_steps=2, generator=seeded(1))
        with pytest.raises(
            BackendError, match="StableDiffusionPipeline drew it, and imagen_nb draws with"
        ):
            logging.reproduce(records()[0])

    def test_a_pipeline_made_of_parts(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        bare(FluxPipeline(**flux.components))("a boat", generator=seeded(1), **FAST)
        with pytest.raises(BackendError, match="nothing tells where its weights are"):
            logging.reproduce(records()[0])

    def test_one_with_a_lora(self, logging: Studio, flux: FluxPipeline, records: Records) -> None:
        from peft import LoraConfig

        flux.transformer.add_adapter(LoraConfig(r=1, target_modules=["to_q"]), "old-photo")
        try:
            flux("a boat", generator=seeded(1), **FAST)
        finally:
            flux.unload_lora_weights()
        assert records()[0].loras == ({"name": "old-photo"},)
        with pytest.raises(BackendError, match="its pipeline had LoRAs"):
            logging.reproduce(records()[0])

    @pytest.mark.parametrize(
        "options",
        [{}, {"pipeline": 3}, {"pipeline": "FluxPipeline", "arguments": 7, "generator": []}],
    )
    def test_a_record_of_a_stranger(
        self, options: dict[str, Any], logging: Studio, make_record: Callable[..., im.Record]
    ) -> None:
        with pytest.raises(BackendError, match="cannot be drawn again"):
            logging.reproduce(make_record(backend="diffusers", options=options))
