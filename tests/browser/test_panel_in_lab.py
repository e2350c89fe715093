"""The Panel as a person uses it: with mouse and keyboard, in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.fixtures.jupyter_pages import RUN_S, Lab, Notebook

pytestmark = pytest.mark.slow

LOADING_MS = RUN_S * 1000  # milliseconds until the first picture, which loads the libraries
SHOW = "panel = im.Panel()\npanel"


class Panel:
    """A panel on a page, by what people call its parts."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.output(cell).locator(".imagen-panel")
        self.prompt = self.root.get_by_label("Prompt")
        self.cards = self.root.get_by_role("list", name="Pictures, newest first").get_by_role(
            "listitem"
        )
        self.queue = self.root.get_by_role("list", name="Waiting").get_by_role("listitem")
        self.said = self.root.get_by_role("status")
        self.failed = self.root.locator(".imagen-strip > .imagen-failed")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.root).get_by_role("button", name=name, exact=True)

    def type(self, label: str, text: str) -> None:
        self.root.get_by_label(label, exact=True).fill(text)
        self.page.keyboard.press("Tab")

    def image(self, prompt: str) -> Locator:
        """The newest picture with this prompt."""
        return self.cards.get_by_role("img", name=prompt, exact=True).first

    def draw(self, prompt: str) -> None:
        """As people do: write, and press Ctrl-Enter."""
        self.prompt.fill(prompt)
        self.prompt.press("Control+Enter")


@pytest.fixture
def panel(notebook: Callable[..., Notebook]) -> Callable[..., Panel]:
    """Runs a notebook whose first cell shows a panel."""

    def show(*cells: str) -> Panel:
        opened = notebook(SHOW, *cells)
        opened.run(0)
        opened.run(1)
        shown = Panel(opened, 1)
        expect(shown.button("Draw")).to_be_visible()
        return shown

    return show


def seed(shown: Panel) -> str:
    return shown.root.get_by_label("Seed", exact=True).input_value()


def test_ctrl_enter_draws(panel: Callable[..., Panel], shots: Path) -> None:
    shown = panel("print(panel.pictures[0].record.prompt)")
    shown.draw("a red boat at sunset")
    image = shown.image("a red boat at sunset")
    expect(image).to_be_visible(timeout=LOADING_MS)
    assert image.evaluate("image => image.naturalWidth") == 128
    expect(shown.said).to_contain_text("drawn: ")
    shown.page.screenshot(path=shots / "panel-light.png")
    expect(shown.notebook.run(2)).to_contain_text("a red boat at sunset")


def test_cells_run_while_it_draws_and_it_draws_while_cells_run(
    panel: Callable[..., Panel], shots: Path
) -> None:
    shown = panel(
        "im.generate('a blue star', seed=1, progress=False); print('of 30:', len(panel.pictures))",
        "import time\nmany = len(panel.pictures)\n"
        "while len(panel.pictures) == many: time.sleep(0.1)\nprint('one more')",
    )
    shown.notebook.run(2)  # the model is loaded
    shown.type("Steps", "200")
    shown.type("Count", "30")
    shown.draw("a red boat")
    expect(shown.root.get_by_text(re.compile(r"step \d+ of 200, 0:\d\d left"))).to_be_visible()
    expect(shown.root.get_by_role("img", name="the picture so far")).to_be_visible()
    shown.page.screenshot(path=shots / "panel-drawing.png")
    expect(shown.notebook.run(2)).not_to_contain_text("of 30: 30")
    expect(shown.notebook.run(3)).to_contain_text("one more")
    assert shown.queue.count() > 0


def test_what_was_just_typed_is_drawn_however_busy_the_kernel_is(
    panel: Callable[..., Panel],
) -> None:
    # Holds Python's lock: not even a widget's own thread hears anything meanwhile.
    shown = panel("import ctypes; ctypes.PyDLL(None).sleep(4)")
    shown.notebook.start(2)
    shown.page.wait_for_timeout(500)
    for count in ("3", "2"):  # a widget sends nothing until the kernel has had what it sent last
        shown.type("Count", count)
    shown.draw("a red boat")
    expect(shown.cards).to_have_count(2, timeout=LOADING_MS)
    shown.page.wait_for_timeout(500)
    expect(shown.cards).to_have_count(2)


