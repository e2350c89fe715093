"""The gallery as a person uses it in JupyterLab: by keyboard, with prompts that mean no good."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

EVIL = (
    "<img src=x onerror=alert(1)>",
    "\"]}');--",
    "\u202eright to left",
    "emoji 🚤 boat",
    "a nul \0 in\na line",
)
PROMPTS = ("a red boat", "a blue star", "a red house", *EVIL, "long " * 2000)
READ = "df = im.history(source='local').iloc[::-1].reset_index(drop=True)"
SHOW = "gallery = im.Gallery(df)\ngallery"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures, drawn here: a kernel would load FLUX."""
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": folder}}) as studio:
        for prompt, width in zip(PROMPTS, [64] + [128] * 20, strict=False):
            studio.generate(prompt, seed=1, steps=1, progress=False, width=width)
    return folder


@pytest.fixture
def drawn(pictures: Path, tmp_path: Path) -> None:
    """They are in the notebook's folder."""
    shutil.copytree(pictures, tmp_path / "pictures")


@pytest.fixture
def opened(notebook: Callable[..., Notebook], drawn: None) -> Notebook:
    opened = notebook(
        READ,
        SHOW,
        "print(gallery.selected['prompt'].tolist(), gallery.selected['tags'].tolist())",
        "print(sorted(im.history(tags='rating:4')['prompt']),"
        " sorted(im.history(tags='keeper')['prompt']))",
        "print(len(gallery.visible))",
        "print(df['local_path'][1])",
    )
    for number in range(3):
        opened.run(number)
    expect(cells(opened)).to_have_count(9)
    return opened


def cells(notebook: Notebook) -> Locator:
    return notebook.output(2).locator(".imagen-cell:not([hidden])")


def grid(notebook: Notebook) -> Locator:
    return notebook.output(2).get_by_role("listbox", name="Pictures")


def press(notebook: Notebook, *keys: str) -> None:
    for key in keys:
        notebook.page.keyboard.press(key)


def point(notebook: Notebook, words: Locator) -> None:
    """Press and let go of the mouse on them, as `Locator.check` does not."""
    expect(words).to_be_visible()
    box = words.bounding_box()
    assert box is not None
    notebook.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_rating_by_keyboard_is_in_the_sidecar_and_the_history(opened: Notebook) -> None:
    grid(opened).focus()
    press(opened, "ArrowRight", "4", "ArrowRight", "k")
    expect(cells(opened).nth(1)).to_have_accessible_name("a blue star, ★★★★")
    expect(cells(opened).nth(2)).to_have_accessible_name("a red house, keeper")
    expect(opened.run(4)).to_contain_text("['a blue star'] ['a red house']")
    path = Path(opened.run(6).inner_text().strip().splitlines()[-1] + ".json")
    assert json.loads(path.read_text())["tags"] == ["rating:4"]


def test_what_is_selected_is_a_frame_and_the_notebooks_keys_stay_out(opened: Notebook) -> None:
    before = opened.page.locator(".jp-Notebook-cell").count()
    grid(opened).focus()
    press(opened, "Space", "ArrowRight", "ArrowRight", "Space", "d", "d", "b", "a", "x")
    expect(opened.output(2).get_by_role("status")).to_have_text("9 pictures · 2 selected")
    expect(cells(opened).nth(0)).to_have_accessible_name("a red boat, reject")
    said = "['a red boat', 'a red house'] [['reject'], ['reject']]"
    expect(opened.run(3)).to_contain_text(said)
    cells(opened).nth(1).click()
    cells(opened).nth(3).click(modifiers=["Shift"])
    cells(opened).nth(2).click(modifiers=["ControlOrMeta"])
    expect(opened.output(2).get_by_role("status")).to_have_text("9 pictures · 2 selected")
    grid(opened).focus()
    press(opened, "ControlOrMeta+a")
    expect(opened.output(2).get_by_role("status")).to_have_text("9 pictures · 9 selected")
    assert opened.page.locator(".jp-Notebook-cell").count() == before


