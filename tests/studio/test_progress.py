"""In a notebook: a bar and a growing picture while drawing, and nothing of them afterwards."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from imagen_nb.backends import Step
from imagen_nb.studio.progress import (
    DISPLAY_INTERVAL_S,
    LiveDisplay,
    ProgressBar,
    describe_seconds,
    progress_listener,
)
from imagen_nb.system.terminal import in_notebook
from tests.fixtures.terminals import without_controls, written_to_terminal

CELLS = {
    "start": "import imagen_nb as im\n"
    "im.configure(backend='flux-tiny-local', output={'dir': 'out'})",
    "one": "print('before'); im.generate('a red boat', seed=1)",
    "many": "im.sweep('a red boat', seeds=range(8), steps=60)",
    "hidden": "im.sweep('a red boat', seeds=range(8), steps=61, progress=False);",
    "no picture": "im.configure(backend='flux-tiny-local', output={'dir': 'out'}, preview='off')\n"
    "im.sweep('a red boat', seeds=range(8), steps=62);",
    "notice": "im.generate('a red boat', backend='auto', steps=1, progress=False);",
    "mistake": "x = 1\nim.generate('a red boat', width=130)",
}
BUDGET = 40_000  # bytes: what one saved notebook with all of these may take


class Watched(NotebookClient):
    """Notes what the kernel sends to be shown, for each cell."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.shown: dict[int, list[dict[str, Any]]] = {}

    def process_message(self, message: Any, cell: Any, index: int) -> Any:
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.shown.setdefault(index, []).append(message["content"]["data"])
        return super().process_message(message, cell, index)


class Ran:
    """A notebook that was executed: what was shown meanwhile, and what is saved."""

    def __init__(self, folder: Path) -> None:
        cells = [nbformat.v4.new_code_cell(code) for code in CELLS.values()]
        self.book = nbformat.v4.new_notebook(cells=cells)
        client = Watched(self.book, timeout=600, allow_errors=True)
        client.execute(cwd=str(folder), env={**os.environ, "HOME": str(folder)})
        self.places = list(CELLS)
        self.client = client

    def pages(self, cell: str) -> list[str]:
        return [data["text/html"] for data in self.client.shown.get(self.places.index(cell), [])]

    def saved(self, cell: str) -> list[Any]:
        return list(self.book.cells[self.places.index(cell)].outputs)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels))
        return Ran(tmp_path_factory.mktemp("notebook"))


@pytest.mark.slow
class TestInAKernel:
    def test_the_growing_picture_is_shown_in_place_with_the_time_left(self, ran: Ran) -> None:
        grown = [page for page in ran.pages("many") if 'alt="preview"' in page]
        assert grown
        assert re.search(r"pictures 1 to 8 of 8, \d+:\d\d left", grown[0])
        assert len(set(grown)) == len(grown)
        assert max(map(len, grown)) < 8_000

    def test_a_drawing_without_a_bar_shows_nothing(self, ran: Ran) -> None:
        assert ran.pages("hidden") == []

    def test_with_the_preview_off_there_is_a_bar_alone(self, ran: Ran) -> None:
        pages = ran.pages("no picture")
        assert any("<progress" in page for page in pages)
        assert not any("<img" in page for page in pages)

    @pytest.mark.parametrize("cell", ["one", "many", "no picture"])
    def test_the_saved_notebook_keeps_none_of_it(self, cell: str, ran: Ran) -> None:
        left = [output for output in ran.saved(cell) if output.output_type == "display_data"]
        assert [output.data for output in left] == [{"text/html": "", "text/plain": ""}] * len(left)

    def test_what_the_cell_printed_and_its_result_stay(self, ran: Ran) -> None:
        kinds = [output.output_type for output in ran.saved("one")]
        assert (kinds[0], kinds[-1]) == ("stream", "execute_result")

    def test_nothing_is_said_on_stderr(self, ran: Ran) -> None:
        said = [o for cell in ran.book.cells for o in cell.outputs if o.get("name") == "stderr"]
        assert said == []

    def test_a_notice_is_a_quiet_text_and_comes_once(self, ran: Ran) -> None:
        (notice,) = ran.saved("notice")
        assert notice.output_type == "display_data"
        assert "imagen: drawing with flux-tiny-local, the small" in notice.data["text/plain"]
        assert notice.data["text/html"].startswith('<small style="color:')

    def test_a_mistake_is_the_message_and_the_users_own_line(self, ran: Ran) -> None:
        (error,) = ran.saved("mistake")
        assert error.ename == "UsageError"
        first, second = error.traceback
        assert first.endswith("width must be a multiple of 16, not 130: try 128 or 144")
        assert second == "line 2: im.generate('a red boat', width=130)"

    def test_the_saved_notebook_is_small(self, ran: Ran) -> None:
        assert len(nbformat.writes(ran.book)) < BUDGET
        assert "image/png" not in json.dumps(ran.book)


