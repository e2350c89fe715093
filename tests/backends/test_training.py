"""LoRAs: trained on every layout, taken up where one was broken off, read by `loras=`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline
from PIL import Image
from safetensors import safe_open

from imagen_nb.backends.flux import loras
from imagen_nb.backends.flux.backend import custom
from imagen_nb.backends.flux.custom import custom_model
from imagen_nb.backends.flux.models import FLUX_FILL, Model
from imagen_nb.backends.flux.training import layouts
from imagen_nb.backends.flux.training.objective import sample_sigmas
from imagen_nb.backends.flux.training.pictures import TrainingPicture, load_training_pictures
from imagen_nb.backends.flux.training.samples import load_pixels, sides_of
from imagen_nb.backends.flux.training.settings import TrainingSettings
from imagen_nb.backends.flux.training.trainer import train
from imagen_nb.backends.flux.training.watch import TrainingProgress, TrainingWatch
from imagen_nb.errors import BackendError, StorageError, UsageError
from tests.fixtures import flux_layout
from tests.fixtures.backend_calls import draw, request_for

KINDS = ("schnell", "dev", "klein")
FAST = TrainingSettings(steps=6, rank=2, learning_rate=0.05, batch=2, size=32, checkpoint_every=2)


@pytest.fixture(scope="module")
def boats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as `df.imagen.export` writes kohya: two shapes, captions, repeats."""
    concept = tmp_path_factory.mktemp("boats") / "2_boats"
    concept.mkdir()
    for number in range(6):
        size = (48, 32) if number % 2 else (40, 40)
        noise = Image.effect_noise(size, 40 + number).convert("RGB")
        noise.save(concept / f"{number}.png")
        (concept / f"{number}.txt").write_text(f"a boat {'ab'[number % 2]}\n")
    return concept.parent


def quiet(progress: Callable[[TrainingProgress], object] = lambda now: None) -> TrainingWatch:
    return TrainingWatch(lambda done, total: None, lambda now: progress(now) and None)


def trained(
    row: Model, boats: Path, output: Path, settings: TrainingSettings = FAST, **watch: Any
) -> Path:
    train(row, load_training_pictures(boats), output, settings, quiet(**watch))
    return output


@pytest.fixture(params=KINDS)
def layout_folder(request: pytest.FixtureRequest) -> Path:
    """Each layout that can be trained, in turn."""
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return folder


