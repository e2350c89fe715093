"""The simulation notices when what keeps a promise is taken out of the product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from imagen_nb.cloud import claims, rows, tags, upload
from imagen_nb.storage import catalog_rows
from imagen_nb.storage import tags as storage_tags
from tests.simulation.histories import Histories
from tests.simulation.test_simulation import BASIC, one_thing_at_a_time

__all__ = ["one_thing_at_a_time"]

Patch = pytest.MonkeyPatch


def claims_bind_nobody(patch: Patch) -> None:
    patch.setattr(claims, "is_claimed_by", lambda entry, claim, owner: True)


def uploads_are_not_compared(patch: Patch) -> None:
    patch.setattr(upload, "is_same_file", lambda stored, png: True)
    claims_bind_nobody(patch)


def taken_ids_are_taken_for_written(patch: Patch) -> None:
    patch.setattr(rows.RowWriter, "_write_under_next_id", lambda self, entry, found: [entry])


def rows_are_not_written(patch: Patch) -> None:
    patch.setattr(rows.RowWriter, "write", lambda self, entries: list(entries))


def queued_tags_are_forgotten(patch: Patch) -> None:
    patch.setattr(tags, "_write_cloud_tags", lambda cloud, before, after: set(before))


def sidecars_keep_what_was_sent(patch: Patch) -> None:
    patch.setattr(tags, "merge_cloud_tags", lambda catalog, tags, sent: None)


def the_clock_decides(patch: Patch) -> None:
    patch.setattr(
        storage_tags, "next_queue_time", lambda connection, now: catalog_rows.utc_text(now)
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    "mutate",
    [
        claims_bind_nobody,
        uploads_are_not_compared,
        taken_ids_are_taken_for_written,
        rows_are_not_written,
        queued_tags_are_forgotten,
        sidecars_keep_what_was_sent,
        the_clock_decides,
    ],
)
def test_a_mutant_is_noticed(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    few = settings(BASIC, max_examples=400, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(seed(17)(Histories), settings=few)
