"""What no widget can be made of: one line that says what to give, and nothing after it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError
from imagen_nb.widgets.page import checked_mark


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[im.Studio]:
    studio = im.configure(backend="flux-tiny-local", output={"dir": str(tmp_path)}, steps=1)
    yield studio
    studio.close()


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Python prints of errors in `__del__`."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    return found


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "one picture": (
        lambda: im.Compare("3f1c9a52"),
        r"expected two pictures: .*im\.Compare\(a, b\)",
    ),
    "no pictures": (lambda: im.Compare(1, 2), "expected a picture: an id, a row"),
    "a text": (
        lambda: im.Gallery("boat"),
        r"DataFrame of pictures: give `im\.history\(\)`.*not str",
    ),  # type: ignore[arg-type]
    "pictures": (lambda: im.Gallery(im.Pictures([])), r"or `pictures\.frame\(\)`, not Pictures"),  # type: ignore[arg-type]
    "no session": (lambda: im.Panel("x"), r"expected a Studio: give `im\.Studio.*not str"),  # type: ignore[arg-type]
    "a report": (lambda: im.report("x"), r"give `im\.history\(\)`.*not str"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line_that_says_what_to_give(
    what: str, studio: im.Studio, ignored: list[Any]
) -> None:
    make, says = REFUSED[what]
    with pytest.raises(UsageError, match=says) as error:
        make()
    assert "\n" not in str(error.value)
    del error
    gc.collect()
    assert ignored == []


@pytest.mark.parametrize("make", [im.Compare, im.Gallery, im.Panel])
def test_one_that_was_not_even_begun_is_gone_without_a_word(
    make: Callable[..., Any], ignored: list[Any]
) -> None:
    with pytest.raises(UsageError, match="unknown argument nothing_like_that"):
        make(nothing_like_that=1)
    gc.collect()
    assert ignored == []


def test_a_misspelt_mark_is_told_with_the_nearest(studio: im.Studio) -> None:
    with pytest.raises(UsageError, match=r"keeper or reject, not keepr; did you mean keeper\?"):
        checked_mark("keepr")