def test_cancel_while_a_cell_runs_leaves_nothing_and_the_queue_goes_on(
    panel: Callable[..., Panel], tmp_path: Path
) -> None:
    shown = panel(
        "im.generate('a blue star', seed=1, output='elsewhere', progress=False);",
        "import time\nwhile not len(panel.pictures): time.sleep(0.1)\nprint('waited for it')",
    )
    shown.notebook.run(2)
    shown.notebook.start(3)
    shown.type("Steps", "200")
    shown.draw("a red boat")
    expect(shown.root.get_by_text("of 200")).to_be_visible()
    shown.type("Steps", "4")
    shown.draw("a green tree")
    shown.button("Cancel").click()
    expect(shown.image("a green tree")).to_be_visible()
    expect(shown.button("Cancel")).to_be_disabled()
    expect(shown.notebook.output(3)).to_contain_text("waited for it")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(names) == 3  # picture, sidecar, .imagen
    assert "a-green-tree" in names[1]


def test_recall_reproduce_and_keeper(panel: Callable[..., Panel], tmp_path: Path) -> None:
    shown = panel()
    shown.type("Steps", "7")
    shown.draw("a red boat")
    expect(shown.image("a red boat")).to_be_visible(timeout=LOADING_MS)
    first = seed(shown)
    shown.type("Steps", "5")
    shown.draw("a blue star")
    expect(shown.image("a blue star")).to_be_visible()
    boat = shown.cards.last
    shown.button("Recall prompt", boat).click()
    expect(shown.prompt).to_have_value("a red boat")
    assert seed(shown) != first
    shown.button("Recall seed", boat).click()
    expect(shown.root.get_by_label("Seed", exact=True)).to_have_value(first)
    expect(shown.root.get_by_label("Steps", exact=True)).to_have_value("5")
    shown.button("Recall all", boat).click()
    expect(shown.root.get_by_label("Steps", exact=True)).to_have_value("7")
    shown.button("Reproduce", boat).click()
    expect(shown.said).to_have_text("identical")
    expect(shown.cards).to_have_count(2)
    boat = shown.cards.first  # drawn last
    keeper = shown.button("keeper", boat)
    keeper.focus()
    shown.page.keyboard.press("Enter")
    expect(keeper).to_have_attribute("aria-pressed", "true")
    (sidecar,) = (tmp_path / "pictures").glob(f"*-{first}.png.json")
    assert json.loads(sidecar.read_text())["tags"] == ["keeper"]
    boat.get_by_title("enlarge").click()
    expect(shown.root.get_by_role("dialog").get_by_role("img", name="a red boat")).to_be_visible()
    shown.page.keyboard.press("Escape")
    expect(shown.root.get_by_role("dialog")).to_be_hidden()


def test_what_waits_is_reordered_by_keyboard_and_survives_a_restart(
    panel: Callable[..., Panel], shots: Path
) -> None:
    shown = panel("print([p.record.prompt for p in panel.pictures])")
    shown.type("Steps", "100")
    shown.type("Count", "3")
    shown.draw("first")
    shown.type("Count", "1")
    shown.draw("second")
    shown.draw("third")
    earlier = shown.button("Earlier: third")
    earlier.focus()
    shown.page.keyboard.press("Enter")
    expect(shown.queue.last).to_contain_text("second")
    expect(earlier).to_be_focused()
    shown.notebook.restart_kernel()
    shown.notebook.run(0)
    shown.notebook.run(1)
    resume = shown.root.get_by_role("button", name=re.compile(r"Resume \d"))
    expect(resume).to_be_visible()
    expect(shown.queue.last).to_contain_text("second")
    waited = int((resume.text_content() or "").removeprefix("Resume "))
    shown.page.screenshot(path=shots / "panel-resume.png")
    resume.click()
    expect(shown.cards).to_have_count(waited, timeout=LOADING_MS)
    expect(shown.notebook.run(2)).to_contain_text("'third', 'second']")


EVIL = (
    "<img src=x onerror=alert(1)>",
    "\"]}');--",
    "\u202eevil \u2067right to left",
    "a 🦊 in $\\sqrt{x}$ **bold** `code`",
    "line one\nline two",
    "long " * 2000,
)