def test_words_and_facets_filter(opened: Notebook, shots: Path) -> None:
    output = opened.output(2)
    grid(opened).focus()
    press(opened, "/")
    opened.page.keyboard.type("red -house")
    expect(cells(opened)).to_have_count(1)
    expect(output.get_by_role("status")).to_have_text("1 of 9 pictures")
    output.get_by_role("button", name="Clear all filters").click()
    expect(cells(opened)).to_have_count(9)
    output.locator("summary", has_text="size").click()
    opened.page.screenshot(path=shots / "gallery-facets.png")
    output.get_by_role("checkbox", name="64×128").click()
    expect(cells(opened)).to_have_count(1)
    assert opened.run(5).inner_text().strip() == "1"


def test_a_click_on_a_facets_words_ticks_it_and_the_list_stays_open(opened: Notebook) -> None:
    sizes = opened.output(2).locator("details[data-facet=size]")
    point(opened, sizes.locator("summary"))
    for word, left in (("64×128", 1), ("128×128", 9), ("64×128", 8)):  # or the tab is gone
        point(opened, sizes.locator("bdi").get_by_text(word, exact=True))
        expect(cells(opened)).to_have_count(left)
        expect(sizes).to_have_attribute("open", "")


@pytest.mark.soak
def test_two_views_have_one_selection(
    notebook: Callable[..., Notebook], drawn: None, shots: Path
) -> None:
    opened = notebook(READ, SHOW, "gallery")
    for number in range(4):
        opened.run(number)
    others = opened.output(3).locator(".imagen-cell:not([hidden])")
    expect(others).to_have_count(9)
    cells(opened).nth(0).click()
    cells(opened).nth(1).click(modifiers=["ControlOrMeta"])
    expect(opened.output(3).get_by_role("status")).to_have_text("9 pictures · 1 selected")
    expect(others.nth(1)).to_have_attribute("aria-selected", "true")
    others.nth(2).click(modifiers=["ControlOrMeta"])
    expect(opened.output(2).get_by_role("status")).to_have_text("9 pictures · 2 selected")
    opened.page.screenshot(path=shots / "gallery-two-views.png")


@pytest.mark.soak
def test_a_rating_that_no_picture_has_any_more_is_counted_as_none(opened: Notebook) -> None:
    ratings = opened.output(2).locator("details[data-facet=rating]")
    grid(opened).focus()
    press(opened, "3")
    point(opened, ratings.locator("summary"))
    expect(ratings.locator("label")).to_have_text(["none8", "★★★1"])
    point(opened, ratings.locator("bdi").get_by_text("★★★", exact=True))
    expect(cells(opened)).to_have_count(1)
    grid(opened).focus()
    press(opened, "4")
    point(opened, ratings.locator("summary"))
    expect(ratings.locator("label")).to_have_text(["★★★0", "none8", "★★★★1"])


def test_evil_prompts_are_text(opened: Notebook, shots: Path) -> None:
    shown = opened.output(2)
    for number, prompt in enumerate(EVIL, 3):
        text = prompt.replace("\0", "\ufffd")
        assert cells(opened).nth(number).locator("bdi").text_content() == text
    assert cells(opened).nth(8).locator("img").get_attribute("alt") == ("long " * 60)[:299] + "…"
    assert shown.locator("img[src='x']").count() == 0
    cells(opened).nth(3).dblclick()
    dialog = opened.page.get_by_role("dialog")
    expect(dialog.locator(".imagen-words")).to_have_text(EVIL[0])
    opened.page.screenshot(path=shots / "gallery-evil.png")


def test_enter_enlarges_arrows_go_on_and_esc_closes(opened: Notebook, shots: Path) -> None:
    grid(opened).focus()
    press(opened, "Space", "ArrowRight", "Space", "Enter")  # both are selected, one is enlarged
    dialog = opened.page.get_by_role("dialog")
    picture = dialog.get_by_role("img", name="a blue star")
    expect(picture).to_have_js_property("naturalWidth", 128)
    expect(dialog).to_contain_text("flux-tiny-local")
    press(opened, "5")
    expect(dialog.locator(".imagen-stars")).to_have_text("★★★★★")
    opened.page.screenshot(path=shots / "gallery-enlarged.png")
    press(opened, "ArrowRight")
    expect(dialog.get_by_role("img", name="a red house")).to_be_visible()
    press(opened, "Escape")
    expect(dialog).to_be_hidden()
    expect(grid(opened)).to_be_focused()
    expect(cells(opened).nth(0)).to_have_accessible_name("a red boat")
    expect(cells(opened).nth(1)).to_have_accessible_name("a blue star, ★★★★★")


