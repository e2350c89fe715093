"""A gallery's search box by words and by meaning, and what is like a picture, in JupyterLab."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

SCENES = (
    "a red boat on the sea",
    "a red house in the snow",
    "a green tree on a meadow",
    "a yellow star at night",
    "a white castle on a cliff",
    "a black cat",
    "a red boat on the sea",
)
SHOW = "gallery = im.Gallery(im.history(source='local'))\ngallery"


@pytest.fixture
def page(lab: Lab) -> Page:
    return lab.page


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": folder}}) as studio:
        for seed, prompt in enumerate(SCENES):
            studio.generate(prompt, seed=seed, progress=False)
    return folder


@pytest.fixture
def output(notebook: Callable[..., Notebook], scenes: Path, tmp_path: Path) -> Locator:
    """A gallery of the scenes, the last one first; none has been looked at."""
    shutil.copytree(scenes, tmp_path / "pictures")
    opened = notebook(SHOW)
    opened.run_all()
    output = opened.output(1)
    expect(cells(output)).to_have_count(7)
    return output


def cells(output: Locator) -> Locator:
    return output.locator(".imagen-cell:not([hidden])")


def row(output: Locator, number: int) -> Locator:
    return output.locator(f'.imagen-cell:not([hidden])[aria-posinset="{number}"]')


def switch(output: Locator) -> Locator:
    return output.get_by_role("button", name="Find by meaning, not by words")


def box(output: Locator) -> Locator:
    return output.locator(".imagen-bar .imagen-line > input[type=search]")


def order(output: Locator) -> Locator:
    return output.get_by_role("combobox", name="Sort by")


def status(output: Locator) -> Locator:
    return output.locator(".imagen-bar").get_by_role("status")


def test_words_are_words_and_with_the_switch_a_meaning(
    output: Locator, page: Page, shots: Path
) -> None:
    expect(box(output)).to_have_accessible_name("Filter by words of the prompt")
    expect(switch(output)).to_have_attribute("aria-pressed", "false")
    order(output).select_option("seed")
    box(output).click()
    page.keyboard.type("a ship on water")
    expect(status(output)).to_have_text("0 of 7 pictures")

    page.keyboard.press("Tab")  # by keyboard alone
    expect(switch(output)).to_be_focused()
    page.keyboard.press("Space")
    expect(switch(output)).to_have_attribute("aria-pressed", "true")
    mark = "button => getComputedStyle(button, '::before').content"
    assert "✓" in switch(output).evaluate(mark)
    expect(box(output)).to_have_accessible_name("Find by what pictures show")
    for number in (1, 2):
        expect(row(output, number)).to_have_accessible_name("a red boat on the sea")
        expect(row(output, number).locator("small")).to_have_text(re.compile(r"score [12]\.\d"))
    expect(order(output).locator("option:checked")).to_have_text("score")
    expect(output.get_by_role("button", name="Descending: press for ascending")).to_be_disabled()
    expect(status(output)).to_have_text("7 pictures")
    page.screenshot(path=shots / "gallery-meaning.png")

    box(output).fill("a dark cat")
    page.keyboard.press("Enter")
    expect(row(output, 1)).to_have_accessible_name("a black cat")
    expect(output.get_by_role("listbox", name="Pictures")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("xyzzy")
    alert = output.get_by_role("alert")
    expect(alert).to_contain_text("knows no word of 'xyzzy'")
    page.screenshot(path=shots / "gallery-meaning-unknown.png")
    expect(row(output, 1)).to_have_accessible_name("a black cat")

    box(output).fill("boat")
    expect(row(output, 1)).to_have_accessible_name("a red boat on the sea")
    expect(alert).to_be_hidden()
    switch(output).click()
    expect(status(output)).to_have_text("2 of 7 pictures")
    expect(order(output).locator("option:checked")).to_have_text("seed")
    expect(order(output).locator("option", has_text="score")).to_have_count(0)
    expect(row(output, 1).locator("small")).to_have_text("seed 6")


def test_what_is_like_a_picture_is_found_from_everywhere(
    output: Locator, page: Page, shots: Path
) -> None:
    chip = output.locator(".imagen-bar .imagen-chip")
    leave = output.get_by_role("button", name="Show all pictures again, not those like one")
    expect(chip).to_be_hidden()
    row(output, 7).click()
    page.keyboard.press("m")  # by its key, in the grid
    expect(chip).to_have_text(re.compile("^like [0-9a-f]{8}×$"))
    expect(row(output, 1).locator("small")).to_have_text(re.compile(r"score [12]\.\d"))
    expect(row(output, 1)).to_have_accessible_name("a red boat on the sea")
    expect(row(output, 2)).to_have_accessible_name("a red boat on the sea")
    expect(order(output).locator("option:checked")).to_have_text("score")
    page.screenshot(path=shots / "gallery-like.png")
    leave.click()
    expect(chip).to_be_hidden()
    expect(order(output).locator("option:checked")).to_have_text("date")
    expect(row(output, 2)).to_have_accessible_name("a black cat")

    row(output, 2).dblclick()  # enlarged
    dialog = page.get_by_role("dialog", name="Picture")
    expect(dialog.locator(".imagen-words")).to_have_text("a black cat")
    page.screenshot(path=shots / "gallery-like-enlarged.png")
    like = re.compile("Show first what is most like this picture")
    dialog.get_by_role("button", name=like).click()
    expect(dialog).to_be_hidden()
    expect(row(output, 1)).to_have_accessible_name("a black cat")
    expect(chip).to_be_visible()
    row(output, 1).dblclick()
    expect(dialog.locator(".imagen-words")).to_have_text("a black cat")
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".imagen-words")).not_to_have_text("a black cat")
    other = dialog.locator(".imagen-words").inner_text()
    page.keyboard.press("m")
    expect(dialog).to_be_hidden()
    expect(row(output, 1)).to_have_accessible_name(other)

    row(output, 3).click()
    chosen = row(output, 3).get_attribute("aria-label")
    page.keyboard.press("Space")  # of what is selected
    actions = output.get_by_role("group", name="With what is selected")
    actions.get_by_role("button", name=like).click()
    expect(row(output, 1)).to_have_accessible_name(chosen or "")
    row(output, 2).click(modifiers=["ControlOrMeta"])
    expect(actions.get_by_role("button", name=like)).to_be_disabled()

    box(output).fill("house")  # words narrow what is like it
    expect(cells(output)).to_have_count(1)
    expect(chip).to_be_visible()
    output.get_by_role("button", name="Clear all filters").click()
    expect(chip).to_be_hidden()
    expect(cells(output)).to_have_count(7)
    switch(output).click()
    row(output, 2).click()
    page.keyboard.press("m")
    expect(chip).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("a house")  # another search takes its place
    expect(row(output, 1)).to_have_accessible_name("a red house in the snow")
    expect(chip).to_be_hidden()


LOOK = (
    "import threading\n"
    "from imagen_nb.widgets import ranking\n"
    "ranking._PICTURES_PER_LOOK = 2\n"
    "go, real, calls = threading.Semaphore(2), ranking.vectors_of_frame, []\n"
    "def look(*values, **more):\n"
    "    go.acquire()\n"
    "    calls.append(1)\n"
    "    return real(*values, **more)\n"
    "ranking.vectors_of_frame = look"
)
FINISH = (
    "go.release(2)\n"
    "gallery._work.looking(len, '').result(30)  # after what was begun\n"
    "print('looked', len(calls), 'times')"
)


def test_the_first_search_says_how_far_it_is_and_is_given_up_for_another(
    notebook: Callable[..., Notebook], scenes: Path, tmp_path: Path, page: Page, shots: Path
) -> None:
    shutil.copytree(scenes, tmp_path / "pictures")
    opened = notebook(LOOK, SHOW, FINISH)
    for number in range(3):
        opened.run(number)
    output = opened.output(2)
    expect(cells(output)).to_have_count(7)
    switch(output).click()
    box(output).click()
    page.keyboard.type("a boat")
    expect(status(output)).to_have_text("looking at 7 pictures… 4 done")
    page.screenshot(path=shots / "gallery-looking.png")
    switch(output).click()  # words again, while it looks
    expect(status(output)).to_have_text("2 of 7 pictures")
    assert opened.run(3).inner_text().strip() == "looked 3 times"
    expect(status(output)).to_have_text("2 of 7 pictures")


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_it_can_be_seen_in_both_themes_and_where_there_is_little_room(
    theme: str,
    lab: Lab,
    notebook: Callable[..., Notebook],
    scenes: Path,
    tmp_path: Path,
    page: Page,
    shots: Path,
) -> None:
    lab.theme(theme)
    shutil.copytree(scenes, tmp_path / "pictures")
    try:
        opened = notebook(SHOW)
        opened.run_all()
    finally:
        lab.theme("JupyterLab Light")
    output = opened.output(1)
    expect(cells(output)).to_have_count(7)
    switch(output).click()
    row(output, 1).click()
    page.keyboard.press("m")
    chip = output.locator(".imagen-bar .imagen-chip")
    expect(chip).to_have_text(re.compile("like [0-9a-f]{8}"))
    short = theme.split()[-1].lower()
    page.screenshot(path=shots / f"gallery-like-{short}.png")
    page.set_viewport_size({"width": 640, "height": 900})
    bar = output.locator(".imagen-bar").bounding_box()
    assert bar is not None
    for part in (switch(output), chip, box(output)):
        place = part.bounding_box()
        assert place is not None
        assert bar["x"] <= place["x"]
        assert place["x"] + place["width"] <= bar["x"] + bar["width"]
    page.screenshot(path=shots / f"gallery-like-{short}-narrow.png")