class TestLayouts:
    def test_every_one_is_trained_and_drawn_with(
        self, layout_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        row = custom_model(str(layout_folder))
        seen: list[TrainingProgress] = []
        file = trained(row, boats, tmp_path / "boats.safetensors", progress=seen.append)
        assert [now.step for now in seen] == [1, 2, 3, 4, 5, 6]
        assert all(np.isfinite(now.loss) for now in seen)
        assert [path.name for path in tmp_path.iterdir()] == ["boats.safetensors"]
        with_it, without = custom(str(layout_folder), loras=file), custom(str(layout_folder))
        drawn = [
            np.asarray(draw(each, request_for(each, width=32, height=32))[0].image, int)
            for each in (with_it, without)
        ]
        assert np.abs(drawn[0] - drawn[1]).mean() > 0.5

    def test_every_linear_layer_of_the_blocks_is_in_the_file(
        self, layout_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        file = trained(custom_model(str(layout_folder)), boats, tmp_path / "x.safetensors")
        with safe_open(file, "pt") as opened:
            names = {name.rpartition(".lora_")[0] for name in opened.keys()}  # noqa: SIM118
        assert all(name.startswith("transformer.") for name in names)
        assert any(".transformer_blocks.0.attn.to_q" in name for name in names)
        assert any(".single_transformer_blocks.0." in name for name in names)
        assert not [name for name in names if ".norm" in name]

    def test_latents_are_those_of_the_pipelines(self, layout_folder: Path, boats: Path) -> None:
        row = custom_model(str(layout_folder))
        picture = load_training_pictures(boats)[1]
        pixels = load_pixels(picture, 32, row.limits.multiple)
        pipeline = getattr(__import__("diffusers"), row.pipeline).from_pretrained(layout_folder)
        with torch.no_grad():
            tokens = layouts.layout_of(row).tokenize(pipeline.vae, pixels)
        assert tokens.values.shape == (pixels[0, 0].numel() // row.limits.multiple**2, 16)
        if isinstance(pipeline, FluxPipeline):
            other = FluxImg2ImgPipeline(**pipeline.components)
            _, channels, height, width = pipeline.vae.encode(pixels).latent_dist.mode().shape
            latents = other.vae.encode(pixels).latent_dist.mode()
            latents = (latents - 0.1) * 0.4
            packed = other._pack_latents(latents, 1, channels, height, width)
        else:
            packed = pipeline._pack_latents(pipeline._encode_vae_image(pixels, None))
        assert torch.allclose(packed[0], tokens.values, atol=1e-5)

    def test_the_transformer_is_called_as_the_pipeline_calls_it(
        self, layout_folder: Path, boats: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = custom_model(str(layout_folder))
        pipeline = getattr(__import__("diffusers"), row.pipeline).from_pretrained(layout_folder)
        pipeline.set_progress_bar_config(disable=True)
        calls: list[dict[str, Any]] = []
        forward = pipeline.transformer.forward

        def noted(**arguments: Any) -> Any:
            calls.append(arguments)
            return forward(**arguments)

        monkeypatch.setattr(pipeline.transformer, "forward", noted)
        size = {"width": 32, "height": 32, "num_inference_steps": 1}
        with torch.no_grad():
            pipeline(prompt="a boat", max_sequence_length=16, guidance_scale=1.0, **size)
            image = TrainingPicture(load_training_pictures(boats)[0].path, "")
            layout = layouts.layout_of(row)
            tokens = layout.tokenize(pipeline.vae, load_pixels(image, 32, row.limits.multiple))
            prompt = layouts.encode_caption(pipeline, "a boat", 16)
            theirs = calls[0]
            layouts.predict_velocity(
                pipeline.transformer,
                layout,
                theirs["hidden_states"],
                theirs["timestep"],
                tokens.positions,
                [prompt],
            )
        ours = calls[1]
        assert {name for name in theirs if theirs[name] is not None} - {
            "joint_attention_kwargs"
        } == {name for name in ours if ours[name] is not None}
        for name, value in ours.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value.float(), theirs[name].float()), name

    def test_pipelines_of_other_kinds_are_refused(self, boats: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="FluxFillPipeline: LoRAs are trained for Flux"):
            trained(FLUX_FILL, boats, tmp_path / "x.safetensors")
        assert [*tmp_path.iterdir()] == []


class TestGoingOn:
    def test_ctrl_c_keeps_a_checkpoint_and_the_rest_is_as_if_nothing_had_been(
        self, schnell_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        row = custom_model(str(schnell_folder))
        whole = trained(row, boats, tmp_path / "whole.safetensors")

        def interrupt(now: TrainingProgress) -> None:
            if now.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

        output = tmp_path / "x.safetensors"
        with pytest.raises(KeyboardInterrupt):
            trained(row, boats, output, progress=interrupt)
        assert not output.exists()
        seen: list[int] = []
        trained(row, boats, output, progress=lambda now: seen.append(now.step))
        assert seen == [4, 5, 6]
        assert output.read_bytes() == whole.read_bytes()

    def test_a_process_that_died_loses_the_steps_since_the_last_checkpoint(
        self, schnell_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        row, output = custom_model(str(schnell_folder)), tmp_path / "x.safetensors"

        class Died(BaseException):
            pass

        def die(now: TrainingProgress) -> None:
            if now.step == 5:
                raise Died

        with pytest.raises(Died):
            trained(row, boats, output, progress=die)
        seen: list[int] = []
        trained(row, boats, output, progress=lambda now: seen.append(now.step))
        assert seen == [5, 6]

    def test_one_of_other_settings_is_told_and_nothing_is_lost(
        self, schnell_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        row, output = custom_model(str(schnell_folder)), tmp_path / "x.safetensors"
        place = tmp_path / "x.training"
        place.mkdir()
        torch.save({"purpose": "another"}, place / "checkpoint.pt")
        with pytest.raises(StorageError, match="other pictures or settings: remove it"):
            trained(row, boats, output)
        (place / "checkpoint.pt").write_bytes(b"torn")
        with pytest.raises(StorageError, match=r"checkpoint\.pt cannot be read"):
            trained(row, boats, output)


class TestFile:
    def test_it_says_how_it_was_trained_and_names_no_machine(
        self, schnell_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        file = trained(custom_model(str(schnell_folder)), boats, tmp_path / "x.safetensors")
        with safe_open(file, "pt") as opened:
            header = opened.metadata()
        about = json.loads(header["imagen_nb.training"])
        assert (about["steps"], about["rank"], about["pictures"]) == (6, 2, 6)
        assert header["base_model"] == schnell_folder.name
        assert str(tmp_path) not in json.dumps(header)
        assert str(boats) not in json.dumps(header)

    def test_the_same_seed_gives_the_same_file_and_another_does_not(
        self, schnell_folder: Path, boats: Path, tmp_path: Path
    ) -> None:
        row = custom_model(str(schnell_folder))
        other = TrainingSettings(**{**_fields(FAST), "seed": 1})
        files = [
            trained(row, boats, tmp_path / name, settings).read_bytes()
            for name, settings in (
                ("a.safetensors", FAST),
                ("b.safetensors", FAST),
                ("c.safetensors", other),
            )
        ]
        assert files[0] == files[1] != files[2]

    def test_without_peft_the_extra_is_named(
        self, schnell_folder: Path, boats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loras, "find_spec", lambda name: None)
        with pytest.raises(BackendError, match=r'pip install "imagen_nb\[lora\]"'):
            trained(custom_model(str(schnell_folder)), boats, tmp_path / "x.safetensors")


def _fields(settings: TrainingSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in TrainingSettings.__slots__}


class TestNoise:
    def test_shares_are_logit_normal(self) -> None:
        made = torch.Generator().manual_seed(0)
        shares = sample_sigmas(20_000, 64, {"shift": 1.0}, made)
        logits = torch.logit(shares)
        assert abs(float(logits.mean())) < 0.03
        assert float(logits.std()) == pytest.approx(1, abs=0.03)

    def test_larger_pictures_have_more_of_it(self) -> None:
        scheduler = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
        medians = []
        for tokens in (256, 4096):
            made = torch.Generator().manual_seed(0)
            medians.append(float(sample_sigmas(20_000, tokens, scheduler, made).median()))
        # exp(mu) / (1 + exp(mu)): the shift moves the median of 0.5 there
        assert medians == pytest.approx([0.622, 0.760], abs=0.01)


class TestDataSets:
    def test_repeats_are_those_of_the_folder_and_shapes_are_kept(self, boats: Path) -> None:
        pictures = load_training_pictures(boats)
        assert [one.repeats for one in pictures] == [2] * 6
        assert sides_of((4000, 3000), 1024, 16) == (1184, 880)
        assert sides_of((64, 64), 1024, 16) == (64, 64)

    def write_list(self, root: Path, *lines: object) -> Path:
        root.mkdir(exist_ok=True)
        for number in range(6):
            Image.new("RGB", (32, 32), (number, 0, 0)).save(root / f"{number}.png")
        (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return root

    def test_imagefolder_is_read_and_of_a_split_the_side_train(self, tmp_path: Path) -> None:
        lines = [{"file_name": f"{n}.png", "text": f" a\nboat {n}"} for n in range(6)]
        (tmp_path / "set").mkdir()
        self.write_list(tmp_path / "set" / "train", *lines)
        pictures = load_training_pictures(tmp_path / "set")
        assert [one.caption for one in pictures] == [f"a boat {n}" for n in range(6)]

    def test_a_list_names_no_file_outside(self, tmp_path: Path) -> None:
        Image.new("RGB", (32, 32)).save(tmp_path / "secret.png")
        for name in ("../secret.png", str(tmp_path / "secret.png"), "no-such.png", 3, None):
            root = self.write_list(tmp_path / "set", {"file_name": name, "text": "x"})
            with pytest.raises(UsageError, match=r"line 1 of .*names no picture of this folder"):
                load_training_pictures(root)

    def test_what_lacks_is_said_in_a_line(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"there is no folder .*imagen\.export"):
            load_training_pictures(tmp_path / "none")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="there are no pictures"):
            load_training_pictures(tmp_path / "empty")
        lines = [{"file_name": f"{n}.png", "text": "a boat"} for n in range(4)]
        few = self.write_list(tmp_path / "few", *lines)
        with pytest.raises(UsageError, match="has 4 pictures: a LoRA takes 5 or more"):
            load_training_pictures(few)
        mute = self.write_list(
            tmp_path / "mute", *lines, {"file_name": "4.png"}, {"file_name": "5.png", "text": " "}
        )
        with pytest.raises(UsageError, match=r"2 of 6 pictures .* no caption \(4\.png"):
            load_training_pictures(mute)

    def test_a_torn_picture_is_named(self, schnell_folder: Path, tmp_path: Path) -> None:
        lines = [{"file_name": f"{n}.png", "text": "a boat"} for n in range(6)]
        root = self.write_list(tmp_path / "set", *lines)
        (root / "3.png").write_bytes(b"torn")
        with pytest.raises(UsageError, match=r"3\.png is torn, or no picture"):
            trained(custom_model(str(schnell_folder)), root, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps must be"),
        ({"rank": 1.5}, "rank must be a whole number"),
        ({"batch": 0}, "batch must be"),
        ({"size": 8}, "size must be"),
        ({"learning_rate": 0}, "learning_rate is above 0"),
        ({"learning_rate": "much"}, "learning_rate is above 0"),
        ({"preview_every": -1}, "preview_every must be"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        TrainingSettings(**wrong).validated()


def test_the_rate_grows_and_falls() -> None:
    settings = TrainingSettings(steps=100, learning_rate=1.0)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.001


def test_the_fixture_has_one_layout_for_each_kind() -> None:
    assert {type(flux_layout.new_klein_pipeline()).__name__, "FluxPipeline"} == {*layouts._LAYOUTS}
