"""Computes the vectors of new pictures in the background, never during a render."""

from __future__ import annotations

import atexit
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagen_nb.errors import ImagenError
from imagen_nb.storage.catalog import Catalog
from imagen_nb.system.forks import start_anew_in_forks
from imagen_nb.system.idle_gate import IdleGate
from imagen_nb.system.terminal import print_notice

_END_S = 1.0  # how long to wait for the batch that is under way

Compute = Callable[[Catalog, Callable[[], bool]], None]


class LookingAhead:
    """One background thread for the catalogs of a session, once something was drawn.

    Invariant: `drawn` and `drawing` never wait for a computation, nothing begins while
    something is drawn, and nothing that goes wrong here is raised there: it is said
    once on stderr, and ends the looking of this session.
    """

    def __init__(self, compute: Compute) -> None:
        """Start nothing: the first `drawn` does.

        `compute`: gives the pictures of a catalog the vectors that they lack; it asks
        the function that it is given before each batch whether to go on.
        """
        self._compute = compute
        self.start_anew()
        start_anew_in_forks(self)

    def start_anew(self) -> None:
        """Forget thread and locks, which in a forked child are the parent's."""
        self._changed = threading.Condition()
        self._gate = IdleGate(self._changed, math.inf)
        self._thread: threading.Thread | None = None
        self._waiting: set[Catalog] = set()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Begin to compute nothing within the block."""
        gate = self._gate  # in a process forked within the block there is another
        gate.begin_drawing()
        try:
            yield
        finally:
            gate.end_drawing()

    def drawn(self, catalog: Catalog) -> None:
        """Look at the new pictures of this catalog when there is time for it."""
        with self._changed:
            if self._gate.is_closed:
                return
            self._waiting.add(catalog)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, daemon=True, name="imagen-looking"
                )
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()

    def close(self) -> None:
        """End: what is not computed yet is computed by the next `find`."""
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        self._gate.close()
        if thread is not None:
            thread.join(_END_S)

    def _run(self) -> None:
        gate = self._gate
        while self._wait_for_work(gate) and gate.wait_open():
            with self._changed:
                catalog = self._waiting.pop()
            if not self._looked_at(catalog, gate):
                return

    def _wait_for_work(self, gate: IdleGate) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or gate.is_closed)
            return not gate.is_closed

    def _looked_at(self, catalog: Catalog, gate: IdleGate) -> bool:
        """Compute what a catalog lacks, until something is drawn; False after an error."""
        stopped = False

        def goes_on() -> bool:
            nonlocal stopped
            stopped = not gate.is_open()
            return not stopped

        try:
            self._compute(catalog, goes_on)
        except Exception as error:
            # Nobody waits for this: a mistake of ours or of a plug-in must not show
            # as a traceback in the middle of somebody's work.
            if not gate.is_closed:
                what = error if isinstance(error, ImagenError) else repr(error)
                print_notice(
                    f"new pictures are not looked at in the background: {what}"
                )
                gate.close()
            return False
        if stopped:  # the rest comes after the drawing
            with self._changed:
                self._waiting.add(catalog)
        return True
