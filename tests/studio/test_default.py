"""The Studio behind `im.generate` and the other functions: which one it is, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.errors import ConfigError
from imagen_nb.studio.default import leave, studio, using
from imagen_nb.studio.studio import Studio


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Studio]:
    with Studio({"output": {"dir": str(tmp_path / "one")}}, background=False) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Studio]:
    with Studio({"output": {"dir": str(tmp_path / "other")}}, background=False) as made:
        yield made


def test_a_studio_is_the_default_one_for_a_while(one: Studio, other: Studio) -> None:
    with using(one):
        with using(other):
            assert studio() is other
        assert studio() is one
    assert not one.closed
    assert not other.closed


def test_the_one_of_before_comes_back_also_after_an_error(one: Studio, other: Studio) -> None:
    with using(one):
        with pytest.raises(KeyError), using(other):
            raise KeyError
        assert studio() is one


def test_configure_replaces_and_closes_it(one: Studio, tmp_path: Path) -> None:
    with using(one):
        made = im.configure(output={"dir": str(tmp_path / "new")})
        assert studio() is made
        assert one.closed
        leave()


def test_a_configuration_that_cannot_be_used_leaves_it_as_it_is(one: Studio) -> None:
    with using(one):
        with pytest.raises(ConfigError):
            im.configure(steps="many")
        assert studio() is one
    assert not one.closed


def test_after_it_was_left_the_next_call_makes_a_new_one(one: Studio) -> None:
    with using(one):
        leave()
        assert one.closed
        assert studio() is not one
        leave()