def test_any_prompt_is_shown_as_text(panel: Callable[..., Panel], shots: Path) -> None:
    shown = panel(
        "panel.controls.prompt.value = 'with a \\0 in it'\npanel.draw()",
        "print([p.record.prompt for p in panel.pictures])",
    )
    shown.type("Tags", "<b>bold</b>")
    for prompt in EVIL:
        shown.draw(prompt)
        expect(shown.image(prompt)).to_be_visible(timeout=LOADING_MS)
    shown.notebook.run(2)
    expect(shown.cards).to_have_count(len(EVIL) + 1)
    assert shown.cards.locator("img[src=x], b, code, .MathJax").count() == 0
    shown.page.screenshot(path=shots / "panel-evil.png")
    printed = shown.notebook.run(3).inner_text()
    assert all(repr(prompt)[1:40] in printed for prompt in EVIL[:2])


def test_mistakes_are_said_beside_the_control(panel: Callable[..., Panel], shots: Path) -> None:
    shown = panel()
    shown.type("Width", "130")
    width = shown.root.get_by_label("Width", exact=True)
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(width).to_have_accessible_description(
        "width must be a multiple of 16, not 130: try 128 or 144"
    )
    shown.draw("a red boat")
    expect(shown.failed).to_have_text("width must be a multiple of 16, not 130: try 128 or 144")
    shown.page.screenshot(path=shots / "panel-mistake.png")
    shown.type("Width", "128")
    expect(width).not_to_have_attribute("aria-invalid", "true")
    shown.button("Draw").click()
    expect(shown.image("a red boat")).to_be_visible(timeout=LOADING_MS)
    expect(shown.failed).to_be_hidden()


def test_the_whole_panel_is_worked_by_keyboard(panel: Callable[..., Panel]) -> None:
    shown = panel()
    shown.prompt.focus()
    reached = []
    for _ in range(14):
        reached.append(shown.page.evaluate(NAME))
        shown.page.keyboard.press("Tab")
    assert reached == [
        "Prompt",
        "Backend",
        "Size",
        "Width",
        "Height",
        "Steps",
        "Guidance",
        "Seed",
        "Lock seed",
        "New seed",
        "Count",
        "Tags",
        "Draw",
        "Backends that cannot draw here",
    ]


NAME = """() => {
    const at = document.activeElement;
    return (at.labels?.[0] ?? at).textContent.trim();
}"""


def test_it_fits_narrow_cells_and_the_dark_theme(
    notebook: Callable[..., Notebook], lab: Lab, shots: Path
) -> None:
    lab.theme("JupyterLab Dark")
    opened = notebook(SHOW)
    opened.run_all()
    shown = Panel(opened, 1)
    shown.type("Count", "2")
    shown.draw("a lighthouse on a cliff in a storm, at night, " * 4)
    expect(shown.cards).to_have_count(2, timeout=LOADING_MS)
    lab.page.screenshot(path=shots / "panel-dark.png")
    lab.page.set_viewport_size({"width": 480, "height": 1200})
    shown.root.scroll_into_view_if_needed()
    lab.page.screenshot(path=shots / "panel-narrow.png")
    lab.theme("JupyterLab Light")
    assert shown.root.evaluate("root => root.scrollWidth <= root.clientWidth")


def test_a_saved_notebook_shows_thumbnails_where_the_panel_was(
    panel: Callable[..., Panel], lab: Lab, shots: Path
) -> None:
    shown = panel()
    shown.draw("a red boat")
    expect(shown.image("a red boat")).to_be_visible(timeout=LOADING_MS)
    shown.notebook.cell(0).locator(".jp-InputArea-prompt").click()  # text boxes keep Ctrl-S
    shown.notebook.save()
    assert shown.notebook.path.stat().st_size < 40_000
    lab.close()
    again = lab.open_file(shown.notebook.path)
    output = again.output(1)
    expect(output.get_by_role("img", name="a red boat")).to_be_visible()
    lab.page.wait_for_timeout(2000)
    expect(output).not_to_contain_text("widget", use_inner_text=True)
    lab.page.screenshot(path=shots / "panel-saved.png")
