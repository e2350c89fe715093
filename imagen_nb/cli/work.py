"""`imagen work`: draw what your other machines ask for."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagen_nb.cli import options
from imagen_nb.cli.options import load_command_settings
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.studio.remote.events import WorkEvent
    from imagen_nb.studio.remote.worker import JobWorker

_TOLD_PROMPT_CHARS = 60

OnceOption = Annotated[
    bool, typer.Option("--once", help="Draw what waits now, then end.")
]
MaxIdleOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="End when nothing was to be drawn for so long.",
    ),
]
OfferedOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Draw with these only; the first draws what names none.",
    ),
]
NameOption = Annotated[
    str, typer.Option(help="What you call this machine; its own name unless given.")
]
EventsJsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print a line of JSON for each job, for programs."),
]


def work(
    once: OnceOption = False,
    max_idle: MaxIdleOption = None,
    backends: OfferedOption = None,
    name: NameOption = "",
    output: options.FolderOption = None,
    config: options.ConfigOption = None,
    as_json: EventsJsonOption = False,
) -> None:
    """Draw what your other machines ask for through your Supabase, until Ctrl-C.

    Ctrl-C, or SIGTERM, ends it after what is being drawn; twice, at the next step. The
    exit code of --once is 1 if a job could not be drawn.
    """
    from imagen_nb.studio.remote.worker import JobWorker
    from imagen_nb.studio.studio import Studio

    settings = load_command_settings(config, output={"dir": output})
    teller = EventPrinter(as_json)
    named = [one.strip() for one in (backends or "").split(",") if one.strip()]
    with Studio(settings, background=False) as studio:
        worker = JobWorker(studio, name=name, backends=named, tell=teller)
        print_notice(
            f"{worker.name} draws with {', '.join(worker.backends)};"
            " Ctrl-C ends it after what is being drawn"
        )
        with ended_by_signals(worker) as signals:
            worker.run(once=once, max_idle=max_idle)
    counts = teller.counts
    print_notice(f"{counts['done']} drawn, {counts['failed']} failed")
    if len(signals) > 1:
        raise KeyboardInterrupt
    if once and counts["failed"]:
        raise typer.Exit(1)


class EventPrinter:
    """Prints a line for each job: on stderr, and as JSON on stdout if that is asked for."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.counts: Counter[str] = Counter()

    def __call__(self, event: WorkEvent) -> None:
        """Print what became of a job."""
        self.counts[event.state] += 1
        if self._as_json:
            print(json.dumps(event_as_json(event)), flush=True)
        print_notice(describe_event(event))


def describe_event(event: WorkEvent) -> str:
    """Return a line for people."""
    if not event.entry:
        return f"{event.id}: {event.state}: {event.reason}"
    record = event.entry.record
    prompt = record.prompt[:_TOLD_PROMPT_CHARS]
    seconds = (record.latency_ms or 0) / 1000
    return f"{event.id}: {prompt!r} (seed {record.seed}) in {seconds:.1f} s"


def event_as_json(event: WorkEvent) -> dict[str, Any]:
    """Return the event for programs: with the whole record of a picture that is done."""
    facts: dict[str, Any] = {"job": str(event.id), "state": event.state}
    if not event.entry:
        return {**facts, "reason": event.reason}
    entry = event.entry
    return {**facts, **entry.record.snapshot(), "path": str(entry.path)}


@contextmanager
def ended_by_signals(worker: JobWorker) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM end the worker; give the list of those that came."""
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        if len(came) > 1:
            worker.abort()
            return
        worker.stop()
        print_notice("ending after what is being drawn; Ctrl-C again ends it now")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
