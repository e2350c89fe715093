"""The part of a session that has pictures drawn elsewhere, and looks after the jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

from imagen_nb.backends import Backend, is_remote
from imagen_nb.backends.session import Backends
from imagen_nb.cloud.jobs import JobQueue
from imagen_nb.config.settings import Settings
from imagen_nb.errors import UsageError
from imagen_nb.request.request import Request
from imagen_nb.request.validation import short_repr
from imagen_nb.storage.jobs import JobState, WorkerSeen
from imagen_nb.studio.drawing import DrawingCall, RequestDrawer, require_way_home
from imagen_nb.studio.elsewhere.backend import RemoteBackend
from imagen_nb.studio.elsewhere.boxes import Boxes
from imagen_nb.studio.elsewhere.handle import RemoteJob
from imagen_nb.studio.elsewhere.listing import jobs_frame
from imagen_nb.studio.elsewhere.returning import Returning
from imagen_nb.studio.intake import Intake
from imagen_nb.system.spelling import describe_meant, known_arguments

if TYPE_CHECKING:
    import pandas as pd

_STATES = get_args(JobState)
_MAX_LISTED = 100_000


class Elsewhere(Intake):
    """A session's jobs: pictures that other machines of the same user draw."""

    _backends: Backends
    _drawer: RequestDrawer

    def __init__(self, settings: Settings, *, background: bool) -> None:
        super().__init__(settings, background=background)
        self._boxes = Boxes(self._uplink.reader)
        self._returning = Returning(self._boxes, self._folders, self._writer)

    def __repr__(self) -> str:
        name, _ = self.settings.backend_choice()
        return f"<Studio {name}, {self.settings.output.dir}>"

    @known_arguments
    def jobs(
        self, states: str | Iterable[str] | None = None, *, limit: int | None = 100
    ) -> pd.DataFrame:
        """Return the jobs that other machines draw, or have drawn, the newest first.

        The columns are id (its picture's, too), state, prompt, backend, priority,
        attempts, worker (the machine's name), progress (0 to 1), error, created_at,
        started_at, finished_at (UTC) and local_path, where the picture is here.

        Args:
            states: only those waiting, drawing, done, failed or cancelled; or several.
            limit: at most so many; None is all.

        Raises:
            UsageError: for an unknown state, or without a Supabase.
            CloudError: if it does not answer.

        Example:
            >>> im.jobs("waiting")[["prompt", "backend", "created_at"]]
        """
        wanted = [states] if isinstance(states, str) else states
        chosen = None if wanted is None else [*map(_checked_state, wanted)]
        if limit is not None and not 0 <= limit <= _MAX_LISTED:
            raise UsageError(f"limit must be from 0 to {_MAX_LISTED}, not {limit}")
        queue = self.job_queue()
        found = queue.newest(chosen, limit)
        here = self._returning.pictures_here([job.id for job in found])
        names = {box.id: box.name for box in queue.workers()}
        paths = {id: str(picture.path) for id, picture in here.items()}
        return jobs_frame(found, names, paths)

    @known_arguments
    def job(self, what: UUID | str | Mapping[str, Any] | pd.Series[Any]) -> RemoteJob:
        """Return the handle of a job: also after a restart, or on another machine.

        Args:
            what: its id, or a row of `jobs()`.

        Raises:
            UsageError: for what is no id.

        Example:
            >>> for _, row in im.jobs("waiting").iterrows():
            ...     im.job(row).cancel()
        """
        id = what if isinstance(what, (str, UUID)) else what.get("id")
        try:
            return RemoteJob(UUID(str(id)), self._returning)
        except ValueError:
            raise UsageError(
                f"a job is known by its id, or a row of jobs(), not {short_repr(what)}"
            ) from None

    def job_queue(self) -> JobQueue:
        """Return the queue of this user's jobs. Raise `UsageError` without a Supabase.

        Example:
            >>> studio.job_queue().newest(["failed"], limit=1)
            []
        """
        return self._boxes.queue()

    def boxes(self) -> list[WorkerSeen]:
        """Return the machines that draw jobs, heard of in the last day.

        The latest first; nothing more than some seconds old. Raises `UsageError`
        without a Supabase, `CloudError` if it does not answer.

        Example:
            >>> [box.name for box in studio.boxes() if not box.stopped]
        """
        return self._boxes.seen()

    def cancel(self) -> None:
        """Stop every drawing that is under way, or about to begin, at its next step.

        May be called from any thread.

        Example:
            >>> studio.cancel()
        """
        self._drawer.cancel()

    def drawing_with(self, name: str | None = None) -> tuple[Backend, str]:
        """Return the backend of this name, by default the configured one.

        Loads no model. The text beside it says why "auto" chose it, once in a session;
        otherwise it is "".

        Example:
            >>> backend, why = studio.drawing_with("flux-tiny-local")
        """
        backend = self._backends.get(name)
        return backend, self._backends.why(backend)

    def _remote_backend(self, name: str, options: Mapping[str, Any]) -> Backend:
        """Return what stands for a backend of a box: "remote" or "remote:…"."""
        target = self._boxes.target(name)
        if is_remote(target):
            raise UsageError(f"{name} names no backend that a machine could draw with")
        model = options.get("model")
        own = self._backends.get(target, {"model": model} if model else None)
        return RemoteBackend(name, own, self._boxes, options)

    def _hand_out(
        self, backend: Backend, requests: Sequence[Request], call: DrawingCall
    ) -> list[RemoteJob]:
        """Queue the requests and return their handles, without waiting for pictures."""
        if not isinstance(backend, RemoteBackend):
            raise UsageError(
                f'wait=False goes with backend="remote", not with {backend.name}:'
                " only another machine draws while this one goes on"
            )
        require_way_home(backend, call)
        self._folders.folder(call.output, len(requests))  # or it is wrong, and now
        jobs = backend.jobs(requests)
        backend.hand_out(requests, jobs)
        backend.note_waiting(len(jobs))
        return [RemoteJob(job.id, self._returning, call.output) for job in jobs]


def _checked_state(state: str) -> str:
    if state not in _STATES:
        meant = describe_meant(state, _STATES)
        raise UsageError(f"a state is one of {', '.join(_STATES)}, not {state}{meant}")
    return state
