"""The Panel as a person uses it: with mouse and keyboard, in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect
from safetensors.torch import load_file, save_file

from tests.fixtures.jupyter_pages import RUN_S, Lab, Notebook
from tests.fixtures.lora_files import write_lora

pytestmark = pytest.mark.slow

LOADING_MS = RUN_S * 1000  # milliseconds until the first picture, which loads the libraries
SHOW = "panel = im.Panel()\npanel"


class Panel:
    """A panel on a page, by what people call its parts."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.output(cell).locator(".imagen-panel")
        self.prompt = self.root.get_by_label("Prompt", exact=True)
        self.strip = self.root.get_by_role("list", name="Pictures, newest first")
        self.cards = self.strip.get_by_role("listitem")
        self.stage = self.root.get_by_role("group", name="Current picture")
        self.queue = self.root.get_by_role("list", name="Waiting").get_by_role("listitem")
        self.said = self.root.get_by_role("status")
        self.failed = self.root.get_by_role("alert")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.root).get_by_role("button", name=name, exact=True)

    def field(self, label: str) -> Locator:
        return self.root.get_by_label(label, exact=True)

    def write(self, where: Locator, text: str) -> None:
        """Select what stands there with the keyboard, and write something else."""
        where.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def type(self, label: str, text: str) -> None:
        self.write(self.field(label), text)
        self.page.keyboard.press("Tab")

    def image(self, prompt: str) -> Locator:
        """The newest picture with this prompt in the strip."""
        return self.cards.get_by_role("img", name=prompt, exact=True).first

    def draw(self, prompt: str) -> None:
        """As people do: write, and press Ctrl-Enter."""
        self.write(self.prompt, prompt)
        self.page.keyboard.press("Control+Enter")

    def open(self, summary: str) -> None:
        self.root.locator("summary", has_text=summary).click()

    def shoot(self, path: Path) -> None:
        """The panel and nothing else, as far as the window has it."""
        self.root.scroll_into_view_if_needed()
        self.page.screenshot(path=path)


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


def test_braces_are_drawn_and_the_current_picture_is_worked_by_mouse_and_keys(
    panel: Callable[..., Panel], tmp_path: Path, shots: Path
) -> None:
    shown = panel("print([p.record.prompt for p in panel.pictures])")
    page = shown.page
    shown.shoot(shots / "panel-empty.png")
    shown.type("Steps", "7")
    shown.write(shown.prompt, "a {red|blue} boat at sunset")
    expect(shown.button("Draw 2 pictures")).to_be_visible()
    shown.button("Draw 2 pictures").click()
    expect(shown.cards).to_have_count(2, timeout=LOADING_MS)
    expect(shown.said).to_contain_text("drawn: ")
    current = shown.stage.get_by_role("img", name="a blue boat at sunset")
    expect(current).to_be_visible()
    expect(current).to_have_js_property("naturalWidth", 128)
    shown.shoot(shots / "panel-light.png")
    first = shown.field("Seed").input_value()

    # zoom: by the wheel once the stage has the focus, moved by the mouse, back by a key
    shown.stage.click()
    scale = "image => new DOMMatrix(getComputedStyle(image).transform).a"
    fitted = current.evaluate(scale)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(200)
    assert current.evaluate(scale) > fitted * 1.5
    where = current.bounding_box()
    page.mouse.down()
    page.mouse.move(700, 500, steps=3)
    page.mouse.up()
    assert current.bounding_box() != where
    shown.shoot(shots / "panel-zoomed.png")
    page.keyboard.press("0")
    assert current.evaluate(scale) == pytest.approx(fitted)
    page.keyboard.press("1")
    assert current.evaluate(scale) == pytest.approx(1)
    page.keyboard.press("1")

    # the strip by keys, and what can be done with the current picture
    page.keyboard.press("ArrowRight")
    red = shown.stage.get_by_role("img", name="a red boat at sunset")
    expect(red).to_be_visible()
    page.keyboard.press("Shift+Digit4")
    expect(shown.button("4 stars")).to_have_attribute("aria-pressed", "true")
    expect(shown.button("5 stars")).to_have_attribute("aria-pressed", "false")
    shown.button("keeper").click()
    shown.write(shown.field("Add a tag"), "sea")
    page.keyboard.press("Enter")
    expect(shown.button("remove the tag sea")).to_be_visible()
    (sidecar,) = (tmp_path / "pictures").glob("*-a-red-*.png.json")
    assert sorted(json.loads(sidecar.read_text())["tags"]) == ["keeper", "rating:4", "sea"]
    shown.open("All facts")
    expect(shown.root.get_by_role("definition").filter(has_text=re.compile("^7$"))).to_be_visible()
    shown.shoot(shots / "panel-facts.png")

    # recall and reproduce
    shown.type("Steps", "5")
    shown.button("Recall prompt").click()
    expect(shown.prompt).to_have_value("a red boat at sunset")
    shown.button("Recall seed").click()
    expect(shown.field("Seed")).to_have_value(first)
    expect(shown.field("Steps")).to_have_value("5")
    shown.stage.focus()
    page.keyboard.press("a")
    expect(shown.field("Steps")).to_have_value("7")
    page.keyboard.press("r")
    expect(shown.said).to_have_text("identical")
    expect(shown.cards).to_have_count(2)
    expect(shown.root.locator("strong")).to_have_text("identical")

    # new seeds of the same; and the card of keys
    shown.button("Vary").click()
    shown.write(shown.field("pictures"), "2")
    shown.button("Draw variations").click()
    expect(shown.cards).to_have_count(4)
    shown.stage.focus()
    page.keyboard.press("?")
    card = shown.root.get_by_role("dialog", name="Keys")
    expect(card).to_be_visible()
    page.screenshot(path=shots / "panel-keys.png")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    for width in (1400, 1000, 700):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(300)
        shown.shoot(shots / f"panel-light-{width}.png")
    expect(shown.notebook.run(2)).to_contain_text("a red boat at sunset")


