"""One line of progress for a batch: jobs a minute, failures, time left."""

from __future__ import annotations

import time

from imagen_nb.system.terminal import in_notebook


class JobsBar:
    """A bar over jobs, in terminals and notebooks; elsewhere silent, unless `shown`."""

    def __init__(self, total: int, shown: bool | None = None) -> None:
        from tqdm.auto import tqdm

        disable = None if shown is None else not shown
        if in_notebook() and shown is None:
            disable = False
        self._bar = tqdm(
            total=total, desc="batch", unit="job", disable=disable, leave=False,
            bar_format="{desc}: {n_fmt}/{total_fmt} |{bar:20}| {remaining} left{postfix}",

        )  # fmt: skip
        self._began, self._failed = time.monotonic(), 0

    def ended(self, failed: bool) -> None:
        """One more job has ended."""
        self._failed += failed
        minutes = max(time.monotonic() - self._began, 1e-9) / 60
        rate = f"{(self._bar.n + 1) / minutes:.1f} jobs/min"
        failures = f"{self._failed} failed" if self._failed else ""
        self._bar.set_postfix_str(", ".join(filter(None, (rate, failures))), refresh=False)
        self._bar.update()

    def __enter__(self) -> JobsBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