class Screen:
    """Stands where IPython shows things; notes them."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def display(self, data: dict[str, str], **how: Any) -> Screen:
        assert how == {"raw": True, "display_id": True}
        self.pages.append(data["text/html"])
        return self

    def update(self, data: dict[str, str], **how: Any) -> None:
        self.pages.append(data["text/html"])


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setitem(sys.modules, "IPython.display", screen)
    return screen


def ended(number: int, preview: Any = None) -> Step:
    return Step(range(1), 3, number, 100, 65.0, preview)


def small(index: int) -> Image.Image:
    return Image.new("RGB", (16, 16), "red")


def live_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "imagen-live"]


def wait_for_threads() -> None:
    for thread in live_threads():
        thread.join(30)
    assert live_threads() == []


def test_however_fast_the_steps_come_few_are_shown(screen: Screen) -> None:
    started = time.monotonic()
    with LiveDisplay(100) as display:
        for number in range(60):
            display(ended(number, small))
            time.sleep(0.01)
    looks = (time.monotonic() - started) / DISPLAY_INTERVAL_S
    assert 1 < len(screen.pages) <= looks + 1
    assert "picture 1 of 3, 1:05 left" in screen.pages[0]
    assert screen.pages[-1] == ""


def test_a_short_drawing_shows_nothing_at_all(screen: Screen) -> None:
    with LiveDisplay(1) as display:
        display(ended(1, small))
    wait_for_threads()
    assert screen.pages == []


def test_before_the_first_step_it_says_that_it_gets_ready(screen: Screen) -> None:
    with LiveDisplay(6):
        time.sleep(3 * DISPLAY_INTERVAL_S)
    assert "getting ready" in screen.pages[0]
    assert len(screen.pages) == 2


def test_with_a_loaded_model_a_short_drawing_starts_no_thread(screen: Screen) -> None:
    wait_for_threads()  # of other tests
    with LiveDisplay(1, loaded=True) as display:
        display(ended(1, small))
        assert live_threads() == []
    assert screen.pages == []


def test_with_a_loaded_model_a_long_drawing_is_shown(screen: Screen) -> None:
    with LiveDisplay(100, loaded=True) as display:
        for number in range(80):
            display(ended(number, small))
            time.sleep(0.01)
    assert 'alt="preview"' in screen.pages[0]
    assert screen.pages[-1] == ""


def test_a_preview_that_comes_too_late_is_not_shown(screen: Screen) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(index: int) -> Image.Image:
        asked.set()
        assert answer.wait(30)
        return small(index)

    with LiveDisplay(6) as display:
        display(ended(1, slow))
        assert asked.wait(30)
    answer.set()
    wait_for_threads()
    assert screen.pages == []


def test_a_preview_that_fails_is_said_once_and_the_bar_goes_on(screen: Screen, capsys) -> None:
    def broken(index: int) -> Image.Image:
        raise RuntimeError("no memory")

    with LiveDisplay(6) as display:
        for number in range(1, 4):
            display(ended(number, broken))
            time.sleep(2 * DISPLAY_INTERVAL_S)
    assert capsys.readouterr().err.count("no preview of the drawing: RuntimeError") == 1
    assert sum("<progress" in page for page in screen.pages) > 1


@pytest.mark.parametrize(
    ("progress", "previews", "kind"),
    [
        (None, True, LiveDisplay),
        (True, False, LiveDisplay),
        (False, True, type(None)),
        (print, True, type(print)),
    ],
)
def test_a_notebook_has_the_live_display_unless_told_otherwise(
    progress: Any, previews: bool, kind: type, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="here"))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    with progress_listener([], progress, previews) as listen:
        assert isinstance(listen, kind)


def test_elsewhere_there_is_a_bar_on_request_and_nothing_where_nobody_looks() -> None:
    assert not in_notebook()
    with progress_listener([], True) as listen:
        assert isinstance(listen, ProgressBar)
    with progress_listener([], None) as listen:
        assert listen is None


def step_of(number: int) -> Step:
    return Step(range(1), total=1, step=number, steps=6, seconds_left=0.0)


WAITING = (
    "import sys, time\n"
    "from imagen_nb.backends import Step\n"
    "from imagen_nb.studio.progress import progress_listener\n"
    "with progress_listener([], None) as listen:\n"
    "    time.sleep(0.6)\n"
    "    print('a notice', file=sys.stderr)\n"
    "    print('a result')\n"
    "    for number in (1, 2):\n"
    "        listen(Step(range(1), total=1, step=number, steps=6, seconds_left=0.0))\n"
)


@pytest.fixture(scope="module")
def written() -> str:
    """What a terminal is sent while a model is loaded, and then draws."""
    return written_to_terminal([sys.executable, "-c", WAITING], output_too=False).decode()


class TestATerminal:
    """Until the first step it says, with a spinner, that the model is loaded."""

    def test_the_spinner_turns_until_the_first_step(self, written: str) -> None:
        loading, drawing = written.split("drawing", 1)
        turned = set(re.findall("(.) loading the model …", loading))
        assert len(turned) > 2
        assert "loading" not in drawing
        assert "step 1 of 6" in drawing

    def test_its_line_is_gone_before_the_bar_begins(self, written: str) -> None:
        last = written.split("drawing", 1)[0].rpartition("loading the model …")[2]
        assert "\x1b[2K" in last  # the line is erased
        assert "\x1b[?25h" in last  # and the cursor is there again

    def test_a_notice_has_a_line_of_its_own(self, written: str) -> None:
        assert "a notice" in [line.strip() for line in without_controls(written).splitlines()]

    def test_what_is_printed_goes_where_it_did(self, written: str) -> None:
        assert "a result" not in written


def test_where_nobody_looks_nothing_is_said_to_load(capsys: Any) -> None:
    with progress_listener([], True) as listen:
        assert capsys.readouterr().err == ""
        assert listen
        listen(step_of(1))
    assert "drawing" in capsys.readouterr().err


def test_a_model_that_is_loaded_is_not_said_to_load(capsys: Any) -> None:
    with progress_listener([], True, loaded=True):
        pass
    assert "loading" not in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3600, "60:00")])
def test_seconds_are_shown_as_people_read_them(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text