def test_cells_run_while_it_draws_and_what_was_just_typed_is_drawn(
    panel: Callable[..., Panel], shots: Path
) -> None:
    shown = panel(
        "im.generate('a blue star', seed=1, progress=False); print('of 30:', len(panel.pictures))",
        "import time\nmany = len(panel.pictures)\n"
        "while len(panel.pictures) == many: time.sleep(0.1)\nprint('one more')",
        # Holds Python's lock: not even a widget's own thread hears anything meanwhile.
        "import ctypes; ctypes.PyDLL(None).sleep(4)",
    )
    shown.notebook.run(2)  # the model is loaded
    shown.type("Steps", "80")
    shown.type("Count", "30")
    shown.draw("a red boat")
    expect(shown.root.get_by_text(re.compile(r"step \d+ of 80, 0:\d\d left"))).to_be_visible()
    expect(shown.root.get_by_role("img", name="the picture so far")).to_be_visible()
    shown.shoot(shots / "panel-drawing.png")
    expect(shown.notebook.run(2)).not_to_contain_text("of 30: 30")
    expect(shown.notebook.run(3)).to_contain_text("one more")
    shown.open("Queue: ")
    assert shown.queue.count() > 0
    shown.shoot(shots / "panel-queue.png")
    shown.button("Remove all").click()
    shown.button("Cancel").click()
    expect(shown.button("Cancel")).to_be_disabled()
    expect(shown.root.get_by_text("Queue: ")).to_be_hidden()
    before = shown.cards.count()
    shown.notebook.start(4)
    shown.page.wait_for_timeout(500)
    for count in ("3", "2"):  # a widget sends nothing until the kernel has had what it sent last
        shown.type("Count", count)
    shown.type("Steps", "4")
    shown.draw("a green tree")
    expect(shown.cards).to_have_count(before + 2, timeout=LOADING_MS)
    shown.page.wait_for_timeout(500)
    expect(shown.cards).to_have_count(before + 2)


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


def test_what_waits_survives_a_restart_and_is_reordered_by_mouse_and_keyboard(
    panel: Callable[..., Panel], shots: Path
) -> None:
    shown = panel("print([p.record.prompt for p in panel.pictures])")
    shown.type("Steps", "200")
    shown.type("Count", "2")
    shown.draw("first")
    shown.type("Steps", "4")
    shown.type("Count", "1")
    for prompt in ("second", "third", "fourth"):
        shown.draw(prompt)
    shown.open("Queue: ")
    expect(shown.queue.last).to_contain_text("fourth")
    shown.notebook.restart_kernel()
    shown.notebook.run(0)
    shown.notebook.run(1)
    resume = shown.root.get_by_role("button", name=re.compile(r"Resume \d"))
    expect(resume).to_be_visible()
    shown.open("Queue: ")
    waited = int((resume.text_content() or "").removeprefix("Resume "))
    earlier = shown.button("Earlier: fourth")
    earlier.focus()
    shown.page.keyboard.press("Enter")
    expect(shown.queue.last).to_contain_text("third")
    expect(earlier).to_be_focused()
    shown.queue.filter(has_text="third").drag_to(shown.queue.filter(has_text="second"))
    expect(shown.queue.last).to_contain_text("fourth")
    shown.shoot(shots / "panel-resume.png")
    resume.click()
    expect(shown.cards).to_have_count(waited, timeout=LOADING_MS)
    expect(shown.notebook.run(2)).to_contain_text("'third', 'second', 'fourth']")


