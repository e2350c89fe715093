"""Histories that once ended badly, or nearly did, as they were when shrunk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imagen_nb.storage.tags import make_rating_change, make_tag_change
from tests.simulation.adopting import AdoptingHistories
from tests.simulation.histories import Histories
from tests.simulation.network import Fault
from tests.simulation.test_simulation import one_thing_at_a_time

__all__ = ["one_thing_at_a_time"]

KEEP, UNKEEP = make_tag_change(add=["keeper"]), make_tag_change(remove=["keeper"])


@pytest.fixture
def history() -> Iterator[Histories]:
    """Ends with everything arrived and everybody synced, and checks what must hold."""
    state = Histories()
    state.begin(shades=[0, 1])
    yield state
    state.teardown()


def keepers(history: Histories) -> int:
    return sum("keeper" in row["tags"] for row in history.server.images.values())


def test_a_tag_taken_back_after_the_clock_was_set_back(history: Histories) -> None:
    """The queue kept the change with the later time of day, and the tag came back."""
    history.sync("one", [], {}, None, None)
    history.tag("one", 0, KEEP, None)
    history.tag("one", 0, UNKEEP, None, hours=-2)
    history.sync("one", [], {}, None, None)
    assert keepers(history) == 0


def test_a_change_of_tags_that_arrives_twice_with_another_between(history: Histories) -> None:
    """The server's word holds then; nothing is stuck, and all agree on it at the end."""
    history.sync("one", [], {}, None, None)
    late = {number: Fault("silence", 12) for number in range(1, 2)}
    history.sync("one", [(0, KEEP)], late, None, None)
    history.sync("one", [(0, UNKEEP)], {}, None, None)
    history.something_happens(("late_requests_arrive", ()), "one", 0)


def test_uploads_of_one_name_at_once_whatever_the_order(history: Histories) -> None:
    history.sync_both(([], []), {}, {}, [0, 1] * 20, None)
    assert len(history.server.objects) == 2


def test_an_answer_to_new_rows_that_is_empty_while_they_are_on_their_way() -> None:
    """It was taken for "they are there already, somebody else's": each had two rows then."""
    state = Histories()
    state.begin(shades=[0, 0, 0, 0])
    faults = {1: Fault("expired"), 10: Fault("silence", 3), 11: Fault("empty", "never")}
    state.something_happens(("lose_catalog", ()), "one", 0)
    state.sync_both(([], []), {}, faults, [], None)
    state.nothing_is_lost_or_overwritten()
    state.teardown()
    assert len(state.server.images) == 4


def test_an_upload_that_arrives_after_its_picture_was_sent_again(history: Histories) -> None:
    history.sync("one", [], {2: Fault("silence", 9)}, None, None)
    history.sync("two", [], {}, None, None)
    history.sync("one", [], {}, None, None)
    history.something_happens(("late_requests_arrive", ()), "one", 0)
    assert len(history.server.objects) == 2


@pytest.mark.parametrize("dies", range(0, 40, 3))
def test_a_stranger_takes_the_id_and_the_process_dies_anywhere(
    history: Histories, dies: int
) -> None:
    history.tag("one", 0, make_rating_change(5), None)
    history.something_happens(("stranger_takes_an_id", ()), "one", 0)
    history.sync("one", [], {}, dies, None)
    history.sync("one", [(0, KEEP)], {}, None, None)


@pytest.mark.parametrize("what", ["row", "object", "bytes"])
def test_a_copy_is_spoiled_and_the_catalog_lost(history: Histories, what: str) -> None:
    """A spoiled object was left to its row, and the picture went up once more beside it."""
    history.sync("one", [], {}, None, None)
    history.something_happens(("lose_copy", (what,)), "one", 0)
    history.something_happens(("lose_catalog", ()), "one", 0)
    history.sync("one", [], {}, None, None)
    assert len(history.server.images) == len(history.server.objects) == 1


def test_an_answer_without_a_body_is_not_that_there_is_no_such_row(history: Histories) -> None:
    """Without a Content-Length it passed as no rows, and the tags were dropped."""
    history.sync_both(([], []), {}, {}, [], None)
    history.sync("two", [(1, KEEP)], {0: Fault("empty", "now")}, None, None)
    history.sync("two", [], {}, None, None)
    assert keepers(history) == 1


@pytest.fixture
def adopting() -> Iterator[AdoptingHistories]:
    state = AdoptingHistories()
    yield state
    state.teardown()


def test_a_file_that_two_machines_adopt_under_two_names(adopting: AdoptingHistories) -> None:
    """The second one went up beside the first, and no row told of it."""
    adopting.adopt("one", ["a.png"], (), True, None)
    adopting.adopt("two", ["a copy.png"], (), True, None)
    adopting.sync("one", [], {}, None, None)
    adopting.sync("two", [], {}, None, None)
    assert len(adopting.server.images) == len(adopting.server.objects) == 1


def test_tags_with_which_a_second_machine_adopts_a_file(adopting: AdoptingHistories) -> None:
    """The row was there already, and they stayed on that machine."""
    adopting.adopt("one", ["b.jpg"], (), True, None)
    adopting.sync("one", [], {}, None, None)
    adopting.adopt("two", ["b.jpg"], ("sea",), True, None)
    adopting.sync("two", [], {}, None, None)
    assert [row["tags"] for row in adopting.server.images.values()] == [["sea"]]


@pytest.mark.parametrize("dies", range(12))
def test_an_adoption_that_dies_anywhere_leaves_no_second_file(
    adopting: AdoptingHistories, dies: int
) -> None:
    """A file that had its name and no sidecar yet stayed for good, without a row."""
    adopting.adopt("one", ["b.jpg", "a.png"], (), True, dies)


def test_a_file_of_which_the_cloud_has_lost_the_object_is_adopted_elsewhere(
    adopting: AdoptingHistories,
) -> None:
    """It went up as another picture: a file had two rows once the first was repaired."""
    adopting.adopt("two", ["a.png"], (), True, None)
    adopting.sync("two", [], {}, None, None)
    adopting.something_happens(("lose_copy", ("object",)), "two", 0)
    adopting.adopt("one", ["a copy.png"], ("sea",), True, None)
    adopting.sync("one", [], {}, None, None)
    assert len(adopting.server.images) == len(adopting.server.objects) == 1
