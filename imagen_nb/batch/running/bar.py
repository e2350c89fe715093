"""The progress bar of a batch."""

from __future__ import annotations

import time

from imagen_nb.system.terminal import in_notebook


class JobsBar:
    """A progress bar over jobs, in terminals and notebooks; elsewhere silent."""

    def __init__(self, total: int, shown: bool | None = None) -> None:
        """Show the bar. `shown`: True or False decides, instead of where this runs."""
        from tqdm.auto import tqdm

        disable = None if shown is None else not shown
        if in_notebook() and shown is None:
            disable = False
        self._bar = tqdm(
            total=total,
            desc="batch",
            unit="job",
            disable=disable,
            leave=False,
            bar_format="{desc}: {n_fmt}/{total_fmt} |{bar:20}| "
            "{remaining} left{postfix}",
        )
        self._began, self._failed = time.monotonic(), 0

    def ended(self, failed: bool) -> None:
        """Count one more job that has ended, and show the rate."""
        self._failed += failed
        minutes = max(time.monotonic() - self._began, 1e-9) / 60
        parts = [f"{(self._bar.n + 1) / minutes:.1f} jobs/min"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        self._bar.set_postfix_str(", ".join(parts), refresh=False)
        self._bar.update()

    def __enter__(self) -> JobsBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
