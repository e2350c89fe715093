"""Firefox: the end of a long gallery, and the Panel, by keys, mouse and wheel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions as conditions
from selenium.webdriver.support.wait import WebDriverWait

from tests.fixtures.firefox import FIREFOX, find_geckodriver, firefox
from tests.fixtures.jupyter_pages import RUN_S
from tests.fixtures.jupyter_servers import started

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not (FIREFOX and find_geckodriver()), reason="no Firefox: apt-get install firefox-esr"
    ),
]

ROWS = 200_000
CELLS = [
    "import imagen_nb as im, numpy as np\n"
    "im.configure(backend='flux-tiny-local', output={'dir': 'pictures'})\n"
    "frame = im.sweep('a red boat', seeds=[1], steps=2, progress=False).frame()",
    f"im.Gallery(frame.iloc[np.zeros({ROWS}, int)].reset_index(drop=True), size=512, columns=1)",
    "im.Panel()",
]


@pytest.fixture(scope="module")
def browser(kernels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Firefox]:
    """Shows these cells in Voilà."""
    folder = tmp_path_factory.mktemp("firefox")
    home = folder / "firefox-home"
    home.mkdir()
    with started("voila", folder, kernels) as server, firefox(home) as browser:
        cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
        named = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": named})
        nbformat.write(book, server.folder / "firefox.ipynb")
        browser.set_page_load_timeout(RUN_S)
        browser.get(f"{server.url}/voila/render/firefox.ipynb?token={server.token}")
        yield browser


IS_SHOWN = """
    const box = document.querySelector(".imagen-box");
    const row = box?.querySelector(`.imagen-cell:not([hidden])[aria-posinset="${arguments[0]}"]`);
    if (!row) return false;
    const [inner, outer] = [row.getBoundingClientRect(), box.getBoundingClientRect()];
    return inner.top < outer.bottom && inner.bottom > outer.top;
"""


def is_shown(browser: webdriver.Firefox, number: int) -> bool:
    """Whether the row of this number is within the gallery's box."""
    return bool(browser.execute_script(IS_SHOWN, number))  # type: ignore[no-untyped-call]


def test_the_end_of_a_long_gallery_is_reached(browser: webdriver.Firefox, shots: Path) -> None:
    wait = WebDriverWait(browser, 30)
    wait.until(lambda _: is_shown(browser, 1))
    browser.find_element(By.CSS_SELECTOR, ".imagen-cell:not([hidden])").click()
    ActionChains(browser).send_keys(Keys.END).perform()
    wait.until(lambda _: is_shown(browser, ROWS))
    box = ScrollOrigin.from_element(browser.find_element(By.CSS_SELECTOR, ".imagen-box"))
    ActionChains(browser).scroll_from_origin(box, 0, -3 * 558).perform()
    wait.until(lambda _: is_shown(browser, ROWS - 3) and not is_shown(browser, ROWS))
    ActionChains(browser).scroll_from_origin(box, 0, 6 * 558).perform()
    wait.until(lambda _: is_shown(browser, ROWS))
    browser.save_screenshot(str(shots / "firefox-gallery-end.png"))
    ActionChains(browser).send_keys(Keys.HOME).perform()
    wait.until(lambda _: is_shown(browser, 1))


def test_the_panel_draws_what_is_typed(browser: webdriver.Firefox, shots: Path) -> None:
    browser.find_element(By.CSS_SELECTOR, "textarea").click()
    ActionChains(browser).send_keys("a blue star").perform()
    browser.find_element(By.XPATH, "//button[normalize-space()='Draw']").click()
    strip = (By.CSS_SELECTOR, '[aria-label="Pictures, newest first"] img')
    drawn = WebDriverWait(browser, RUN_S).until(conditions.visibility_of_element_located(strip))
    WebDriverWait(browser, 30).until(lambda _: drawn.get_property("naturalWidth") == 128)
    browser.save_screenshot(str(shots / "firefox-panel.png"))
