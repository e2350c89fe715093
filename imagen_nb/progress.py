"""Shows drawing as it goes: a bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from tqdm.auto import tqdm

from imagen_nb.backends import Step


class Bar:
    """A progress bar over pictures × steps; silent where nobody looks: no terminal, no notebook."""

    def __init__(self, steps: int, shown: bool | None = None) -> None:
        disable = None if shown is None else not shown  # None: tqdm shows it on terminals only
        self._bar = tqdm(total=steps, unit="step", leave=False, disable=disable, desc="drawing")

    def __call__(self, step: Step) -> None:
        """Count one denoising step."""
        done = step.indices.stop if step.step == step.steps else step.indices.start
        self._bar.set_postfix_str(
            f"picture {min(done + 1, step.total)}/{step.total}", refresh=False
        )
        self._bar.update(len(step.indices))

    @property
    def silent(self) -> bool:
        """Whether nothing is shown: then nobody need report."""
        return bool(self._bar.disable)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that is counted: give the result `(done, total)` now and then."""
    with tqdm(desc=what, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
