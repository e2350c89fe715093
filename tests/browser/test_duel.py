"""The Duel as a person uses it in JupyterLab: by keys, by mouse, to its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from imagen_nb.studio.studio import Studio
from tests.fixtures.jupyter_pages import Lab, Notebook

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)> \u202eright to left"
WIDTHS = (64, 96, 128)  # the page can tell pictures by these; the wider one is preferred
READ = "df = im.history(source='local').sort_values('width')"
KEYS = {"left": "ArrowLeft", "right": "ArrowRight"}
_WIDTHS = "pair => [...pair.querySelectorAll('img')].map(one => one.naturalWidth)"
# From the key to the frame after that which shows the next pair.
_CLOCK = """root => {
    window.keyTimes = [];
    window.addEventListener('keydown', event => {
        const shown = () => root.querySelector('.imagen-now')?.dataset.key;
        const before = shown();
        const look = () => requestAnimationFrame(() => {
            if (shown() === before) look();
            else requestAnimationFrame(() => keyTimes.push(performance.now() - event.timeStamp));
        });
        look();
    }, true);
}"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each of two prompts, drawn here: a kernel would load FLUX."""
    folder = tmp_path_factory.mktemp("judged") / "pictures"
    with Studio({"backend": "flux-tiny-local", "output": {"dir": folder}}) as studio:
        for prompt in ("a red boat", EVIL):
            for width in WIDTHS:
                studio.generate(prompt, seed=width, steps=2, progress=False, width=width)
    return folder


@pytest.fixture
def drawn(pictures: Path, tmp_path: Path) -> None:
    """They are in the notebook's folder."""
    shutil.copytree(pictures, tmp_path / "pictures")


def now(shown: Locator) -> Locator:
    return shown.locator(".imagen-now")


def votes(opened: Notebook, cell: int) -> str:
    """How many votes there are, and the last one, as the kernel has them."""
    return opened.run(cell).inner_text().strip()


def test_keys_vote_until_the_order_is_sure(
    notebook: Callable[..., Notebook], lab: Lab, drawn: None, shots: Path
) -> None:
    lab.theme("JupyterLab Light")
    opened = notebook(
        READ,
        "duel = im.Duel(df[df['prompt'] == 'a red boat'], first=1, voter='ada')\nduel",
        "v = duel.votes; print(len(v), *v['outcome'][-1:], v['seconds'].between(0, 60).all())",
        "print(*duel.ranking()['width'])",
    )
    opened.run(0)
    opened.run(1)
    shown, page = opened.run(2), lab.page
    root = shown.get_by_role("group", name="which is better?")
    expect(now(shown).locator("img")).to_have_count(2)
    expect(root.get_by_text("a red boat", exact=True)).to_be_visible()
    expect(shown.locator(".imagen-saved")).to_be_hidden()
    assert "seed" not in root.inner_text()
    cells = page.locator(".jp-Notebook-cell").count()
    root.evaluate(_CLOCK)
    now(shown).click()  # gives it the focus, and is no vote
    for key in ("b", "d", "d", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator(".jp-Notebook-cell").count() == cells
    expect(root.get_by_role("status")).to_contain_text("0 votes")

    first = now(shown).get_attribute("data-key")
    for count, key in enumerate(("ArrowDown", "=", "s", "Space")):
        before = now(shown).get_attribute("data-key")
        page.keyboard.press(key)
        expect(now(shown)).not_to_have_attribute("data-key", before or "")
        expect(root.get_by_role("status")).to_contain_text(f"{min(2, count + 1)} vote")
    for _ in range(4):
        before = now(shown).get_attribute("data-key")
        page.keyboard.press("u")
        expect(now(shown)).not_to_have_attribute("data-key", before or "")
    expect(root.get_by_role("status")).to_contain_text("0 votes")
    assert now(shown).get_attribute("data-key") != first  # the same pair, asked anew

    end = shown.locator(".imagen-end")
    page.wait_for_timeout(300)
    page.screenshot(path=shots / "duel-light.png")
    page.evaluate("() => { keyTimes.length = 0; }")
    for _ in range(60):
        left, right = now(shown).evaluate(_WIDTHS)
        page.keyboard.press(KEYS["left" if left > right else "right"])
        page.wait_for_timeout(150)  # as quick as anybody
        if end.is_visible():
            break
    expect(end).to_be_visible()
    expect(end.get_by_role("img")).to_have_count(1)
    expect(now(shown)).to_be_hidden()
    expect(root.get_by_role("status")).to_contain_text("% sure of the best one")
    page.screenshot(path=shots / "duel-end-light.png")
    times = page.evaluate("keyTimes")
    print(
        f"{len(times)} keys: next pair after {sorted(times)[len(times) // 2]:.0f} ms (median),"
        f" {max(times):.0f} ms at most"
    )
    assert sorted(times)[len(times) // 2] < 500

    page.keyboard.press("Enter")
    expect(now(shown)).to_be_visible()
    root.get_by_role("button", name="The left one is better (←)").click()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    expect(now(shown)).to_be_visible()
    count = int(votes(opened, 3).split()[0])
    page.keyboard.press("Escape")
    assert votes(opened, 3).split()[2] == "True"
    assert opened.run(4).inner_text().split() == ["128", *map(str, (96, 64))]
    root.focus()
    page.keyboard.press("ArrowLeft")
    expect(root.get_by_role("status")).to_contain_text(f"{count + 1} votes")
    assert votes(opened, 3) == f"{count + 1} left True"


def test_buttons_do_the_same_and_untrusted_prompts_are_text(
    notebook: Callable[..., Notebook], lab: Lab, drawn: None, shots: Path
) -> None:
    lab.theme("JupyterLab Dark")
    opened = notebook(
        READ,
        "duel = im.Duel(df[df['prompt'] != 'a red boat'], '<b>which</b>?', first=None)\nduel",
        "print(*duel.votes['outcome'])",
    )
    opened.run(0)
    opened.run(1)
    shown, page = opened.run(2), lab.page
    root = shown.get_by_role("group", name="<b>which</b>?")
    expect(root.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    names = ("The left one is better (←)", "Neither is better (↓ or =)", "No answer (Space or s)")
    for count, name in enumerate(names):
        expect(now(shown)).to_be_visible()
        root.get_by_role("button", name=name).click()
        expect(root.get_by_role("status")).to_contain_text(f"{min(2, count + 1)} vote")
    expect(now(shown)).to_be_visible()
    expect(root.get_by_role("status")).to_contain_text("% sure of the order")
    page.wait_for_timeout(300)
    page.screenshot(path=shots / "duel-dark.png")
    assert opened.run(3).inner_text().split() == ["left", "tie", "skip"]
    root.get_by_role("button", name="Take the last answer back (u or Backspace)").focus()
    page.keyboard.press("Enter")
    expect(now(shown)).to_be_visible()
    assert opened.run(3).inner_text().split() == ["left", "tie"]
    root.get_by_role("button", name="The right one is better (→)").focus()
    page.keyboard.press("Space")  # presses the button, and skips nothing
    expect(root.get_by_role("status")).to_contain_text("3 votes")
    assert opened.run(3).inner_text().split() == ["left", "tie", "right"]
    lab.theme("JupyterLab Light")