EVIL = (
    "<img src=x onerror=alert(1)>",
    "\"]\\}');--",
    "\u202eevil \u2067right to left",
    "a 🦊 in $\\sqrt\\{x\\}$ **bold** `code`",
    "line one\nline two",
    "long " * 2000,
)


@pytest.mark.soak
def test_any_prompt_is_shown_as_text(panel: Callable[..., Panel], shots: Path) -> None:
    shown = panel(
        "panel.prompt = 'with a \\0 in it'\npanel.draw()",
        "print([p.record.prompt for p in panel.pictures])",
    )
    shown.type("Steps", "1")
    shown.open("More settings")
    shown.type("Tags", "<b>bold</b>")
    for prompt in EVIL:
        shown.draw(prompt)
        drawn = prompt.replace("\\{", "{").replace("\\}", "}")
        expect(shown.image(drawn)).to_be_visible(timeout=LOADING_MS)
    shown.notebook.run(2)
    expect(shown.cards).to_have_count(len(EVIL) + 1)
    shown.open("All facts")
    expect(shown.root.get_by_role("definition").first).to_be_visible()
    assert shown.root.locator("img[src=x], b:not(details *), code, .MathJax").count() == 0
    shown.shoot(shots / "panel-evil.png")
    printed = shown.notebook.run(3).inner_text()
    assert repr(EVIL[0])[1:40] in printed


def test_mistakes_are_said_beside_the_control_and_tab_reaches_everything(
    panel: Callable[..., Panel], shots: Path
) -> None:
    shown = panel()
    shown.type("Width", "130")
    width = shown.field("Width")
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(width).to_have_accessible_description(
        "width must be a multiple of 16, not 130: try 128 or 144"
    )
    shown.draw("a {red boat")
    expect(shown.prompt).to_have_accessible_description(re.compile("'{' without '}'"))
    expect(shown.failed.first).to_be_visible()
    shown.shoot(shots / "panel-mistake.png")
    shown.type("Width", "128")
    expect(width).not_to_have_attribute("aria-invalid", "true")
    shown.write(shown.prompt, "a red boat")
    shown.button("Draw").click()
    expect(shown.image("a red boat")).to_be_visible(timeout=LOADING_MS)
    expect(shown.failed).to_have_count(0)
    expect(shown.button("Cancel")).to_be_disabled()

    shown.prompt.click()
    reached = []
    for _ in range(17):
        reached.append(shown.page.evaluate(NAME))
        shown.page.keyboard.press("Tab")
    assert reached == [
        "Prompt",
        "One prompt a line",
        "Draw",
        "Backend",
        "Size",
        "Width",
        "Swap width and height",
        "Height",
        "Steps",
        "Guidance",
        "Count",
        "Seed",
        "Lock seed",
        "New seed",
        "Draw from an image",
        "More settings",
        "Backends that cannot draw here",
    ]


NAME = """() => {
    const at = document.activeElement;
    return at.ariaLabel ?? (at.labels?.[0] ?? at).textContent.trim();
}"""


