"""The bar of a batch."""

from __future__ import annotations

import pytest

from imagen_nb.batch.running.bar import JobsBar


def test_it_says_jobs_a_minute_failures_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with JobsBar(3, shown=True) as bar:
        bar.ended(failed=False)
        bar.ended(failed=True)
        bar._bar.refresh()
    last = capsys.readouterr().err.split("batch: ")[-1]
    assert last.startswith("2/3 |")
    assert " left, " in last
    assert "jobs/min, 1 failed" in last


def test_it_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with JobsBar(2) as bar:
        bar.ended(failed=False)
    assert capsys.readouterr().err == ""
