"""What a Panel can be set to: prompts in braces, images, LoRAs, presets, and what is taken over."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.backends import Step
from imagen_nb.backends.flux.backend import FluxBackend
from imagen_nb.cli import run
from imagen_nb.errors import Cancelled, UsageError
from imagen_nb.storage.drawing_queue import DrawingQueue
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.panel import Panel, latest_panel
from tests.fixtures.lora_files import write_lora
from tests.fixtures.panels import Seen, until


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


PHOTO = png(Image.linear_gradient("L").resize((128, 96)).convert("RGB"))
HALF = Image.new("L", (128, 96), 0)
HALF.paste(255, (0, 0, 64, 96))
MASK = png(HALF)


def prompts(panel: Seen) -> list[str]:
    return [picture.record.prompt for picture in panel.panel.pictures]


class TestPrompts:
    def test_braces_are_alternatives_and_their_number_is_told_before(self, panel: Seen) -> None:
        panel.panel.count = 2
        panel.panel.prompt = "a {red|blue} boat"
        told = panel.last("checks")
        assert (told["pictures"], told["how"]) == (4, "2 prompts × 2 seeds")
        panel.draw("a {red|blue} boat", steps=1)
        panel.drawn(4)
        assert prompts(panel) == ["a red boat"] * 2 + ["a blue boat"] * 2
        seeds = [picture.record.seed for picture in panel.panel.pictures]
        assert seeds[:2] == seeds[2:]

    def test_a_brace_without_its_partner_is_said_beside_the_prompt(self, panel: Seen) -> None:
        panel.panel.prompt = "a {red boat"
        assert panel.last("checks")["problems"]["prompt"].startswith("'{' without '}'")
        assert panel.last("checks")["pictures"] == 0

    def test_each_line_is_a_prompt_where_that_is_asked_for(self, panel: Seen) -> None:
        panel.panel.prompt = "a red boat\n\n a star \n"
        assert panel.last("checks")["pictures"] == 1
        panel.panel.one_per_line = True
        assert panel.last("checks")["pictures"] == 2
        panel.draw(panel.panel.prompt, steps=1)
        panel.drawn(2)
        assert prompts(panel) == ["a red boat", "a star"]

    def test_too_many_are_refused(self, panel: Seen) -> None:
        panel.panel.prompt = "{a|b|c|d|e|f|g|h|i|j|k}"
        panel.panel.count = 100
        assert "these are 1,100 pictures" in panel.last("checks")["problems"]["count"]

    def test_recalled_braces_are_no_alternatives(self, panel: Seen) -> None:
        panel.draw(r"a \{red\|blue\} boat", steps=1)
        panel.drawn(1)
        assert prompts(panel) == ["a {red|blue} boat"]
        panel.say("recall", id=panel.last("result")["id"], part="prompt")
        assert panel.panel.prompt == r"a \{red\|blue\} boat"


class TestOptions:
    def test_all_that_generate_takes_is_drawn_with(
        self, panel: Seen, folder: Path, tmp_path: Path
    ) -> None:
        lora = write_lora(tmp_path / "loras" / "ink.safetensors")
        panel.say("image", [PHOTO], name="init_image")
        assert (panel.panel.width, panel.panel.height) == (144, 112)  # of its shape
        panel.say("image", [MASK], name="mask")
        assert panel.last("image") == {"kind": "image", "name": "mask", "width": 128, "height": 96}
        panel.draw(
            "a red boat",
            negative_prompt="people",
            true_cfg=1.5,
            strength=0.8,
            scheduler="euler",
            loras=[[str(lora), 0.5]],
        )
        panel.drawn(1)
        record = panel.panel.pictures[0].record
        assert (record.negative_prompt, record.true_cfg, record.strength) == ("people", 1.5, 0.8)
        assert (record.scheduler_name, record.loras[0]["weight"]) == ("euler", 0.5)
        assert [one["name"] for one in record.inputs] == ["init_image", "mask"]
        result = panel.last("result")["id"]
        panel.say("before", id=result)
        assert panel.weights("before")[0] > 0

        panel.say("vary", id=result, count=2, strength=0.5)
        panel.drawn(3)
        others = [picture.record for picture in panel.panel.pictures][1:]
        assert {one.strength for one in others} == {0.5}
        assert len({one.seed for one in others} | {record.seed}) == 3
        assert {one.negative_prompt for one in others} == {"people"}

        panel.say("image", name="init_image")  # which takes its mask along
        panel.panel.loras = []
        assert (panel.panel.init_image, panel.panel.mask) == (None, None)
        panel.say("recall", id=result, part="all")
        assert panel.panel.loras == [[str(lora), 0.5]]
        assert panel.panel.mask is not None
        assert (panel.panel.width, panel.panel.height) == (144, 112)

    def test_what_is_wrong_with_them_is_said_beside_each(self, panel: Seen, tmp_path: Path) -> None:
        def problem() -> dict[str, str]:
            problems: dict[str, str] = panel.last("checks")["problems"]
            return problems

        panel.panel.negative_prompt, panel.panel.true_cfg = "people", 1.0
        assert problem()["true_cfg"].startswith("a negative prompt works with a true_cfg above 1")
        panel.panel.true_cfg = 99.0
        assert problem() == {"true_cfg": "true_cfg must be from 1 to 30, not 99"}
        panel.panel.true_cfg, panel.panel.scheduler = None, "eular"
        assert problem()["scheduler"].endswith("did you mean euler?")
        panel.panel.scheduler = ""
        panel.panel.loras = [[str(tmp_path / "none.bin"), 1.0]]
        assert "none.bin is none" in problem()["loras"]
        panel.panel.loras = []
        panel.say("image", [b"no picture"], name="init_image")
        assert panel.last("failed")["text"].startswith("init_image is torn")
        panel.say("image", [PHOTO], name="init_image")
        panel.say("image", [png(Image.new("L", (8, 8), 255))], name="mask")
        assert problem()["mask"].startswith("the mask has 8×8 pixels")

    def test_images_wait_with_their_requests_for_the_next_kernel(
        self, panel: Seen, studio: Studio
    ) -> None:
        panel.say("image", [PHOTO], name="init_image")
        panel.draw("a red boat", steps=60, count=1, strength=1.0)
        panel.drawing()
        panel.panel.close()
        following = Seen(Panel(studio), panel._told)
        following.say("resume")
        following.drawn(1)
        record = following.panel.pictures[0].record
        assert [one["bytes"] for one in record.inputs] == [len(PHOTO)]
        following.panel.close()

    def test_a_picture_becomes_the_init_image(self, panel: Seen, studio: Studio) -> None:
        panel.draw("a red boat", steps=1, width=144, height=112)
        panel.drawn(1)
        panel.panel.width = 64
        panel.say("start-from", id=panel.last("result")["id"])
        image = panel.panel.init_image
        assert image is not None
        assert (image.width, image.height) == (panel.panel.width, panel.panel.height) == (144, 112)
        other = studio.generate("a star", seed=1, steps=1, width=64, height=64, progress=False)
        panel.panel.use_as_init_image(str(other.record.id)[:8])
        assert panel.panel.init_image is not None
        assert panel.panel.init_image.width == 64

    def test_the_page_knows_what_each_backend_takes(self, panel: Seen) -> None:
        panel.say("hello")
        (one,) = panel.last("hello")["backends"]
        assert {"init_image", "mask", "negative_prompt", "loras"} <= {*one["takes"]}
        assert one["requires"]["mask"] == ["init_image"]
        assert [128, 128, "128 × 128 square"] in one["sizes"]
        until(lambda: panel.told("memory"))
        assert panel.last("memory")["text"].startswith("memory: ")

    def test_the_loras_of_configured_folders_are_offered(
        self, folder: Path, tmp_path: Path, told: list[tuple[dict[str, Any], int]]
    ) -> None:
        write_lora(tmp_path / "styles" / "ink.safetensors")
        settings = {"backend": "flux-tiny-local", "lora_dirs": [str(tmp_path / "styles"), "/none"]}
        with Studio({**settings, "output": {"dir": str(folder)}}) as studio:
            shown = Seen(Panel(studio), told)
            shown.say("hello")
            until(lambda: shown.told("loras"))
            found = shown.last("loras")
            assert [one["name"] for one in found["loras"]] == ["ink"]
            assert "there is no folder /none" in found["why"]
            shown.panel.close()

    def test_requests_of_an_older_version_are_drawn(self, panel: Seen, studio: Studio) -> None:
        catalog = studio.catalog()
        with DrawingQueue(catalog).catalog.connection() as connection:
            text = json.dumps({"prompt": "a red boat", "seed": 3, "steps": 1, "tags": ["old"]})
            connection.execute(
                "INSERT INTO queue (place, wish, made_at) VALUES (1, ?, '2026')", (text,)
            )
        panel.say("resume")
        panel.drawn(1)
        assert panel.panel.pictures[0].record.tags == ("old",)


class TestTakingOver:
    def test_any_picture_sets_the_form(self, panel: Seen, studio: Studio) -> None:
        picture = studio.generate(
            "a star", seed=5, steps=3, width=144, height=112, guidance=2.0, progress=False
        )
        form = panel.panel
        form.take(picture, "size")
        assert (form.width, form.height, form.prompt) == (144, 112, "")
        form.take(str(picture.record.id), "prompt")
        assert (form.prompt, form.lock_seed) == ("a star", False)
        form.take(picture.path)
        assert (form.seed, form.lock_seed, form.steps, form.guidance) == (5, True, 3, 2.0)
        with pytest.raises(UsageError, match="did you mean seed"):
            form.take(picture, "sed")

    def test_the_panel_made_or_shown_last_is_found(self, panel: Seen, studio: Studio) -> None:
        assert latest_panel() is panel.panel
        other = Panel(studio)
        assert latest_panel() is other
        other.close()
        assert latest_panel() is None

    def test_another_backend_brings_its_own_numbers(self, panel: Seen) -> None:
        panel.panel.steps = 99
        panel.panel.backend = "flux-dev-local"
        assert "hf download" in panel.last("checks")["problems"]["backend"]
        panel.panel.backend = "flux-tiny-local"
        assert panel.panel.steps == 6


class TestRating:
    def test_stars_and_tags_are_kept(self, panel: Seen) -> None:
        panel.draw("a red boat", steps=1)
        panel.drawn(1)
        id = panel.last("result")["id"]
        panel.say("rate", id=id, stars=4)
        panel.say("tag", id=id, tag="sea", on=True)
        assert panel.last("tags")["tags"] == ["rating:4", "sea"]
        panel.say("rate", id=id, stars=0)
        panel.say("tag", id=id, tag="sea", on=False)
        assert panel.last("tags")["tags"] == []
        panel.say("tag", id=id, tag="a\tb", on=True)
        assert panel.last("failed")["text"].startswith("a tag must be a line of text")


class TestTheQueue:
    def test_tells_how_long_it_takes_and_is_emptied_at_once(self, panel: Seen) -> None:
        panel.draw("a red boat", steps=1)
        panel.drawn(1)
        panel.draw("a star", steps=200, count=4)
        panel.drawing()
        told = panel.last("queue")
        assert (told["waiting"], told["left"][:6]) == (3, "about ")
        panel.say("remove-all")
        assert panel.last("queue")["waiting"] == 0
        panel.say("cancel")
        until(lambda: panel.last("queue")["items"] == [])

    def test_a_cancel_while_the_model_loads_waits_for_nothing(
        self, panel: Seen, studio: Studio, folder: Path, loading: threading.Event
    ) -> None:
        panel.draw("a red boat", steps=2)
        until(lambda: panel.panel._painter.waiting().current)
        panel.say("cancel")
        assert panel.last("said")["text"].startswith("cancelled; ")
        assert panel.last("queue")["items"] == []
        panel.draw("a star", steps=2)
        until(lambda: panel.panel._painter.waiting().current)
        loading.set()
        panel.drawn(1)
        assert prompts(panel) == ["a star"]
        assert [path.suffix for path in folder.glob("*boat*")] == []

    def test_a_cancel_reaches_a_call_before_its_first_step(self, studio: Studio) -> None:
        """A hosted model reports no step until the picture is paid."""

        class Listener:
            cancelled = threading.Event()

            def __call__(self, step: Step) -> None:
                raise AssertionError(step)

        Listener.cancelled.set()
        with pytest.raises(Cancelled):
            studio.generate("a star", progress=Listener())


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The model is loaded when this is set."""
    loaded = threading.Event()
    plan = FluxBackend._plan_requests

    def load(*arguments: Any) -> None:
        loaded.wait(60)
        plan(*arguments)

    monkeypatch.setattr(FluxBackend, "_plan_requests", load)
    yield loaded
    loaded.set()