def test_an_image_is_pasted_dragged_chosen_masked_and_drawn_from_in_the_dark(
    notebook: Callable[..., Notebook], lab: Lab, tmp_path: Path, shots: Path
) -> None:
    lab.theme("JupyterLab Dark")
    opened = notebook(SHOW, "print(panel.pictures[-1].record.inputs)")
    opened.run(0)
    opened.run(1)
    shown = Panel(opened, 1)
    page = lab.page
    shown.type("Count", "2")
    shown.draw("a lighthouse on a cliff in a storm, at night, " * 4)
    expect(shown.cards).to_have_count(2, timeout=LOADING_MS)
    shown.shoot(shots / "panel-dark.png")

    # an image to draw from: copied here and pasted, dragged from the strip, a file, by key
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    under = shown.root.get_by_role("img", name="the init image")
    shown.button("Copy image").click()
    expect(shown.said).to_have_text("copied: the picture")
    shown.open("Draw from an image")
    shown.root.get_by_role("group", name="Init image").focus()
    page.keyboard.press("Control+v")
    expect(under).to_be_visible()
    shown.button("remove the init image").click()
    expect(under).to_be_hidden()
    shown.cards.last.drag_to(shown.root.get_by_role("group", name="Init image"))
    expect(under).to_be_visible()
    shown.button("remove the init image").click()
    (file, _) = (tmp_path / "pictures").glob("*.png")
    with page.expect_file_chooser() as chooser:
        shown.button("Choose a file").click()
    chooser.value.set_files(file)
    expect(under).to_be_visible()
    shown.button("remove the init image").click()
    expect(under).to_be_hidden()
    shown.stage.click()
    page.keyboard.press("i")
    expect(under).to_be_visible()
    shown.button("Mask").click()
    canvas = shown.root.get_by_role("application", name=re.compile("^Mask"))
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.keyboard.press("Space")
    page.keyboard.press("Control+z")
    shown.field("feather").focus()
    page.keyboard.press("ArrowRight")
    shown.shoot(shots / "panel-mask.png")
    shown.button("Use mask").click()
    expect(shown.root.get_by_text("128 × 128, with a mask")).to_be_visible()
    shown.type("Count", "1")
    shown.draw("a white house")
    expect(shown.image("a white house")).to_be_visible(timeout=LOADING_MS)
    expect(shown.notebook.run(2)).to_contain_text(re.compile("init_image.*mask"))
    compare = shown.button("Before and after")
    expect(compare).to_be_enabled()
    compare.click()
    expect(shown.root.get_by_role("slider", name="before and after")).to_be_visible()
    shown.shoot(shots / "panel-before-after.png")
    for width in (1400, 1000, 700, 480):
        page.set_viewport_size({"width": width, "height": 1200})
        page.wait_for_timeout(300)
        shown.shoot(shots / f"panel-dark-{width}.png")
        assert shown.root.evaluate("root => root.scrollWidth <= root.clientWidth")
    lab.theme("JupyterLab Light")


def test_a_lora_a_negative_prompt_and_a_preset_are_chosen_by_keys(
    notebook: Callable[..., Notebook], tmp_path: Path, shots: Path
) -> None:
    weights = load_file(write_lora(tmp_path / "plain.safetensors"))
    (tmp_path / "styles").mkdir()
    metadata = {"modelspec.trigger_phrase": "inky style"}
    save_file(weights, tmp_path / "styles" / "ink.safetensors", metadata)
    opened = notebook(
        f"im.configure(backend='flux-tiny-local', lora_dirs=[{str(tmp_path / 'styles')!r}],"
        f" output={{'dir': {str(tmp_path / 'pictures')!r}}})\n{SHOW}",
        "r = panel.pictures[0].record\nprint(r.prompt, r.negative_prompt, r.loras, r.steps)",
    )
    opened.run(0)
    opened.run(1)
    shown = Panel(opened, 1)
    page = shown.page
    shown.write(shown.prompt, "a red boat")
    shown.open("More settings")
    shown.write(shown.field("Negative prompt"), "people")
    expect(shown.field("Add a LoRA")).to_be_enabled()
    shown.field("Add a LoRA").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(1500)
    expect(shown.prompt).to_have_value("a red boat, inky style")
    shown.type("weight of ink", "0.5")
    expect(shown.root.get_by_text("memory: ")).to_be_visible()
    shown.type("Steps", "4")
    shown.write(shown.field("Preset's name"), "inky")
    page.keyboard.press("Enter")
    expect(shown.said).to_have_text("preset saved: inky")
    shown.button("remove ink").click()
    shown.type("Steps", "9")
    shown.shoot(shots / "panel-more.png")
    shown.field("Preset").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    expect(shown.field("Steps")).to_have_value("4")
    expect(shown.field("weight of ink")).to_have_value("0.5")
    page.keyboard.press("Control+Enter")
    expect(shown.image("a red boat, inky style")).to_be_visible(timeout=LOADING_MS)
    printed = opened.run(2)
    expect(printed).to_contain_text(re.compile(r"inky style people .*'weight': 0\.5\}.* 4"))


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
    expect(output).to_contain_text(re.compile(r"a red boat\s*seed \d+ · 128×128 · 6 steps"))
    lab.page.wait_for_timeout(2000)
    expect(output).not_to_contain_text("widget", use_inner_text=True)
    expect(output).not_to_contain_text("Panel", use_inner_text=True)
    lab.page.screenshot(path=shots / "panel-saved.png")
