"""What autolog keeps of the pictures that people's own pipelines draw."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    FluxImg2ImgPipeline,
    FluxPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

import imagen_nb as im
from imagen_nb import analysis
from imagen_nb.backends.flux.libraries import quietly
from imagen_nb.cli.history import print_history
from imagen_nb.storage.record import new_id
from imagen_nb.studio import default
from imagen_nb.studio.autolog.recorder import Recorder
from imagen_nb.studio.studio import Studio
from tests.fixtures.own_pipelines import FAST, Own, bare, gradient, seeded

Records = Callable[[], list[im.Record]]
SMALL: dict[str, Any] = {"num_inference_steps": 2}


def kept(studio: Studio, record: im.Record) -> Image.Image:
    entry = studio.catalog().get(record.id)
    assert entry is not None
    with Image.open(entry.path) as file:
        return file.convert("RGB")


class TestOneCall:
    def test_its_record_has_the_arguments(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        flux("a red boat at sunset", generator=seeded(11), **FAST)
        (record,) = records()
        assert record.prompt == "a red boat at sunset"
        assert (record.seed, record.steps, record.guidance) == (11, 2, 3.5)
        assert (record.width, record.height) == (64, 48)
        assert record.max_sequence_length == 16
        assert (record.batch_size, record.batch_index) == (1, 0)
        assert record.options["arguments"] == {}

    def test_its_record_has_the_pipeline_and_what_it_runs_on(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        flux("a red boat at sunset", generator=seeded(11), **FAST)
        (record,) = records()
        assert (record.backend, record.model) == ("diffusers", "weights")
        assert record.options["pipeline"] == "FluxPipeline"
        assert record.scheduler == "FlowMatchEulerDiscreteScheduler"
        assert (record.dtype, record.device) == ("float32", "cpu")
        assert record.threads == torch.get_num_threads()
        assert set(record.versions) == {"imagen_nb", "diffusers", "torch", "transformers"}
        assert 0 < record.latency_ms < 60_000
        assert record.cost_usd_estimate == 0

    def test_it_is_kept_as_generate_keeps_its_own(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        image = flux("a red boat at sunset", generator=seeded(11), **FAST).images[0]
        (record,) = records()
        assert kept(logging, record).tobytes() == image.tobytes()
        entry = logging.catalog().get(record.id)
        assert entry.path.name.endswith("-a-red-boat-at-sunset-11.png")
        assert im.Record.from_sidecar(entry.sidecar_path.read_text()) == record

    def test_what_the_call_does_not_say_is_the_pipelines_own(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", generator=seeded(1))
        (record,) = records()
        assert (record.steps, record.guidance, record.model) == (50, 7.5, None)
        assert record.max_sequence_length is None
        assert (record.width, record.height) == (16, 16)

    def test_everything_else_that_was_said_is_there_too(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd(
            "a boat",
            negative_prompt="a house",
            eta=0.5,
            guidance_rescale=np.float32(0.5),
            cross_attention_kwargs={"scale": 1.0},
            callback_on_step_end=TestOneCall.a_callback,
            **SMALL,
        )
        (record,) = records()
        assert record.options["negative_prompt"] == "a house"
        assert record.options["arguments"] == {
            "eta": 0.5,
            "guidance_rescale": 0.5,
            "cross_attention_kwargs": {"scale": 1.0},
            "callback_on_step_end": "function TestOneCall.a_callback",
        }

    @staticmethod
    def a_callback(pipeline: Any, step: int, time: Any, values: dict[str, Any]) -> dict[str, Any]:
        return {}

    def test_tags_and_private_pictures(
        self, studio: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        im.autolog(tags=["exp-3"], cloud=False)
        sd("a boat", **SMALL)
        im.autolog(tags="exp-4")
        sd("a boat", **SMALL)
        im.autolog(disable=True)
        assert [(record.tags, record.cloud) for record in records()] == [
            (("exp-3",), False),
            (("exp-4",), True),
        ]
        states = [studio.catalog().get(record.id).cloud_state for record in records()]
        assert states == ["off", "pending"]
        assert studio.pending()["id"].tolist() == [str(records()[1].id)]

    def test_the_session_that_is_the_default_by_then_keeps_it(
        self, logging: Studio, sd: StableDiffusionPipeline, tmp_path: Path
    ) -> None:
        im.configure(output={"dir": str(tmp_path / "other")})
        sd("a boat", **SMALL)
        assert len(im.history()) == 1
        assert len(list((tmp_path / "other").glob("*-a-boat-unseeded.png"))) == 1
        assert not logging.settings.output.dir.exists() or not list(
            logging.settings.output.dir.glob("*.png")
        )

    def test_a_session_that_is_closed_meanwhile_is_followed_by_the_next(
        self, studio: Studio, session: Callable[[Studio], Studio], tmp_path: Path
    ) -> None:
        """`configure` in another thread: this one has the old session in hand when it ends."""
        old, new = studio, Studio({"output": {"dir": str(tmp_path / "new")}}, background=False)
        at_hand = iter([old, old])
        recorder = Recorder(lambda: next(at_hand, new))
        old.close()
        made = SimpleNamespace(images=[gradient(), gradient()])
        recorder(lambda pipeline, prompt: made, Own(), ("a boat",), {})
        assert session(new).history(source="local")["prompt"].tolist() == ["a boat"] * 2
        assert not old.settings.output.dir.exists()

    def test_one_that_is_closed_for_good_is_one_line(
        self, studio: Studio, capsys: pytest.CaptureFixture[str]
    ) -> None:
        studio.close()
        made = SimpleNamespace(images=[gradient()])
        got = Recorder(lambda: studio)(lambda pipeline, prompt: made, Own(), ("a boat",), {})
        assert got is made
        assert (
            "autolog: a picture is not recorded: the session was closed" in capsys.readouterr().err
        )

    def test_pictures_are_all_kept_whenever_somebody_configures(
        self, logging: Studio, folder: Path, tmp_path: Path
    ) -> None:
        done = threading.Event()

        def configure() -> None:
            for number in itertools.cycle(range(2)):
                im.configure(output={"dir": str(tmp_path / f"other-{number}")})
                if done.is_set():
                    return

        other = threading.Thread(target=configure)
        other.start()
        for number in range(30):
            Own()(SimpleNamespace(images=[gradient()]), prompt=f"boat {number}")
        done.set()
        other.join()
        default.studio().close()
        assert len([*tmp_path.rglob("*-boat-*.png")]) == 30


class TestPrompts:
    def test_each_picture_has_its_own(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd(
            ["a boat", "a house"],
            negative_prompt=["dark", "blur"],
            num_images_per_prompt=2,
            **SMALL,
        )
        assert [record.prompt for record in records()] == ["a boat", "a boat", "a house", "a house"]
        assert [r.options["negative_prompt"] for r in records()] == ["dark", "dark", "blur", "blur"]
        assert [r.batch_index for r in records()] == [0, 1, 2, 3]
        assert {r.batch_size for r in records()} == {4}

    def test_embeddings_are_called_that(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        embeds, pooled, _ = flux.encode_prompt("a boat", None, max_sequence_length=16)
        flux(prompt_embeds=embeds, pooled_prompt_embeds=pooled, **FAST)
        (record,) = records()
        assert record.prompt == "[prompt_embeds]"
        assert record.options["arguments"]["prompt_embeds"] == "Tensor (1, 16, 128)"

    @pytest.mark.parametrize(
        "prompt", ["", "<img src=x onerror=alert(1)>", "a\0b\n\u202ec", "🚢" * 9000]
    )
    def test_any_text_is_a_prompt(
        self, prompt: str, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        flux(prompt, **FAST)
        assert [record.prompt for record in records()] == [prompt]


class TestSeeds:
    """A seed is written only where it draws the picture again."""

    def test_of_a_list_each_picture_has_its_own(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", num_images_per_prompt=3, generator=seeded(5, 2**53 - 1, 0), **SMALL)
        assert [record.seed for record in records()] == [5, 2**53 - 1, 0]
        assert {r.options["generator"] for r in records()} == {"one for each picture"}

    def test_a_single_one_is_shared(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", num_images_per_prompt=2, generator=seeded(5), **SMALL)
        assert [(record.seed, record.batch_index) for record in records()] == [(5, 0), (5, 1)]
        assert {r.options["generator"] for r in records()} == {"one for all pictures of the call"}

    def test_none_is_known_without_a_generator(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records, capsys: Any
    ) -> None:
        for _ in range(2):
            sd("a boat", **SMALL)
        assert [record.seed for record in records()] == [None, None]
        assert {r.options["generator"] for r in records()} == {"none was given"}
        names = [logging.catalog().get(record.id).path.name for record in records()]
        assert [name[10:] for name in names] == ["-a-boat-unseeded.png", "-a-boat-unseeded-2.png"]
        assert logging.history()["seed"].isna().all()

    def test_a_seed_for_everybodys_noise_is_not_taken_for_that_of_a_picture(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        torch.manual_seed(5)
        sd("a boat", **SMALL)
        assert records()[0].seed is None

    def test_pictures_without_one_are_shown_as_such(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records, capsys: Any
    ) -> None:
        sd("a boat", **SMALL)
        sd("a boat", generator=seeded(7), **SMALL)
        fresh = records()[0].model_copy(update={"id": new_id()})
        assert "no seed" in repr(logging.keep_drawn([(gradient, fresh)])[0].result())
        frame = logging.history()
        print_history(frame, pictures=False)
        shown = capsys.readouterr().out
        assert shown.count("  7     2 ") == 1
        assert not re.search("nan|NA|None", shown)
        assert [label.get_text() for label in analysis.grid(frame).get_xticklabels()] == ["7"]
        assert len(frame.imagen.contact_sheet(caption="{seed}").tobytes()) > 0

    def test_nor_of_one_that_has_drawn_before(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        generator = seeded(5)
        for _ in range(2):
            sd("a boat", generator=generator, **SMALL)
        generator.manual_seed(5)
        sd("a boat", generator=generator, **SMALL)
        seeds = [(record.seed, record.options["generator"]) for record in records()]
        assert seeds[:2] == [(5, "one for each picture"), (None, "used before the call")]
        assert len(records()) == 2, "the third is the first one again"

    def test_nor_of_one_that_draws_several_in_a_list(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", num_images_per_prompt=2, generator=[seeded(5)] * 2, **SMALL)
        assert [r.seed for r in records()] == [None, None]

    def test_nor_when_the_latents_were_given(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", latents=torch.randn(1, 4, 8, 8), generator=seeded(5), **SMALL)
        (record,) = records()
        assert (record.seed, record.options["generator"]) == (None, "the latents were given")
        assert record.options["arguments"] == {"latents": "Tensor (1, 4, 8, 8)"}

    def test_nor_when_a_record_cannot_hold_it(
        self, logging: Studio, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        sd("a boat", generator=seeded(2**53), **SMALL)
        (record,) = records()
        assert record.seed is None
        assert "9007199254740992" in record.options["generator"]


class TestForms:
    """Whatever form the pictures are asked for in, the same ones are kept."""

    @pytest.mark.parametrize("form", ["pil", "np", "pt"])
    @pytest.mark.parametrize("as_dict", [True, False])
    def test_the_pixels_are_those_of_pil(
        self, form: str, as_dict: bool, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        more = FAST | {"num_images_per_prompt": 2, "output_type": form, "return_dict": as_dict}
        result = flux("a red boat", generator=seeded(1, 2), **more)
        images = result.images if as_dict else result[0]
        assert len(images) == 2
        im.autolog(disable=True)
        plain = flux("a red boat", generator=seeded(1, 2), **FAST, num_images_per_prompt=2).images
        assert [kept(logging, r).tobytes() for r in records()] == [one.tobytes() for one in plain]

    def test_latents_are_no_pictures_and_one_line_says_so(
        self, logging: Studio, flux: FluxPipeline, records: Records, capsys: Any
    ) -> None:
        capsys.readouterr()
        for _ in range(2):
            flux("a red boat", output_type="latent", **FAST)
        assert records() == []
        assert capsys.readouterr().err == (
            "imagen: autolog: a call with output_type='latent' returns no pictures to record\n"
        )

    def test_what_the_caller_does_to_a_picture_does_not_reach_the_file(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        image = flux("a red boat", **FAST).images[0]
        before = image.tobytes()
        image.paste((0, 0, 0), (0, 0, 64, 48))
        array = flux("a red boat", output_type="np", **FAST).images
        array[:] = 0
        tensor = flux("a red boat", output_type="pt", **FAST).images
        tensor.zero_()
        pictures = [kept(logging, record) for record in records()]
        assert pictures[0].tobytes() == before
        assert all(picture.getbbox() for picture in pictures)


class TestClasses:
    def test_image_to_image(
        self, logging: Studio, flux: FluxPipeline, sd: StableDiffusionPipeline, records: Records
    ) -> None:
        first = flux("a red boat", generator=seeded(1), **FAST).images[0]
        with quietly():
            again = bare(FluxImg2ImgPipeline.from_pipe(flux))
        again("a blue boat", image=first, strength=0.9, generator=seeded(2), **FAST)
        bare(StableDiffusionImg2ImgPipeline(**sd.components, requires_safety_checker=False))(
            "a boat", image=first, num_inference_steps=4, generator=seeded(3)
        )
        assert [r.options["pipeline"] for r in records()] == [
            "FluxPipeline",
            "FluxImg2ImgPipeline",
            "StableDiffusionImg2ImgPipeline",
        ]
        assert [r.seed for r in records()] == [1, 2, 3]
        assert records()[1].options["arguments"] == {"image": "Image (64, 48)", "strength": 0.9}
        assert (records()[2].width, records()[2].height) == (64, 48)

    @pytest.mark.parametrize(
        "images",
        [
            [gradient()],
            gradient(),
            [gradient("L")],
            [gradient("RGBA")],
            [gradient("CMYK")],
            np.zeros((1, 6, 8, 3)),
            np.zeros((1, 6, 8, 1), np.uint8),
            [np.ones((6, 8, 3), "float32")],
            torch.ones(1, 3, 6, 8, dtype=torch.bfloat16),
            torch.full((1, 4, 6, 8), torch.nan),
        ],
    )
    def test_any_class_whose_call_returns_images(
        self, images: Any, logging: Studio, records: Records, capsys: Any
    ) -> None:
        capsys.readouterr()
        result = SimpleNamespace(images=images)
        assert Own()(result, "a mast", strength=0.25) is result
        (record,) = records()
        assert (record.width, record.height) == (8, 6)
        assert (record.prompt, record.seed, record.steps, record.guidance) == ("", None, 0, None)
        assert record.options["pipeline"] == "tests.fixtures.own_pipelines.Own"
        assert record.options["arguments"]["strength"] == 0.25
        assert record.options["arguments"]["text"] == "a mast"
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        "result",
        [
            None,
            3,
            "images",
            {"images": [gradient()]},
            [gradient()],
            ([gradient()],),
            SimpleNamespace(frames=[[gradient()] * 3]),
            SimpleNamespace(images=[[gradient()] * 3]),
            SimpleNamespace(images=np.zeros((1, 3, 6, 8, 3))),
            SimpleNamespace(audios=np.zeros((1, 99))),
            SimpleNamespace(images=None),
            SimpleNamespace(images=[]),
            SimpleNamespace(images=["a.png"]),
            SimpleNamespace(images=np.zeros((1, 6, 8, 7))),
        ],
    )
    def test_anything_else_is_left_alone(
        self, result: Any, logging: Studio, records: Records, capsys: Any
    ) -> None:
        capsys.readouterr()
        assert Own()(result) is result
        assert records() == []
        assert capsys.readouterr().err == ""

    def test_a_tuple_counts_when_it_was_asked_for(self, logging: Studio, records: Records) -> None:
        frames = ([[gradient()] * 3],)
        assert Own()(frames, return_dict=False) is frames
        pictures = ([gradient()], [False])
        assert Own()(pictures, return_dict=False) is pictures
        assert len(records()) == 1

    def test_a_subclass_is_recorded_once_with_what_it_told_its_parent(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        class Sailing(FluxPipeline):
            def __call__(self, what: str, **more: Any) -> Any:
                return super().__call__(f"{what} at sea", guidance_scale=2.0, **more)

        Sailing(**flux.components)("a boat", generator=seeded(4), **FAST)
        (record,) = records()
        assert (record.prompt, record.guidance, record.seed) == ("a boat at sea", 2.0, 4)
        assert record.options["pipeline"].endswith("Sailing")
        assert record.options["arguments"] == {"what": "a boat"}

    def test_a_pipeline_within_another_is_its_own_matter(
        self, logging: Studio, flux: FluxPipeline, records: Records
    ) -> None:
        class Twice(Own):
            def __call__(self, prompt: str, inner: Any) -> Any:  # type: ignore[override]
                first = inner(prompt, **FAST).images[0]
                again = FluxImg2ImgPipeline(**inner.components)
                return again("something else", image=first, **FAST)

        Twice()("a boat", flux)
        (record,) = records()
        assert record.prompt == "a boat"
        assert record.options["pipeline"].endswith("Twice")

    def test_our_own_pictures_are_recorded_once(self, logging: Studio, records: Records) -> None:
        logging.generate("a boat", seed=1, steps=1, progress=False)
        logging.sweep("a boat", seeds=[2, 3], steps=1, progress=False)
        assert [(r.seed, r.backend) for r in records()] == [
            (seed, "flux-tiny-local") for seed in (1, 2, 3)
        ]

    def test_two_pipelines_at_once(self, logging: Studio, records: Records) -> None:
        meeting = threading.Barrier(2)

        class Meeting(Own):
            def __call__(self, prompt: str) -> Any:  # type: ignore[override]
                meeting.wait(30)
                return SimpleNamespace(images=[gradient()] * 3)

        threads = [
            threading.Thread(target=Meeting(), args=(text,)) for text in ("a boat", "a house")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(r.prompt for r in records()) == ["a boat"] * 3 + ["a house"] * 3

    def test_a_subclass_that_calls_its_parent_often_is_recorded_with_its_own_words(
        self, logging: Studio, records: Records
    ) -> None:
        class Chorus(Own):
            def __call__(self, song: str, seed: int = 5) -> Any:  # type: ignore[override]
                parts = [
                    super(Chorus, self).__call__(gradient(), prompt=f"{song} {i}") for i in range(3)
                ]
                return SimpleNamespace(images=parts)

        Chorus()("a shanty")
        assert [record.prompt for record in records()] == [""] * 3
        assert records()[0].options["arguments"] == {"song": "a shanty"}
