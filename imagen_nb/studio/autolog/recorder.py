"""Around a pipeline's call: what was said before it, what came out of it, and into the Studio."""

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
from imagen_nb.studio.autolog.arguments import Said, said
from imagen_nb.studio.autolog.facts import records
from imagen_nb.studio.autolog.images import Shown, images_in, shown
from imagen_nb.studio.autolog.patching import Call
from imagen_nb.studio.nesting import Outermost, outermost, within
from imagen_nb.studio.studio import Studio
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    from imagen_nb.storage.writer import ForeignPicture

_ENOUGH = 2  # calls of a parent to know that it was more than one


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records outermost calls. Invariant: the call's own result or error is what comes out of it.

    `studio` gives the session that keeps the pictures; what goes wrong with that is told, once for
    each kind of trouble.
    """

    studio: Callable[[], Studio]
    tags: tuple[str, ...] = ()
    cloud: bool | None = None
    _told: set[str] = field(default_factory=set)

    def __call__(
        self,
        original: Call,
        pipeline: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Make the call, and record the pictures that it returns."""
        if around := outermost():
            if (
                around.drawer is pipeline and len(around.inner) < _ENOUGH
            ):  # it calls its parent
                around.inner.append(self._said(original, pipeline, args, kwargs))
            return original(pipeline, *args, **kwargs)
        with self._drawing(), within(pipeline) as around:
            told = self._said(original, pipeline, args, kwargs)
            began = time.perf_counter()
            result = original(pipeline, *args, **kwargs)
            seconds = time.perf_counter() - began
        self._record(pipeline, told, around, result, seconds)
        return result

    def _said(
        self,
        original: Call,
        pipeline: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Said | Exception:
        """The arguments, or why they cannot be told: no matter, if the call itself fails."""
        try:
            return said(original, (pipeline, *args), kwargs)
        except Exception as error:
            return error

    def _record(
        self,
        pipeline: Any,
        told: Said | Exception,
        around: Outermost,
        result: Any,
        seconds: float,
    ) -> None:
        with self._unharmed():
            if isinstance(told, Exception):
                raise told
            whole = told.within([one for one in around.inner if isinstance(one, Said)])
            pictures = self._shown(result, whole)
            if pictures:
                latency_ms = round(seconds * 1000 / len(pictures))
                self._keep(pictures, records(pipeline, whole, pictures, latency_ms))

    def _shown(self, result: Any, told: Said) -> list[Shown]:
        if told["output_type"] == "latent":
            self._tell("a call with output_type='latent' returns no pictures to record")
            return []
        images = images_in(result, as_tuple=told["return_dict"] is False)
        return shown(images) if images is not None else []

    def _keep(self, pictures: Sequence[Shown], drawn: Sequence[Record]) -> None:
        pairs = [
            (one.image, record) for one, record in zip(pictures, drawn, strict=True)
        ]
        for writing in self._adopted(pairs):
            writing.add_done_callback(self._written)

    def _adopted(self, pairs: Sequence[ForeignPicture]) -> list[Future[Picture]]:
        session = self.studio()
        while True:
            try:
                return session.adopt(pairs, tags=self.tags, cloud=self.cloud)
            except (
                Cancelled
            ):  # `configure`, in another thread, has closed it: there is a new one
                closed, session = session, self.studio()
                if session is closed:
                    raise

    def _written(self, writing: Future[Picture]) -> None:
        with self._unharmed():
            writing.result()

    def _drawing(self) -> AbstractContextManager[None]:
        with self._unharmed():
            return self.studio().drawing()
        return nullcontext()

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        """Whatever is wrong with the recording is no matter of the program that draws."""
        try:
            yield
        except Exception as error:
            known = isinstance(error, ImagenError)
            reason = " ".join(str(error).split())[:300]
            line = reason if known else f"{type(error).__name__}: {reason}"
            self._tell(
                f"a picture is not recorded: {line}",
                str(error) if known else type(error),
            )

    def _tell(self, line: str, kind: object = None) -> None:
        """Say it, unless something of this kind was said."""
        key = str(kind or line)
        if key not in self._told:
            self._told.add(key)
            with suppress(OSError, ValueError):  # a stderr that is closed
                complain(f"autolog: {line}")
