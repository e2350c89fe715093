"""The Panel without a browser: what it draws, keeps, tells, and how it survives."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import subprocess
import textwrap
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from diffusers import FluxPipeline
from PIL import Image

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.request.request import MAX_SEED
from imagen_nb.storage.drawing_queue import DrawingQueue, DrawingRequest
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets import strip as results
from imagen_nb.widgets.panel import Panel
from tests.fixtures.kill_points import killing
from tests.fixtures.panels import Seen, pngs, until

PATIENCE_S = 60
LONG = 60  # steps, a second or two: still being drawn when the next thing is done
TYPED = {"count": 2, "seed": 7, "lock_seed": True, "tags": "sea, red"}  # as the page sends it


class TestDrawing:
    def test_draws_as_many_as_wanted_with_seeds_in_a_row(self, panel: Seen, folder: Path) -> None:
        panel.draw("a red boat", seed=11, count=3, tags="sea, boats ,")
        panel.drawn(3)
        records = [picture.record for picture in panel.panel.pictures]
        assert [record.seed for record in records] == [11, 12, 13]
        assert {record.tags for record in records} == {("sea", "boats")}
        assert len(pngs(folder)) == 3
        assert panel.last("queue")["items"] == []

    def test_the_seed_is_a_new_one_unless_it_is_locked(self, panel: Seen) -> None:
        controls = panel.panel
        panel.draw("a red boat")
        panel.draw("a red boat")
        controls.lock_seed = True
        panel.draw("a red boat", steps=7)
        panel.drawn(3)
        first, second, third = (picture.record.seed for picture in panel.panel.pictures)
        assert first != second == third == controls.seed

    def test_a_seed_typed_by_hand_is_locked(self, panel: Seen) -> None:
        panel.panel.seed = 5
        assert panel.panel.lock_seed

    def test_what_the_page_sets_together_stays_as_it_says(self, panel: Seen) -> None:
        """Its dice leaves the lock as it is; numbers that go with a backend are not the model's."""
        panel.panel.set_state({"seed": 5, "lock_seed": False, "width": 64})
        assert (panel.panel.seed, panel.panel.lock_seed, panel.panel.width) == (5, False, 64)

    def test_a_result_is_told_with_a_small_thumbnail(self, panel: Seen) -> None:
        panel.draw("a red boat", width=256, height=256)
        panel.drawn(1)
        one = panel.last("result")
        assert (one["prompt"], one["verdict"]) == ("a red boat", "")
        assert Path(one["path"]).exists()
        assert 0 < panel.weights("result")[0] <= 12_000

    def test_drawing_waits_for_no_cell_and_no_cell_for_it(
        self, panel: Seen, studio: Studio
    ) -> None:
        panel.draw("a red boat", steps=LONG)
        panel.drawing()
        picture = studio.generate("a blue star", seed=1)
        panel.drawn(1)
        assert picture.path.exists()

    def test_previews_come_four_times_a_second_and_are_small(self, panel: Seen) -> None:
        started = time.monotonic()
        panel.draw("a red boat", steps=LONG)
        panel.drawn(1)
        steps = panel.told("step")
        assert 1 <= len(steps) <= (time.monotonic() - started) * 4 + 1
        assert all(one["steps"] == LONG and one["left"].endswith(" left") for one in steps)
        assert 0 < max(panel.weights("step")) < 4_000

    def test_python_draws_as_the_button_does(self, panel: Seen) -> None:
        panel.panel.prompt = "a red boat"
        panel.panel.draw()
        panel.drawn(1)
        panel.panel.prompt = " "
        with pytest.raises(UsageError, match="the prompt is empty"):
            panel.panel.draw()

    def test_only_the_newest_keep_their_thumbnails(
        self, panel: Seen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(results, "MAX_THUMBNAILS", 2)
        panel.draw("a red boat", count=4)
        panel.drawn(4)
        kept = [one.small != b"" for one in panel.panel._strip.results.newest(4)]
        assert kept == [False, False, True, True]
        assert len(panel.panel.pictures) == 4


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("width", 130, "width must be a multiple of 16, not 130: try 128 or 144"),
            ("steps", 0, "steps must be from 1 to 200, not 0"),
            ("guidance", -1.0, "guidance must be from 0 to 100, not -1"),
            ("seed", -1, f"seed must be from 0 to {MAX_SEED}, not -1"),
            ("count", 101, "count must be from 1 to 100, not 101"),
            ("tags", "a\tb", "a tag must be a line of text that is not empty, not 'a\\tb'"),
        ],
    )
    def test_is_said_beside_its_control_before_drawing(
        self, name: str, value: Any, said: str, panel: Seen
    ) -> None:
        setattr(panel.panel, name, value)
        assert panel.last("checks")["problems"] == {name: said}
        panel.say("draw", form={"prompt": "a red boat"})
        assert panel.last("failed")["text"] == said
        assert panel.panel._painter.waiting().items == []

    def test_what_is_typed_comes_with_the_request(self, panel: Seen) -> None:
        panel.say("draw", form={**TYPED, "prompt": "a red boat"})
        panel.drawn(2)
        pictures = panel.panel.pictures
        assert [picture.record.seed for picture in pictures] == [7, 8]
        assert [picture.record.tags for picture in pictures] == [("sea", "red")] * 2

    def test_an_empty_prompt_is_one_when_it_is_to_be_drawn(self, panel: Seen) -> None:
        panel.panel.steps = 5
        assert panel.last("checks")["problems"] == {}
        panel.say("draw", form={"prompt": "  "})
        assert "prompt" in panel.last("checks")["problems"]

    def test_seeds_must_not_run_past_the_last_one(self, panel: Seen) -> None:
        panel.draw("a red boat", seed=MAX_SEED, count=2)
        assert "seed must be from 0" in panel.last("failed")["text"]

    def test_backends_that_cannot_draw_are_named_with_the_reason(self, panel: Seen) -> None:
        panel.say("hello")
        missing = {one["name"]: one["why"] for one in panel.last("hello")["missing"]}
        assert [one["name"] for one in panel.last("hello")["backends"]] == ["flux-tiny-local"]
        assert "hf download black-forest-labs/FLUX.1-dev" in missing["flux-dev-local"]
        assert panel.last("hello")["notes"]["cloud"].startswith("no Supabase is configured")

    def test_what_cannot_be_drawn_stays_with_the_reason(self, panel: Seen) -> None:
        painter = panel.panel._painter
        painter.add(
            [
                DrawingRequest(prompt="a red boat", backend="flux-dev-local"),
                DrawingRequest(prompt="a star"),
            ]
        )
        panel.drawn(1)
        (item,) = panel.last("queue")["items"]
        assert (
            "the weights of black-forest-labs/FLUX.1-dev are not on this machine" in item["error"]
        )
        panel.say("retry", id=item["id"])
        until(lambda: len(panel.told("failed")) >= 2)
        panel.say("remove", id=item["id"])
        assert panel.last("queue")["items"] == []

    def test_a_full_disk_holds_up_the_queue_until_somebody_resumes(
        self, panel: Seen, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            panel.draw("a red boat", count=2)
            until(lambda: panel.told("failed"))
        assert "No space left" in panel.last("failed")["text"]
        assert pngs(folder) == []
        until(lambda: panel.last("queue")["resumable"] == 1)
        panel.say("resume")
        panel.drawn(1)
        panel.say("retry", id=panel.last("queue")["items"][0]["id"])
        panel.drawn(2)

    def test_a_disk_too_full_for_the_catalog_loses_nothing_of_the_queue(
        self, panel: Seen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: Any) -> None:
            raise StorageError("cannot use the catalog: database or disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(DrawingQueue, "fail", full)
            patched.setattr(DrawingQueue, "remove", full)
            panel.draw("a red boat", count=2)
            until(lambda: panel.told("failed"))
            until(lambda: panel.panel._painter.waiting().current is None)
        panel.say("hello")
        assert panel.last("queue")["resumable"] == 2
        panel.say("resume")
        panel.drawn(2)

    def test_errors_of_callbacks_are_shown(self, panel: Seen, capsys: Any) -> None:
        panel.say("recall", id="nothing", part="all")
        assert panel.last("failed")["text"] == "this panel drew no picture nothing"
        panel.say("remove")
        assert panel.last("failed")["text"] == "unexpected: KeyError('id')"
        assert "Traceback" in capsys.readouterr().err


class TestCancelling:
    def test_stops_at_the_next_step_leaves_nothing_and_goes_on(
        self, panel: Seen, folder: Path
    ) -> None:
        panel.draw("a red boat", steps=LONG)
        panel.draw("a blue star", steps=4)
        panel.say("remove", id=panel.drawing())
        panel.drawn(1)
        assert [picture.record.prompt for picture in panel.panel.pictures] == ["a blue star"]
        assert len(pngs(folder)) == 1
        assert len(list(folder.iterdir())) == 3  # with the sidecar and .imagen
        assert "cancelled" in [one["text"] for one in panel.told("said")]

    def test_does_not_touch_what_a_cell_draws(self, panel: Seen, studio: Studio) -> None:
        panel.draw("a red boat", steps=LONG)
        panel.drawing()
        drawn: list[Any] = []
        cell = threading.Thread(target=lambda: drawn.append(studio.generate("a star", steps=20)))
        cell.start()
        panel.panel.cancel()
        cell.join(PATIENCE_S)
        assert len(drawn) == 1

    def test_what_waits_can_be_removed_and_reordered(self, panel: Seen) -> None:
        panel.draw("first", steps=LONG)
        for prompt in ("second", "third", "fourth"):
            panel.draw(prompt, steps=4)
        panel.drawing()
        waiting = {item["title"]: item["id"] for item in panel.last("queue")["items"]}
        panel.say("move", id=waiting["fourth"], by=-2)
        panel.say("remove", id=waiting["third"])
        panel.drawn(3)
        prompts = [picture.record.prompt for picture in panel.panel.pictures]
        assert prompts == ["first", "fourth", "second"]


class TestResults:
    def test_recall_sets_the_controls(self, panel: Seen) -> None:
        panel.draw("a red boat", seed=11, steps=7, width=144, height=96, guidance=2.0)
        panel.drawn(1)
        one, controls = panel.last("result"), panel.panel
        everything = ("prompt", "seed", "steps", "width", "height", "guidance")
        was = {name: getattr(controls, name) for name in everything}
        for name, value in {
            "prompt": "x",
            "seed": 1,
            "steps": 2,
            "width": 64,
            "height": 64,
        }.items():
            setattr(controls, name, value)
        panel.say("recall", id=one["id"], part="prompt")
        assert (controls.prompt, controls.seed) == ("a red boat", 1)
        controls.lock_seed = False
        panel.say("recall", id=one["id"], part="seed")
        assert (controls.seed, controls.lock_seed, controls.steps) == (11, True, 2)
        panel.say("recall", id=one["id"], part="all")
        assert {name: getattr(controls, name) for name in everything} == was

    def test_reproduce_says_identical(self, panel: Seen, folder: Path) -> None:
        panel.draw("a red boat")
        panel.drawn(1)
        panel.say("reproduce", id=panel.last("result")["id"])
        until(lambda: panel.last("result")["verdict"])
        assert panel.last("result")["verdict"] == "identical"
        assert len(pngs(folder)) == 1

    def test_reproduce_says_what_differs(self, panel: Seen, studio: Studio) -> None:
        panel.draw("a red boat")
        panel.drawn(1)
        id = panel.last("result")["id"]
        entry = studio.catalog().get(id)
        assert entry is not None
        with Image.open(entry.path) as image:
            other = image.rotate(90)
        other.save(entry.path)
        record = entry.record.model_copy(
            update={"versions": {"torch": "1.0"}, "sha256": None, "bytes": None}
        )
        studio.catalog().amend(entry, **record.model_dump(include={"versions", "sha256", "bytes"}))
        panel.say("reproduce", id=id)
        until(lambda: panel.last("result")["verdict"])
        assert panel.last("result")["verdict"].startswith("differs: torch was 1.0")

    def test_keeper_and_reject_are_written_beside_the_picture(self, panel: Seen) -> None:
        panel.draw("a red boat")
        panel.drawn(1)
        (picture,) = panel.panel.pictures
        id = str(picture.record.id)
        marks = [("keeper", True, ["keeper"]), ("reject", True, ["reject"]), ("reject", False, [])]
        for tag, on, tags in marks:
            panel.say("mark", id=id, tag=tag, on=on)
            assert panel.last("tags") == {"kind": "tags", "id": id, "tags": tags}
            assert json.loads(picture.sidecar_path.read_text())["tags"] == tags
        assert panel.panel.pictures[0].record.tags == ()

    def test_a_view_that_comes_up_later_hears_of_all_of_it(self, panel: Seen) -> None:
        panel.draw("a red boat", count=2)
        panel.drawn(2)
        before = panel.told("result")
        panel.say("hello")
        assert panel.told("result")[2:] == before
        panel.say("whole", id=before[0]["id"])
        assert panel.weights("whole")[0] == Path(before[0]["path"]).stat().st_size
        facts = dict(panel.last("whole")["facts"])
        assert (facts["prompt"], facts["size"], facts["steps"]) == ("a red boat", "128×128", "6")

    def test_the_page_that_is_saved_has_the_prompts_as_text(self, panel: Seen) -> None:
        panel.draw("<img src=x onerror=alert(1)>")
        panel.drawn(1)
        page = panel.panel._strip.page()
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


class TestTheCloud:
    def test_is_as_configured_and_can_be_switched_off(
        self, folder: Path, told: list[tuple[dict[str, Any], int]]
    ) -> None:
        cloud = {"url": "http://127.0.0.1:9", "key": "sb_secret_x"}
        settings = {"backend": "flux-tiny-local", "output": {"dir": str(folder)}, "supabase": cloud}
        with Studio(settings, background=False) as studio:
            panel = Seen(Panel(studio), told)
            assert panel.panel.cloud
            panel.draw("a red boat", cloud=False)
            panel.drawn(1)
            panel.panel.close()
            assert panel.panel.pictures[0].cloud == "off"

    def test_without_one_there_is_nothing_to_switch(self, panel: Seen) -> None:
        panel.draw("a red boat", cloud=True)
        panel.drawn(1)
        assert panel.panel.pictures[0].record.cloud is True  # as configured: if ever there is one


class TestTheEnd:
    def test_closing_stops_after_the_step_and_leaves_the_rest_to_the_next(
        self, panel: Seen, studio: Studio, folder: Path
    ) -> None:
        panel.draw("a red boat", steps=LONG, count=2)
        panel.drawing()
        panel.panel.close()
        assert pngs(folder) == []
        assert not [t for t in threading.enumerate() if t.name == "imagen-painter"]
        with pytest.raises(UsageError, match="make a new panel"):
            panel.panel.draw()
        following = Seen(Panel(studio), panel._told)
        following.say("hello")
        assert following.last("queue")["resumable"] == 2
        following.say("resume")
        following.drawn(2)
        following.panel.close()

    def test_what_was_drawn_when_the_session_closed_waits_for_the_next(
        self, panel: Seen, folder: Path
    ) -> None:
        panel.draw("a red boat", steps=LONG)
        panel.drawing()
        panel.panel._studio.close()
        until(lambda: panel.told("failed"))
        assert "make a new panel" in panel.last("failed")["text"]
        until(lambda: "imagen-painter" not in [thread.name for thread in threading.enumerate()])
        panel.draw("a blue star")
        with Studio({"output": {"dir": str(folder)}}) as studio:
            following = Seen(Panel(studio), panel._told)
            following.say("hello")
            assert following.last("queue")["resumable"] == 1
            following.panel.close()

    def test_what_python_cancels_waits_until_somebody_resumes(
        self, panel: Seen, studio: Studio
    ) -> None:
        panel.draw("a red boat", steps=LONG)
        panel.drawing()
        studio.cancel()
        until(lambda: panel.told("failed"))
        until(lambda: panel.last("queue")["resumable"] == 1)
        panel.say("resume")
        panel.drawn(1)

    def test_two_panels_in_one_session_draw_each_their_own(
        self, panel: Seen, studio: Studio
    ) -> None:
        other = Seen(Panel(studio), panel._told)
        panel.draw("a red boat")
        other.draw("a blue star")
        panel.drawn(1)
        other.drawn(1)
        assert other.panel.pictures[0].record.prompt == "a blue star"
        other.panel.close()


PROCESS = """
    import sys, time
    from pathlib import Path
    from imagen_nb.studio.studio import Studio
    from imagen_nb.widgets.panel import Panel
    folder, prompt, count, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    studio = Studio({"backend": "flux-tiny-local", "output": {"dir": folder}})
    panel = Panel(studio)
    if prompt:
        panel.prompt = prompt
        panel.steps = steps
        panel.count = count
        panel.draw()
    else:
        print("ready", flush=True)
        sys.stdin.readline()
        panel.resume()
    while panel._painter.waiting().items or panel._painter.waiting().current:
        if panel._painter.waiting().current:
            print("drawing", flush=True)
        time.sleep(0.05)
    print(*(picture.record.seed for picture in panel.pictures), flush=True)
"""


def process(
    python: Path, folder: Path, *arguments: object, killed_at: str = ""
) -> subprocess.Popen[str]:
    script = killing(killed_at) + textwrap.dedent(PROCESS)
    command = [python, "-c", script, str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
class TestAKilledKernel:
    def test_what_it_drew_waits_again_as_the_first(
        self, folder: Path, panel: Seen, quick_python: Path
    ) -> None:
        with process(quick_python, folder, "a red boat", 2, LONG) as kernel:
            assert kernel.stdout is not None
            while kernel.stdout.readline() != "drawing\n":
                pass
            kernel.send_signal(signal.SIGKILL)
            kernel.communicate()
        panel.say("hello")
        told = panel.last("queue")
        assert [item["title"] for item in told["items"]] == ["a red boat"] * 2
        assert told["resumable"] == 2
        assert pngs(folder) == []
        panel.say("resume")
        panel.drawn(2)
        first, second = (picture.record.seed for picture in panel.panel.pictures)
        assert second == first + 1

    def test_what_it_had_finished_is_not_drawn_again(
        self, folder: Path, panel: Seen, quick_python: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawing = Mock(side_effect=FluxPipeline.__call__)
        monkeypatch.setattr(
            FluxPipeline, "__call__", lambda *given, **named: drawing(*given, **named)
        )
        with process(quick_python, folder, "a red boat", 2, 6, killed_at="after-catalog") as kernel:
            kernel.wait(PATIENCE_S)
        assert len(pngs(folder)) == 1
        panel.say("resume")
        panel.drawn(2)
        assert drawing.call_count == 1
        assert len(pngs(folder)) == 2

    def test_two_kernels_that_resume_draw_each_picture_once(
        self, folder: Path, quick_python: Path
    ) -> None:
        queue = DrawingQueue(Studio({"output": {"dir": str(folder)}}).catalog())
        queue.add(DrawingRequest(prompt="a red boat", seed=seed) for seed in range(12))
        queue.close()
        kernel = functools.partial(process, quick_python, folder, "", 0, 0)
        with kernel() as one, kernel() as other:
            kernels = (one, other)
            for kernel in kernels:
                assert kernel.stdout is not None
                assert kernel.stdout.readline() == "ready\n"
            for kernel in kernels:
                assert kernel.stdin is not None
                kernel.stdin.write("\n")
                kernel.stdin.flush()
            answers = [kernel.communicate(timeout=PATIENCE_S)[0] for kernel in kernels]
        seeds = [int(seed) for text in answers for seed in text.splitlines()[-1].split()]
        assert sorted(seeds) == [*range(12)]

    def test_a_kernel_that_ends_in_order_leaves_what_it_drew_waiting(
        self, folder: Path, panel: Seen, quick_python: Path
    ) -> None:
        code = textwrap.dedent(PROCESS).partition("while")[0]
        code += "while len(panel.pictures) < 1: time.sleep(0.05)"
        command = [quick_python, "-c", code, str(folder), "a red boat", "3", str(LONG)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode, done.stderr) == (0, "")
        panel.say("hello")
        told = panel.last("queue")
        assert told["resumable"] == 3 - len(pngs(folder))
        assert [item["error"] for item in told["items"] if item["error"]] == []