@pytest.mark.soak
def test_c_compares_two(opened: Notebook, shots: Path) -> None:
    grid(opened).focus()
    press(opened, "c")
    why = "select two to nine pictures to compare"
    expect(opened.output(2).get_by_role("alert")).to_have_text(why)
    press(opened, "Space", "ArrowRight", "Space", "c")
    dialog = opened.page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="width 64 128")).to_be_visible()
    opened.page.screenshot(path=shots / "gallery-compare.png")
    press(opened, "ArrowRight")
    expect(dialog.get_by_role("slider")).to_have_value("52")
    press(opened, "Escape")
    expect(dialog).to_be_hidden()


def test_both_themes_and_narrow_cells_show_it(
    notebook: Callable[..., Notebook], drawn: None, lab: Lab, shots: Path
) -> None:
    for theme in ("Dark", "Light"):
        lab.theme(f"JupyterLab {theme}")
        opened = notebook(READ, SHOW)
        opened.run_all()
        expect(cells(opened)).to_have_count(9)
        grid(opened).focus()
        press(opened, "ArrowRight", "Space", "3")
        expect(cells(opened).nth(1)).to_have_accessible_name("a blue star, ★★★")
        lab.page.screenshot(path=shots / f"gallery-{theme.lower()}.png")
    lab.page.set_viewport_size({"width": 480, "height": 800})
    expect(cells(opened).first).to_be_visible()
    box = opened.output(2).locator(".imagen-box")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    lab.page.screenshot(path=shots / "gallery-narrow.png")


def test_opened_again_without_a_kernel_it_shows_its_thumbnails(
    opened: Notebook, lab: Lab, shots: Path
) -> None:
    page = opened.output(2).locator(".imagen-saved")
    expect(page.locator("img")).to_have_count(9)  # which comes after what is looked at
    expect(page).to_be_hidden()
    for _ in range(5):  # JupyterLab saves by itself, too: perhaps it was that
        opened.save()
        if len(opened.saved().cells[2].outputs) == 2:
            break
    lab.close()
    assert opened.path.stat().st_size < 100_000
    assert "widgets" not in opened.saved().metadata
    again = lab.open_file(opened.path)
    pictures = again.output(2).locator(".imagen-saved").get_by_role("img")
    expect(pictures).to_have_count(9)
    expect(pictures.first).to_be_visible()
    lab.page.wait_for_timeout(2000)  # until the dead widget says that it is one
    expect(again.output(2)).not_to_contain_text("model not found", use_inner_text=True)
    lab.page.screenshot(path=shots / "gallery-saved.png")


def test_what_is_deleted_comes_back_within_ten_seconds(
    opened: Notebook, tmp_path: Path, shots: Path
) -> None:
    output, folder = opened.output(2), tmp_path / "pictures"
    cells(opened).nth(0).click()
    cells(opened).nth(1).click(modifiers=["Shift"])
    output.get_by_role("button", name="Delete (Del)").click()
    question = output.get_by_role("alertdialog")
    expect(question).to_contain_text("Delete 2 pictures, here and in the cloud?")
    opened.page.screenshot(path=shots / "gallery-delete.png")
    question.get_by_role("button", name="Delete nothing (Esc)").click()
    expect(question).to_be_hidden()
    press(opened, "Delete", "Enter")
    expect(cells(opened)).to_have_count(7)
    expect(output.get_by_text("2 pictures deleted")).to_be_visible()
    expect(output.get_by_text("7 pictures", exact=True)).to_be_visible()
    assert len([*folder.glob("*.png")]) == 7
    opened.page.screenshot(path=shots / "gallery-deleted.png")
    output.get_by_role("button", name="Bring them back").click()
    expect(cells(opened)).to_have_count(9)
    expect(output.get_by_text("2 pictures deleted")).to_be_hidden()
    assert len([*folder.glob("*.png")]) == 9
    press(opened, "Delete", "Enter")
    expect(cells(opened)).to_have_count(8)
    expect(output.get_by_text("1 picture deleted")).to_be_visible()
    expect(output.get_by_text("1 picture deleted")).to_be_hidden(timeout=15_000)
