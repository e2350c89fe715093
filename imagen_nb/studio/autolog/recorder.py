"""Make a pipeline's call, copy its pictures, and give them to the Studio to keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import Cancelled, ImagenError
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.autolog.arguments import CallArguments, arguments_of_call
from imagen_nb.studio.autolog.facts import records_of_call
from imagen_nb.studio.autolog.images import CopiedImage, copy_images, images_in
from imagen_nb.studio.autolog.patching import CallMethod
from imagen_nb.studio.nesting import (
    OutermostDrawing,
    drawing_on_behalf_of,
    outermost_drawing,
)
from imagen_nb.studio.studio import Studio
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.storage.writer import ForeignPicture

_MAX_INNER_CALLS = 2  # of a parent's `__call__`: enough to know that it is not one


@dataclass(frozen=True, slots=True)
class Recorder:
    """Makes the calls of pipelines, and records those that no other drawing makes.

    Invariant: a call returns or raises what it would without the recorder. What goes
    wrong with the recording is said on stderr, once for each kind of error.

    Attributes:
        studio: returns the session that keeps the pictures.
        tags: of the pictures.
        cloud: see `Studio.generate`.
    """

    studio: Callable[[], Studio]
    tags: tuple[str, ...] = ()
    cloud: bool | None = None
    _reported: set[str] = field(default_factory=set)

    def __call__(
        self,
        original: CallMethod,
        pipeline: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Make the call, record the pictures that it returns, and return its result."""
        outer = outermost_drawing()
        if outer:
            # A class whose `__call__` calls its parent's: one drawing, two calls.
            if outer.drawer is pipeline and len(outer.inner) < _MAX_INNER_CALLS:
                outer.inner.append(_read_arguments(original, pipeline, args, kwargs))
            return original(pipeline, *args, **kwargs)
        with self._drawing(), drawing_on_behalf_of(pipeline) as drawing:
            arguments = _read_arguments(original, pipeline, args, kwargs)
            began = time.perf_counter()
            result = original(pipeline, *args, **kwargs)
            seconds = time.perf_counter() - began
        self._record(pipeline, arguments, drawing, result, seconds)
        return result

    def _record(
        self,
        pipeline: Any,
        arguments: CallArguments | Exception,
        drawing: OutermostDrawing,
        result: Any,
        seconds: float,
    ) -> None:
        with self._errors_reported():
            if isinstance(arguments, Exception):
                raise arguments
            inner = [one for one in drawing.inner if isinstance(one, CallArguments)]
            arguments = arguments.completed_by(inner)
            images = self._copied_images(result, arguments)
            if images:
                latency_ms = round(seconds * 1000 / len(images))
                records = records_of_call(pipeline, arguments, images, latency_ms)
                self._keep(images, records)

    def _copied_images(
        self, result: Any, arguments: CallArguments
    ) -> list[CopiedImage]:
        if arguments["output_type"] == "latent":
            self._report(
                "a call with output_type='latent' returns no pictures to record"
            )
            return []
        images = images_in(result, as_tuple=arguments["return_dict"] is False)
        return copy_images(images) if images is not None else []

    def _keep(self, images: Sequence[CopiedImage], records: Sequence[Record]) -> None:
        pairs = [
            (image.image, record) for image, record in zip(images, records, strict=True)
        ]
        for writing in self._keep_pairs(pairs):
            writing.add_done_callback(self._report_failure)

    def _keep_pairs(self, pairs: Sequence[ForeignPicture]) -> list[Future[Picture]]:
        session = self.studio()
        while True:
            try:
                return session.keep_drawn(pairs, tags=self.tags, cloud=self.cloud)
            except Cancelled:
                # Another thread called `configure`: there is a new default session.
                closed, session = session, self.studio()
                if session is closed:
                    raise

    def _report_failure(self, writing: Future[Picture]) -> None:
        with self._errors_reported():
            writing.result()

    def _drawing(self) -> AbstractContextManager[None]:
        with self._errors_reported():
            return self.studio().drawing()
        return nullcontext()

    @contextmanager
    def _errors_reported(self) -> Iterator[None]:
        """Report any error of the recording; the program that draws sees none of it."""
        try:
            yield
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            if isinstance(error, ImagenError):
                self._report(f"a picture is not recorded: {text}", str(error))
            else:
                kind = type(error)
                line = f"a picture is not recorded: {kind.__name__}: {text}"
                self._report(line, str(kind))

    def _report(self, line: str, kind: str = "") -> None:
        """Say it on stderr, unless something of this kind has been said before."""
        key = kind or line
        if key not in self._reported:
            self._reported.add(key)
            with suppress(OSError, ValueError):  # a stderr that is closed
                print_notice(f"autolog: {line}")


def _read_arguments(
    original: CallMethod,
    pipeline: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> CallArguments | Exception:
    """Return an error rather than raise it: it counts only if the call succeeds."""
    try:
        return arguments_of_call(original, (pipeline, *args), kwargs)
    except Exception as error:
        return error
