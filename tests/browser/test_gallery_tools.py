"""What a person does in a gallery by mouse, wheel and keys: sort, size, tag, export, zoom."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

DRAWN = ("a red boat", "a blue boat", "a red house", "a green star")
SHOW = (
    "import pandas as pd\n"
    "df = im.history(source='local')\n"
    "many = pd.concat([df] * 100, ignore_index=True)\n"
    "times = pd.date_range('2026-09-20 12:00', periods=400, freq='-5h', tz='UTC')\n"
    "many['created_at'] = times.astype('datetime64[us, UTC]')\n"
    "gallery = im.Gallery(many)\ngallery"
)

# Where in its box the last picture is, and which.
PLACE = """box => {
    const cells = [...box.querySelectorAll(".imagen-cell:not([hidden])")];
    const last = cells.find(cell => cell.getAttribute("aria-label") === "a red boat");
    return last.getBoundingClientRect().top - box.getBoundingClientRect().top;
}"""


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": folder}}) as studio:
        for seed, prompt in enumerate(DRAWN):
            studio.generate(prompt, seed=seed, steps=1, progress=False)
    return folder


def cells(output: Locator) -> Locator:
    return output.locator(".imagen-cell:not([hidden])")


def row(output: Locator, number: int) -> Locator:
    """The picture of this number, from 1 on."""
    return output.locator(f'.imagen-cell:not([hidden])[aria-posinset="{number}"]')


def status(output: Locator) -> Locator:
    return output.locator(".imagen-bar").get_by_role("status")


def middle(page: Page, target: Locator) -> tuple[float, float]:
    box = target.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def type_into(output: Locator, button: str, text: str) -> None:
    """Press a button that opens a line to type in, and answer it."""
    output.get_by_role("button", name=button, exact=True).click()
    output.page.keyboard.type(text)
    output.page.keyboard.press("Enter")


def test_order_days_and_size(
    notebook: Callable[..., Notebook], drawn: Path, lab: Lab, shots: Path
) -> None:
    opened = notebook(SHOW)
    opened.run_all()
    output, page = opened.output(1), opened.page
    first = row(output, 1)
    heads = output.locator(".imagen-head:not([hidden])")
    expect(first).to_have_accessible_name("a green star")
    expect(heads.first).to_have_text(re.compile("Sunday.*20.*2026 · 3"))
    page.screenshot(path=shots / "gallery-days.png")

    scrubber = output.get_by_role("slider", name="Months")
    expect(scrubber).to_have_attribute("aria-valuetext", re.compile("Sep.*2026"))
    x, _ = middle(page, scrubber)
    box = scrubber.bounding_box()
    assert box
    page.mouse.move(x, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] - 1, steps=4)
    page.mouse.up()
    expect(row(output, 400)).to_be_in_viewport()
    expect(scrubber).to_have_attribute("aria-valuetext", re.compile("Jul.*2026"))  # at the top
    page.keyboard.press("Home")
    expect(first).to_be_in_viewport()

    # Down and up keep the column across the headings of days.
    row(output, 2).click()
    page.keyboard.press("ArrowDown")
    focused = output.locator(".imagen-focus")
    expect(focused).to_have_attribute("aria-posinset", "5")
    page.keyboard.press("ArrowUp")
    expect(focused).to_have_attribute("aria-posinset", "2")

    output.get_by_role("combobox", name="Sort by").select_option("seed")
    expect(heads).to_have_count(0)
    expect(scrubber).to_be_hidden()
    expect(first).to_have_accessible_name("a green star")
    output.get_by_role("button", name="Descending: press for ascending").click()
    expect(first).to_have_accessible_name("a red boat")

    wide = first.bounding_box()
    size = output.get_by_role("slider", name="Size of thumbnails")
    x, y = middle(page, size)
    page.mouse.click(x + 20, y)
    page.wait_for_timeout(200)
    now = first.bounding_box()
    assert wide
    assert now
    assert now["width"] > 1.5 * wide["width"]
    page.screenshot(path=shots / "gallery-large.png")


def test_what_is_selected_is_tagged_exported_and_named(
    notebook: Callable[..., Notebook], drawn: Path, lab: Lab, shots: Path, tmp_path: Path
) -> None:
    opened = notebook(
        "df = im.history(source='local')\ngallery = im.Gallery(df)\ngallery",
        "print(picked['prompt'].tolist(), picked['tags'].tolist())",
        "print(sorted(im.history(tags='sea')['prompt']), len(im.history(tags='rating:4')))",
    )
    opened.run(0)
    opened.run(1)
    output, page = opened.output(1), opened.page
    actions = output.get_by_role("group", name="With what is selected")
    expect(actions).to_be_hidden()
    cells(output).nth(1).click()
    page.keyboard.press("Space")
    cells(output).nth(2).click(modifiers=["ControlOrMeta"])
    expect(status(output)).to_have_text("4 pictures · 2 selected")
    expect(actions).to_be_visible()
    page.screenshot(path=shots / "gallery-selected.png")

    type_into(output, "Add tags", "sea, best of")
    actions.get_by_role("button", name="Rate 4").click()
    expect(cells(output).nth(2)).to_have_accessible_name("a blue boat, ★★★★")
    type_into(output, "Remove tags", "best of")
    type_into(output, "Make the rows a variable of the notebook", "2nd")
    expect(output.get_by_role("alert")).to_contain_text("'2nd' is no name of a variable")
    type_into(output, "Make the rows a variable of the notebook", "picked")
    told = output.locator(".imagen-told")
    expect(told).to_have_text("picked is a frame of 2 pictures now")
    both = "['a red house', 'a blue boat'] [['sea', 'rating:4'], ['sea', 'rating:4']]"
    expect(opened.run(2)).to_contain_text(both)
    expect(opened.run(3)).to_contain_text("['a blue boat', 'a red house'] 2")

    type_into(output, "Export to a folder or a zip", str(tmp_path / "given.zip"))
    expect(told).to_contain_text("2 pictures exported")
    with zipfile.ZipFile(tmp_path / "given.zip") as archive:
        assert len(archive.namelist()) == 4
    actions.get_by_role("button", name="Contact sheet").click()
    dialog = page.get_by_role("dialog", name="Contact sheet")
    expect(dialog.get_by_role("img", name="contact sheet of 2 pictures")).to_be_visible()
    with page.expect_download() as download:
        dialog.get_by_text("Save as a file").click()
    assert download.value.suggested_filename == "contact-sheet.png"
    page.screenshot(path=shots / "gallery-sheet.png")
    page.keyboard.press("Escape")

    actions.get_by_role("button", name="Reject", exact=True).click()
    expect(cells(output).nth(1)).to_have_accessible_name("a red house, ★★★★ reject")
    output.get_by_role("button", name="Hide rejects").click()
    expect(status(output)).to_have_text("2 of 4 pictures · 2 selected")
    expect(cells(output)).to_have_count(2)
    output.get_by_role("button", name="Hide rejects").click()
    expect(cells(output)).to_have_count(4)
    actions.get_by_role("button", name="Select none").click()
    expect(actions).to_be_hidden()

    tags = output.locator("details[data-facet=tag]")
    tags.locator("summary").click()
    tags.get_by_role("searchbox").click()
    page.keyboard.type("se")
    expect(tags.locator("label")).to_have_text(["sea2"])
    tags.locator("label").click()
    expect(status(output)).to_have_text("2 of 4 pictures")


def test_a_picture_is_zoomed_tagged_and_given_to_the_panel(
    notebook: Callable[..., Notebook], drawn: Path, lab: Lab, shots: Path
) -> None:
    opened = notebook(
        "gallery = im.Gallery(im.history(source='local'))\ngallery",
        "panel = im.Panel()\npanel",
    )
    opened.run(0)
    opened.run(1)
    output, page = opened.output(1), opened.page
    cells(output).nth(3).dblclick()
    dialog = page.get_by_role("dialog", name="Picture")
    picture = dialog.get_by_role("img", name="a red boat")
    expect(picture).to_be_visible()
    scale = dialog.locator(".imagen-room").get_by_role("status")
    expect(scale).not_to_have_text("100 %")
    fitted = scale.inner_text()
    page.mouse.dblclick(*middle(page, picture))
    expect(scale).to_have_text("100 %")
    page.mouse.move(*middle(page, picture))
    for _ in range(8):
        page.mouse.wheel(0, -400)
    expect(scale).to_have_text("1600 %")
    before = picture.bounding_box()
    x, y = middle(page, dialog.locator(".imagen-zoom"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=3)
    page.mouse.up()
    after = picture.bounding_box()
    assert before
    assert after
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((60, 40), abs=2)
    page.screenshot(path=shots / "gallery-zoomed.png")
    page.keyboard.press("z")
    expect(scale).to_have_text(fitted)

    dialog.get_by_role("combobox", name="Add a tag").click()
    page.keyboard.type("kx 5")  # no keys of the gallery's
    page.keyboard.press("Enter")
    chip = dialog.locator(".imagen-chip")
    expect(chip).to_have_text(["kx 5×"])
    dialog.get_by_role("button", name="Next (→)").click()
    expect(dialog.get_by_role("img", name="a red boat")).to_be_visible()  # the last one
    dialog.get_by_role("button", name="Previous (←)").click()
    expect(dialog.get_by_role("img", name="a blue boat")).to_be_visible()
    expect(chip).to_have_count(0)
    expect(dialog.locator("datalist option")).to_have_attribute("value", "kx 5")
    page.keyboard.press("ArrowRight")
    expect(chip).to_have_text(["kx 5×"])
    dialog.get_by_role("button", name="Remove the tag kx 5").click()
    expect(chip).to_have_count(0)

    recall = dialog.get_by_role("button", name="Set the Panel as for this picture")
    recall.click()
    told = dialog.locator(".imagen-told")
    expect(told).to_have_text("show a Panel first: im.Panel()")
    page.keyboard.press("Escape")
    opened.run(2)
    cells(output).nth(3).dblclick()
    recall.click()
    expect(told).to_have_text("the Panel has its settings")
    page.keyboard.press("Escape")
    prompt = opened.output(2).get_by_role("textbox", name="Prompt", exact=True)
    expect(prompt).to_have_value("a red boat")
    cells(output).nth(2).click(modifiers=["ControlOrMeta"])  # or from the grid
    output.get_by_role("group", name="With what is selected").get_by_text("Recall").click()
    expect(prompt).to_have_value("a blue boat")


def test_an_enlarged_picture_has_its_family_beside_it(
    notebook: Callable[..., Notebook], drawn: Path, lab: Lab, shots: Path
) -> None:
    draw = (
        "boat = im.history(source='local', prompt='red boat').iloc[0]\n"
        "im.generate('a yacht', seed=5, steps=4, init_image=boat, strength=0.7, progress=False)\n"
        "gallery = im.Gallery(im.history(source='local'))\ngallery"
    )
    opened = notebook(draw)
    opened.run_all()
    output, page = opened.output(1), opened.page
    row(output, 1).dblclick()
    dialog = output.get_by_role("dialog", name="Picture")
    family = dialog.get_by_role("region", name="Family")
    parent = family.get_by_role("button", name="init image: a red boat")
    expect(parent.locator("img")).to_be_visible()
    expect(family.get_by_role("button", name="a yacht")).to_be_disabled()
    page.screenshot(path=shots / "gallery-family.png")
    parent.click()
    expect(dialog.locator(".imagen-words")).to_have_text("a red boat")
    expect(family.get_by_role("button", name="init image: a yacht")).to_be_enabled()


def test_a_live_gallery_takes_in_what_is_drawn(
    notebook: Callable[..., Notebook], drawn: Path, lab: Lab, shots: Path
) -> None:
    draw = "for n in range(3): im.generate('a new star', seed=n, steps=1, progress=False)"
    opened = notebook(
        "im.Gallery(live=True, size=256, columns=2)",
        "im.generate('a red star', seed=9, steps=1, progress=False)",
        draw,
    )
    opened.run(0)
    opened.run(1)
    output, page = opened.output(1), opened.page
    expect(status(output)).to_have_text("4 pictures")
    opened.run(2)  # one is at the top: it comes by itself
    expect(row(output, 1)).to_have_accessible_name("a red star", timeout=5000)
    expect(status(output)).to_have_text("5 pictures")

    box = output.locator(".imagen-box")
    page.mouse.move(*middle(page, box))
    page.mouse.wheel(0, 2000)
    last = output.get_by_role("option", name="a red boat")
    expect(last).to_be_in_viewport()
    page.wait_for_timeout(300)
    before = box.evaluate(PLACE)
    opened.start(3)
    pill = output.get_by_role("button", name="3 new")
    expect(pill).to_be_visible()
    opened.ended(3)
    assert box.evaluate(PLACE) == before
    pill.hover()
    page.screenshot(path=shots / "gallery-new.png")
    pill.click()
    expect(pill).to_be_hidden()
    expect(status(output)).to_have_text("8 pictures")
    expect(row(output, 1)).to_be_in_viewport()
    expect(row(output, 1)).to_have_accessible_name("a new star")