class TestPresets:
    def test_are_saved_used_here_and_by_the_command_and_removed(
        self, panel: Seen, folder: Path, capsys: Any
    ) -> None:
        form = panel.panel
        panel.say(
            "save-preset",
            name="small",
            form={"steps": 2, "width": 64, "height": 64, "tags": "quick", "negative_prompt": "x"},
        )
        assert panel.last("presets")["names"] == ["small"]
        form.steps, form.width, form.negative_prompt = 9, 128, ""
        panel.say("use-preset", name="small")
        assert (form.steps, form.width, form.tags) == (2, 64, "quick")
        assert form.negative_prompt == "x"

        place = ["--output", str(folder), "--json", "--seed", "1"]
        assert run(["generate", "a star", "--preset", "small", "--steps", "3", *place]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["steps"], record["width"], record["tags"]) == (3, 64, ["quick"])
        assert run(["generate", "a star", "--preset", "smal", *place]) == 2
        assert "did you mean small?" in capsys.readouterr().err

        panel.say("remove-preset", name="small")
        assert panel.last("presets")["names"] == []
        panel.say("save-preset", name="a\tb", form={})
        assert panel.last("failed")["text"].startswith("a preset's name has 1 to 60")


class TestWhatIsSaved:
    def test_has_whole_prompts_seeds_and_settings(self, panel: Seen) -> None:
        long = "a red boat " + "on a very wide sea " * 30 + "the end"
        panel.draw(long, steps=1, seed=7)
        panel.drawn(1)
        page = panel.panel._strip.page()
        assert "the end</bdi>" in page
        assert "seed 7 · 128×128 · 1 step " in page
        assert "<small>1 picture</small>" in page
        assert repr(panel.panel) == "<Panel flux-tiny-local, 1 picture>"
        view, _ = panel.panel._repr_mimebundle_()
        assert view["text/plain"] == "Panel"

    def test_settings_are_validated_where_they_are_set(self, panel: Seen) -> None:
        panel.say("draw", form={"steps": "many"})
        assert panel.last("failed")["text"] == "steps cannot be 'many'"
        assert isinstance(panel.panel, im.Panel)
