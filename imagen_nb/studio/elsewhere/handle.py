"""A job's handle: its state, its picture when it is there, and how to cancel it."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from uuid import UUID

from imagen_nb.errors import BackendError, UsageError
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import short_id
from imagen_nb.studio.elsewhere.following import Following, TooLateError
from imagen_nb.studio.elsewhere.returning import Returning


class RemoteJob:
    """A picture that another machine draws, or has drawn.

    The job lives in the cloud, whatever becomes of this object or its kernel: `im.job`
    gives it back, by its id or a row of `im.jobs()`.

    Example:
        >>> job = im.generate("a red boat", backend="remote:flux-tiny-local", wait=False)
        >>> job.state
        'waiting'
        >>> im.job(job.id).cancel()
        True
    """

    def __init__(
        self, id: UUID, returning: Returning, output: str | Path | None = None
    ) -> None:
        self._id, self._returning, self._output = id, returning, output

    @property
    def id(self) -> UUID:
        """The job's id, which its picture has too.

        Example:
            >>> job.id == im.job(str(job.id)).id
            True
        """
        return self._id

    @property
    def state(self) -> str:
        """Waiting, drawing, done, failed or cancelled, as the cloud has it now.

        Raises `UsageError` if there is no such job any more, `CloudError` if the cloud
        does not answer.

        Example:
            >>> job.state in ("waiting", "cancelled")
            True
        """
        job = self._returning.boxes.queue().now([self._id]).get(self._id)
        if job is None:
            raise UsageError(f"there is no job {self._id} (any more)")
        return job.state

    def picture(self, timeout: float | None = None) -> Picture:
        """Wait until it is drawn, fetch it, and return it; it is kept as any other.

        Ctrl-C ends the waiting; the job goes on.

        Args:
            timeout: seconds to wait; None waits for as long as it takes.

        Raises:
            BackendError: if it could not be drawn, or is not there by then.
            Cancelled: if it was cancelled.
            StorageError: if it cannot be kept.
            CloudError: if the cloud refuses; one that does not answer is waited for.

        Example:
            >>> try:
            ...     job.picture(timeout=0)
            ... except im.ImagenError as error:
            ...     print(error)
        """
        here = self._returning.pictures_here([self._id])
        if self._id in here:
            return here[self._id]
        until = None if timeout is None else time.monotonic() + timeout
        following = Following(self._returning.boxes.queue(), [self._id])
        try:
            with following.within():
                ((_, file),) = following.pictures(Event(), until)
        except TooLateError:
            raise BackendError(
                f"the picture of job {short_id(self._id)} is not there after {timeout:g} s:"
                f" it is {self.state}"
            ) from None
        return self._returning.keep(file, self._output)

    def cancel(self) -> bool:
        """Cancel it, and return whether there was something to cancel.

        Example:
            >>> job.cancel()
            False
        """
        return bool(self._returning.boxes.queue().cancel([self._id]))

    def __repr__(self) -> str:
        return f"<RemoteJob {self._id}>"
