"""Studio: configuration, backend, output, catalog and cloud, wired; it alone knows them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.backends import Backend, Progress
from imagen_nb.backends.session import Backends
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.sync_report import SyncReport
from imagen_nb.cloud.uplink import Uplink
from imagen_nb.config.settings import Settings, load_settings
from imagen_nb.errors import BackendError, UsageError
from imagen_nb.frames.moments import Moment
from imagen_nb.frames.query import query
from imagen_nb.frames.sources.source import History
from imagen_nb.request.images import Input, input_of, read_input
from imagen_nb.request.options import EXTRAS, IMAGES
from imagen_nb.request.request import Request, Size, resolve
from imagen_nb.request.sweep import Grid, grid
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.storage.catalog import Catalog, Entry
from imagen_nb.storage.folders import Home, Homes
from imagen_nb.storage.input_files import found_inputs
from imagen_nb.storage.outbox import Outbox, waiting_frame
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.storage.tags import KEEPER, REJECT, Change, change, rated
from imagen_nb.storage.writer import WAITING, Facts, Writer, drawn_today
from imagen_nb.studio.lookup import Original, ids_of, is_picture, original, retag
from imagen_nb.studio.nesting import within
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.progress import listener
from imagen_nb.studio.redraw import limits_for, redrawable
from imagen_nb.studio.reproduce import (
    Alike,
    as_said,
    differences,
    file_of,
    here,
    identical,
    options_of,
    remark,
    wanted,
)
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.storage.writer import Adopted
    from imagen_nb.studio.lookup import What


class Studio:
    """One session. Invariant: a picture is on disk and in the catalog before a call returns it.

    Args:
        settings: nested as imagen.yaml is, or whole Settings; they win over environment and file.
        config: the configuration file, instead of $IMAGEN_CONFIG or ~/.config/imagen.yaml.
        background: copy pictures to the cloud by itself, after they are drawn; otherwise only
            `sync` does.

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | None = None,
        *,
        config: Path | None = None,
        background: bool = True,
    ) -> None:
        whole = settings if isinstance(settings, Settings) else load_settings(settings, config)
        self.settings = whole
        self._backends = Backends(*whole.backend_choice(), whole.options_of)
        self._homes = Homes(whole.output.dir)
        self._writer = Writer()
        self._uplink = Uplink(whole, background=background)
        self._history = History(whole, self._catalogs, self._uplink.reader)
        self._cancel = threading.Event()
        self.closed = False

    def generate(
        self,
        /,
        prompt: str | None = None,
        *,
        like: What | None = None,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        guidance: float | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        **backend_options: Any,
    ) -> Picture:
        """Draw one picture and keep it: PNG, sidecar and catalog entry are there when it returns.

        Args:
            prompt: what to draw.
            like: start from this picture (all that `reproduce` takes) and change what else is
                given. Its tags are not taken.
            seed: 0 … 2^53-1; None draws one by lot. The same request with the same seed is the
                same picture.
            steps: denoising steps; None is the model's own number.
            width: pixels; None is the model's own size.
            height: pixels, as width.
            guidance: guidance scale; None is the model's own.
            backend: a name of `imagen models`, or auto; None is the configured one.
            tags: labels to find it by.
            cloud: False marks it never to be copied to the cloud; None follows the configuration.
            output: a folder, or a file ending in .png, instead of the configured folder. A file
                of that name is not overwritten: the next one is called -2.
            again: False gives a picture of today with these very settings, where there is one,
                instead of drawing it again.
            progress: called after each step; True or False shows or hides the bar, which in a
                notebook has a small picture of what is being drawn (`preview: off` leaves it out).
            **backend_options: max_sequence_length, and where the model takes them: init_image=…, a
                file, a picture in any form that `reproduce` takes, a PIL image or an array, to
                start from or to edit; mask=…, likewise, white where it is painted anew; strength=…,
                how much is drawn anew, 0 to 1; negative_prompt=… and true_cfg=…, the scale of
                classifier-free guidance; scheduler=…, a name. And what the backend is made with:
                model=…; loras=… of the FLUX backends, a .safetensors file, a (file, weight) pair,
                or a list of these; memory={"quantization": "int8", …} of local ones. See
                docs/models.md.

        Raises:
            UsageError: for arguments that cannot be drawn; nothing was done.
            BackendError: when the model is missing or the picture came out broken.
            StorageError: when it cannot be kept (disk full, folder not writable).
            Cancelled: after `cancel()`.
        """
        if like is not None:
            one = self.original(like, cloud)
            given = {
                "prompt": prompt, "seed": seed, "steps": steps, "width": width, "height": height,
                "guidance": guidance, **backend_options,
            }  # fmt: skip
            record = one.record if backend else redrawable(one.record)
            name, same = backend or record.backend, backend in (None, record.backend)
            more = self._as_made(one, record, backend_options) if same else {}
            return self.generate(
                **more | wanted(record, given, same), backend=name, tags=tags, cloud=cloud,
                output=output, again=again, progress=progress,
            )  # fmt: skip
        if prompt is None:
            raise UsageError("nothing to draw: give a prompt, or like= a picture")
        checked_prompt(prompt)
        chosen, length, extras = self._backend(backend, backend_options, cloud)
        width, height = self.size(width, height, extras)
        request = resolve(
            prompt, defaults=chosen.defaults, limits=chosen.limits, seed=seed,
            steps=self._or("steps", steps), width=width, height=height,
            guidance=self._or("guidance", guidance), max_sequence_length=length,
            tags=self._tags(tags), extras=extras,
        )  # fmt: skip
        return self._drawn(chosen, [request], cloud, output, progress, again)[0]

    def reproduce(
        self,
        what: What,
        /,
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
        **backend_options: Any,
    ) -> Picture:
        """Draw a picture again, from all that is recorded of it, and compare.

        With the same backend, versions and device the pixels are identical, and `.identical` says
        so; otherwise a line on stderr, and `.differs`, say what is not as it was.

        Args:
            what: an id (or its first 8 digits), a row of a history, a PNG, a sidecar, a Record or a
                Picture. A PNG is enough by itself.
            tags: see `generate`; the original's are not taken.
            cloud: see `generate`.
            output: see `generate`.
            progress: see `generate`.
            **backend_options: what the record does not say, such as the folder of a model.

        Raises:
            UsageError: for what is no picture, or is nowhere to be found.
            BackendError: when its model is not here.
            StorageError: for a file without a record.
            CloudError: when it is to be looked up in the cloud, and that cannot be read.
        """
        one = self.original(what, cloud)
        record = redrawable(one.record)
        made = self._as_made(one, record, backend_options)
        backend, _, extras = self._backend(record.backend, made, cloud)
        place = Alike(backend, record)
        request = resolve(
            record.prompt, defaults=backend.defaults, limits=limits_for(record, backend.limits),
            seed=record.seed,
            steps=record.steps, width=record.width, height=record.height, guidance=record.guidance,
            max_sequence_length=record.max_sequence_length, tags=self._tags(tags),
            extras=as_said(record) | extras,
        )  # fmt: skip
        picture = self._drawn(place, [request], cloud, output, progress)[0]
        same = identical(one, picture.image, self._reader(cloud))
        differs = differences(record, place.drawn_with)
        if line := remark(same, differs, backend):
            complain(f"reproduce: {line}")
        return replace(picture, identical=same, differs=differs)

    def _as_made(
        self, one: Original, record: Record, given: Mapping[str, Any]
    ) -> dict[str, Any]:  # fmt: skip
        """The options of a picture's backend, and the images that it was drawn from."""
        name, configured = self.settings.backend_choice()
        made = options_of(record, configured if name == here(record.backend) else {}, given)
        folders = [catalog.folder for catalog in self._catalogs()]
        beside = [one.path.parent] if one.path else []
        lacking = [image for image in IMAGES if given.get(image) is None]
        return {**found_inputs(record, [*beside, *folders], lacking), **made}

    def _reader(self, cloud: bool | None) -> Cloud | None:
        """Where to look a picture up; with cloud=False no client is made."""
        return None if cloud is False else self.reader()

    def sweep(
        self,
        /,
        prompt: str | Sequence[str],
        *,
        seeds: int | Iterable[int] | None = None,
        steps: int | Iterable[int] | None = None,
        guidance: float | Iterable[float] | None = None,
        size: Size | Iterable[Size] | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        **backend_options: Any,
    ) -> Pictures:
        """Draw every combination of the lists and keep them: prompt slowest, seed fastest.

        Alternatives in prompts, `{red|blue} boat`, expand in order. Arguments and errors are those
        of `generate`, each a value or a list of values (strength, true_cfg, scheduler and
        negative_prompt, too); `size` is (width, height) in pixels, either of them None for the
        model's own.
        """
        chosen, length, extras = self._backend(backend, backend_options, cloud)
        combined: Grid = grid(
            prompt, defaults=chosen.defaults, limits=chosen.limits, seeds=seeds,
            steps=self._or("steps", steps), guidance=self._or("guidance", guidance),
            size=self.size(None, None, extras) if size is None else size,
            max_sequence_length=length, tags=self._tags(tags), extras=extras,
        )  # fmt: skip
        pictures = self._drawn(chosen, combined.requests, cloud, output, progress, again)
        return Pictures(pictures, combined.axes)

    def adopt(
        self, drawn: Sequence[Adopted], *, tags: Iterable[str] = (), cloud: bool | None = None
    ) -> list[Future[Picture]]:
        """Keep pictures that another program part drew, on a thread of their own.

        Whatever looks at pictures (`history`, `sync`, `tag` …) waits until they are there, and so
        does the end of the program. The records' tags, owner and cloud are this session's.

        Raises:
            UsageError: for what is no tag.
            StorageError: when the folder cannot be written to.
            Cancelled: when this session is closed; none of them is kept.
        """
        self._writer.check()
        home = self._homes.home()
        self._uplink.warn(cloud)
        common = {
            "tags": self._tags(tags), "owner_user_id": self.settings.owner_user_id,
            "cloud": self._uplink.wants(cloud),
        }  # fmt: skip
        labelled = [(show, record.model_copy(update=common)) for show, record in drawn]
        return self._writer.adopted(labelled, home, partial(self._announce, home.catalog, cloud))

    def _announce(
        self, catalog: Catalog, cloud: bool | None, written: Sequence[Future[Picture]]
    ) -> None:
        if done := [one.result().record.id for one in written if not one.exception()]:
            self._uplink.drawn(catalog, done, cloud)

    def drawing(self) -> AbstractContextManager[None]:
        """Around drawing that is not this session's: nothing is begun to be sent meanwhile."""
        return self._uplink.drawing()

    def cancel(self) -> None:
        """Stop the drawing that is under way at its next step; callable from any thread."""
        self._cancel.set()

    def sync(
        self,
        timeout: float | None = None,
        *,
        pictures: Iterable[Picture | UUID | str] | None = None,
        include_private: Iterable[Picture | UUID | str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Copy what waits to the cloud, and wait for it.

        Args:
            timeout: seconds; what is not sent by then stays pending. None waits for all.
            pictures: only these (or their ids).
            include_private: pictures made with the cloud switched off that shall go up after all.
            progress: called with (done, total) now and then.

        Raises:
            UsageError: when no Supabase is configured.
        """
        catalogs = self._catalogs()
        named = [_id_of(one) for one in include_private]
        for catalog in catalogs if named else ():
            Outbox(catalog).include(named)
        wanted = None if pictures is None else [*map(_id_of, pictures), *named]
        return self._uplink.sync(catalogs, wanted, timeout=timeout, progress=progress)

    def copies(self, cloud: bool | None = None) -> bool:
        """Whether pictures drawn with this `cloud` argument are copied to a Supabase."""
        return self._uplink.can(cloud)

    def verify(self, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Read back what the cloud has of this session's folders; a line for each difference.

        Every row must be there, and every object be byte for byte the file here. Raises
        `CloudError` when the cloud cannot be reached.
        """
        return self._uplink.verify(self._catalogs(), progress=progress)

    def waiting(self) -> list[Entry]:
        """The pictures that wait for the cloud, with the last error of each, oldest first."""
        return [entry for catalog in self._catalogs() for entry in Outbox(catalog).entries()]

    def pending(self) -> pd.DataFrame:
        """The pictures that wait for the cloud: id, created_at, prompt, local_path, state, error.

        `state` is pending or failed; `error` what happened the last time, if anything did.
        """
        return waiting_frame(self.waiting())

    def history(
        self,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        prompt: str | None = None,
        backend: str | Iterable[str] | None = None,
        model: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        any_tags: str | Iterable[str] | None = None,
        seed: int | Iterable[int] | None = None,
        size: str | tuple[int, int] | Iterable[tuple[int, int]] | None = None,
        ids: str | UUID | Iterable[str | UUID] | None = None,
        limit: int | None = None,
        source: str = "auto",
        sidecar: bool = False,
    ) -> pd.DataFrame:
        """Every picture ever made that meets all conditions, newest first, one row each.

        The columns are those of imagen.images, then `local_path` and `cloud` (pending, synced, off
        or "failed: <the reason>"). `df.imagen` looks at, compares, tags and repeats them.

        Args:
            since: the first moment: a datetime, a date, or text such as "7d", "2 weeks",
                "2026-05-11", "yesterday". Times without a zone are local.
            until: the last moment, as since; a date is included whole.
            prompt: words that must all occur, in any case, also within words; "an exact phrase" in
                quotation marks; -without.
            backend: a name, or several of which one must be it; likewise model.
            model: see backend.
            tags: labels that must all be there.
            any_tags: labels of which one must be there.
            seed: a seed, or several.
            size: (width, height) in pixels or "128x128", or several.
            ids: only these.
            limit: at most so many, the newest.
            source: cloud, local (this machine's catalog), merged (the cloud and what of this
                machine is not there yet), or auto: the cloud where it is configured and answers,
                else local, and a line on stderr says which.
            sidecar: fetch the whole records too, as dicts in the column `sidecar`; else it is None.

        Raises:
            UsageError: for a condition that is none.
            CloudError: when source is cloud or merged and it cannot be read.
        """
        from imagen_nb.frames.schema import framed

        wanted = query(
            since=since, until=until, prompt=prompt, backend=backend, model=model, tags=tags,
            any_tags=any_tags, seed=seed, size=size, ids=ids, limit=limit,
        )  # fmt: skip
        return framed(self._history.table(wanted, source, sidecar=sidecar))

    def tag(self, what: Any, /, *names: str) -> int:
        """Add tags to pictures: here at once, in the cloud when it can be reached.

        A rating (`rating:1` to `rating:5`) replaces the one before; `keeper` and `reject` replace
        each other. Gives the number of pictures.

        Args:
            what: a picture in any form that `reproduce` takes, a history (all its rows), or any
                number of these.
            *names: the tags.

        Raises:
            UsageError: for what is no tag or no picture.
            StorageError: when a sidecar cannot be written.
        """
        return self._retag(what, change(add=names))

    def untag(self, what: Any, /, *names: str) -> int:
        """Take tags from pictures; as `tag`."""
        return self._retag(what, change(remove=names))

    def rate(self, what: Any, /, stars: int | None) -> int:
        """Rate pictures with 1 to 5 stars, the tags `rating:1` to `rating:5`; None unrates them."""
        return self._retag(what, rated(stars))

    def keep(self, what: Any, /) -> int:
        """Tag pictures `keeper`; they are no longer `reject`."""
        return self.tag(what, KEEPER)

    def reject(self, what: Any, /) -> int:
        """Tag pictures `reject`; they are no longer `keeper`."""
        return self.tag(what, REJECT)

    def named(self, what: Any, /) -> list[str]:
        """The ids of the pictures that are meant, in any form that `tag` takes."""
        return [*dict.fromkeys(ids_of(what, self._catalogs(), self.reader()))]

    def original(self, what: What, /, cloud: bool | None = None) -> Original:
        """A picture's record and its file, if that is on this machine; as `reproduce` finds it.

        With cloud=False no client is made.
        """
        return original(what, self._catalogs(), self._reader(cloud))

    def tags_of(self, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The tags of those of these pictures that are on this machine."""
        wanted = [*ids]
        entries = [entry for c in self._catalogs() for entry in filter(None, map(c.get, wanted))]
        return {str(entry.record.id): entry.record.tags for entry in entries}

    def _retag(self, what: Any, wanted: Change) -> int:
        catalogs = self._catalogs()
        count = retag(what, wanted, catalogs, self.reader())
        for catalog in catalogs:
            self._uplink.tagged(catalog)
        return count

    def reader(self) -> Cloud | None:
        """The cloud, to read from: one for the session; None when no Supabase is configured."""
        return self._uplink.reader()

    def drawing_with(self, name: str | None = None) -> tuple[Backend, str]:
        """What draws under this name, the configured one by default, not loaded for that.

        With it comes, once in a session, why auto chose it; else nothing.
        """
        backend = self._backends.get(name)
        return backend, self._backends.why(backend)

    def catalog(self, output: str | Path | None = None) -> Catalog:
        """The catalog of an output folder, the configured one by default."""
        return self._homes.home(output).catalog

    def close(self, *, cloud_seconds: float | None = None) -> None:
        """Finish what is being written, give the cloud its last seconds, close the catalogs.

        Args:
            cloud_seconds: how many these are; None is the configured number.
        """
        self.closed = True
        self._writer.close()
        self._uplink.close(cloud_seconds)
        self._homes.close()

    def __repr__(self) -> str:
        name, _ = self.settings.backend_choice()
        return f"<Studio {name}, {self.settings.output.dir}>"

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _catalogs(self) -> list[Catalog]:
        """Those of this session: of the configured folder, and of others it drew into."""
        catalogs = self._homes.catalogs()
        self._writer.wait()
        return catalogs

    def _or(self, name: str, value: Any) -> Any:
        return getattr(self.settings, name) if value is None else value

    def _tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        return checked_tags((*self.settings.tags, *checked_tags(tags)))

    def size(
        self, width: int | None, height: int | None, extras: Mapping[str, Any]
    ) -> tuple[int | None, int | None]:
        """What is configured stands for what is not given, unless an init image tells better."""
        if extras.get("init_image") is not None:
            return width, height
        return self._or("width", width), self._or("height", height)

    def _backend(
        self, name: str | None, options: Mapping[str, Any], cloud: bool | None
    ) -> tuple[Backend, int | None, dict[str, Any]]:
        """The backend, the wanted sequence length, and what else the request shall say."""
        own = ("max_sequence_length", *EXTRAS)
        others = {name: value for name, value in options.items() if name not in own}
        extras = {name: options[name] for name in EXTRAS if options.get(name) is not None}
        for name_of in IMAGES & extras.keys():
            extras[name_of] = self._image(name_of, extras[name_of], cloud)
        return self._backends.get(name, others), options.get("max_sequence_length"), extras

    def _image(self, name: str, given: Any, cloud: bool | None) -> Input:
        """An image to draw from: of a file or in memory, or a picture of the history."""
        if is_picture(given):
            return input_of(name, file_of(self.original(given, cloud), self._reader(cloud)))
        return read_input(name, given)

    def _drawn(
        self, backend: Backend, requests: Sequence[Request], cloud: bool | None,
        output: str | Path | None, progress: Progress | bool | None, again: bool = True,
    ) -> list[Picture]:  # fmt: skip
        """Draw and keep; unless `again`, only what was not drawn today. In the requests' order."""
        home = self._homes.home(output, len(requests))
        self._uplink.warn(cloud)
        to_cloud = self._uplink.wants(cloud)
        facts = Facts(backend, self.settings.owner_user_id, to_cloud, self.settings.cost)
        there = {} if again else drawn_today(requests, home, facts)
        missing = [request for place, request in enumerate(requests) if place not in there]
        new = iter(self._drawn_new(missing, home, facts, cloud, progress) if missing else ())
        return [there.get(place) or next(new) for place in range(len(requests))]

    def _drawn_new(
        self, requests: Sequence[Request], home: Home, facts: Facts, cloud: bool | None,
        progress: Progress | bool | None,
    ) -> list[Picture]:  # fmt: skip
        """Draw and keep; the next picture is denoised while the last ones are written."""
        backend = facts.backend
        if why := self._backends.why(backend):
            complain(why)
        if lost := [request for request in requests if request.forgets_its_image]:
            complain(
                f"nothing of the init image is left with {lost[0].steps} steps and a strength of "
                f"{lost[0].strength:g}: take more steps, or less strength"
            )
        self._cancel = threading.Event()
        writing: list[Future[Picture]] = []
        previews, loaded = self.settings.preview != "off", self._backends.has_drawn(backend)
        shown = listener(requests, progress, previews, loaded)
        with shown as listen, self._uplink.drawing(), within(backend):
            try:
                for drawn in backend.draw(requests, listen, self._cancel):
                    self._backends.note_drawn(backend)
                    writing.append(self._writer.drawn(drawn, home, facts))
                    if len(writing) > WAITING:
                        writing[-WAITING].result()  # a full disk stops the drawing too
            finally:
                for written in writing:
                    written.exception()  # wait: what was drawn before an error stays kept
                done = [written.result() for written in writing if not written.exception()]
                if done:
                    self._uplink.drawn(home.catalog, [one.record.id for one in done], cloud)
        if len(writing) != len(requests):
            raise BackendError(f"{backend.name} drew {len(writing)} of {len(requests)} pictures")
        return [written.result() for written in writing]


def _id_of(picture: Picture | UUID | str) -> str:
    return str(picture.record.id if isinstance(picture, Picture) else picture)
